"""A small fitted chain over drawn pictures, and the pictures: what the tests of model, tracking and serving share."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pyarrow as pa

from pomona.knobs import KnobValue, resolve
from pomona.vision.chain import Chain, Row, fit_chain
from pomona.vision.describe import Describer, Extractor
from pomona.vision.unknown import Familiarity, calibrated

COLOURS = {"lemon": (60, 220, 240), "lime": (70, 190, 90), "plum": (120, 40, 90)}


def picture(label: str, seed: int) -> bytes:
    """A JPEG of a speckled disc on white; the same bytes for the same label and seed."""
    draw = np.random.default_rng([sorted(COLOURS).index(label), seed])
    image = np.full((96, 96, 3), 255, np.uint8)
    cv2.circle(image, (48, 48), 34, COLOURS[label], -1)
    for x, y in draw.integers(28, 68, size=(25, 2)).tolist():
        cv2.circle(image, (x, y), int(draw.integers(1, 5)), draw.integers(0, 255, 3).tolist(), -1)
    return bytes(cv2.imencode(".jpg", image)[1])


def pictures(n_each: int, *, first_seed: int = 0) -> list[tuple[str, bytes]]:
    """`n_each` pictures of each label."""
    return [(label, picture(label, seed)) for label in COLOURS for seed in range(first_seed, first_seed + n_each)]


def knobs() -> dict[str, KnobValue]:
    """The resolved knobs of the small chain."""
    return resolve({"n_words": 24, "n_components": 8})


def trained_on() -> pa.Table:
    """Content and group of the pictures that the small chain is fitted on."""
    drawn = pictures(10)
    contents = [hashlib.sha256(data).hexdigest() for _, data in drawn]
    return pa.table({"content": contents, "group": [f"{label} {index // 3}" for index, (label, _) in enumerate(drawn)]})


@cache
def chain() -> Chain:
    """The chain, fitted on ten pictures of each of three labels."""
    describer = Describer(Extractor.of(knobs()))
    rows = [
        Row(hashlib.sha256(data).hexdigest(), label, f"{label} {index // 3}", describer.describe(data))
        for index, (label, data) in enumerate(pictures(10))
    ]
    return fit_chain(rows, knobs())


@cache
def knowing_chain() -> Chain:
    """The same chain with a rule for what it does not know, half-way between other pictures of its labels and the strange one."""
    describer, fitted = Describer(Extractor.of(knobs())), chain()
    assert fitted.familiarity is not None
    signs = [fitted.judged(describer.describe(data))[1] for _, data in pictures(10, first_seed=200)]
    rule = calibrated(np.array(signs), given_away=0.0)
    strange = fitted.judged(describer.describe(strange_picture()))[1]
    assert strange is not None and rule.novelty(strange) > 1
    rule = replace(rule, threshold=rule.threshold * rule.novelty(strange) ** 0.5)
    return replace(fitted, familiarity=Familiarity(fitted.familiarity.known, rule))


def strange_picture() -> bytes:
    """A JPEG of a blue and yellow chequerboard, which is like none of the labels."""
    rows, columns = np.indices((96, 96)) // 12
    image = np.where(((rows + columns) % 2)[..., None], (200, 60, 20), (20, 200, 220)).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", image)[1])
