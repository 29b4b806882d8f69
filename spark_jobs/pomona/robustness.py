"""How a fitted chain bears spoiled pictures: the accuracy on a few test images under each corruption."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pomona import scoring
from pomona.vision.chain import Chain
from pomona.vision.corruptions import CORRUPTIONS, spoiled
from pomona.vision.decode import MIN_SIDE_PX, decode

if TYPE_CHECKING:
    import pandas as pd

UNSPOILED = "none"
SWITCHED_OFF = "the knob robustness_images is 0"
NO_IMAGES = "there are no test images"
ANSWERS_AN_IMAGE = 1 + len(CORRUPTIONS)
_READ_AT_ONCE = 16


def drawn(rows: pd.DataFrame, n_images: int) -> pd.DataFrame:
    """At most n_images rows, spread over labels first and over the groups of a label next, by a hash of the content: always the same.

    Parameters
    ----------
    rows : content, label, group, …; one for each test image
    """
    lots = rows.assign(lot=[hashlib.sha256(content.encode()).hexdigest() for content in rows["content"]]).sort_values("lot")
    lots["turn"] = lots.groupby(["label", "group"]).cumcount()
    lots = lots.sort_values(["turn", "lot"])
    lots["turn"] = lots.groupby("label").cumcount()
    return lots.sort_values(["turn", "lot"]).head(n_images)[rows.columns]


def robustness(
    chain: Chain,
    rows: pd.DataFrame,
    read: Callable[[Sequence[str]], Mapping[str, bytes]],
    *,
    seed: int,
    resamples: int,
    done: Callable[[str], None],
) -> dict[str, Any]:
    """The part `robustness` of the metrics document: the images as they are, then under each corruption, on the same images.

    A picture is spoiled at the size that the chain works on (`side_px`). One that is less than a few
    pixels wide at that size is left out.

    Parameters
    ----------
    rows : content, label, group; one for each image
    read : the bytes of a few contents; those that follow each other in `rows` are asked for together
    done : told each content that is through
    """
    # Whole pictures are shared out among threads; within one of this size there is nothing to share.
    cv2.setNumThreads(1)
    n_threads = os.cpu_count() or 1
    # OpenCV's detectors keep state during a call: a chain for each thread.
    chains: SimpleQueue[Chain] = SimpleQueue()
    for _ in range(n_threads):
        chains.put(copy.copy(chain))

    def answered(content: str, data: bytes) -> list[str] | None:
        own = chains.get()
        try:
            image = decode(data, side_px=int(own.knobs["side_px"]))
            wide_enough = min(image.shape[:2]) >= MIN_SIDE_PX
            return [_said(own, shown) for shown in _shown(image, seed=seed + int(content[:8], 16))] if wide_enough else None
        finally:
            chains.put(own)
            done(content)

    answers: list[list[str] | None] = []
    with ThreadPoolExecutor(n_threads) as pool:
        for few in _read(rows["content"].tolist(), read):
            answers += pool.map(answered, few, few.values())
    kept = [said for said in answers if said is not None]
    by_name = {name: [said[place] for said in kept] for place, name in enumerate((UNSPOILED, *CORRUPTIONS))}
    return _document(rows[np.array([said is not None for said in answers], bool)], by_name, seed=seed, resamples=resamples)


def nothing(why: str) -> dict[str, Any]:
    """The same part where no image was spoiled."""
    return {"n_images": 0, "n_groups": 0, "rows": [], "worst": "", "why": why}


def _read(contents: Sequence[str], read: Callable[[Sequence[str]], Mapping[str, bytes]]) -> Iterator[dict[str, bytes]]:
    # Photographs have megabytes each: never all of them at once.
    for start in range(0, len(contents), _READ_AT_ONCE):
        few = contents[start : start + _READ_AT_ONCE]
        found = read(few)
        yield {content: found[content] for content in few}


def _shown(image: NDArray[np.uint8], *, seed: int) -> Iterator[NDArray[np.uint8]]:
    """The image as it is, then under each corruption."""
    yield image
    yield from (spoiled(image, name, seed=seed) for name in CORRUPTIONS)


def _said(chain: Chain, image: NDArray[np.uint8]) -> str:
    return str(chain.classifier.classes[int(chain.answer_decoded(image).argmax())])


def _document(rows: pd.DataFrame, answers: Mapping[str, list[str]], *, seed: int, resamples: int) -> dict[str, Any]:
    if rows.empty:
        return nothing(NO_IMAGES)
    labels, groups = rows["label"].to_numpy(), rows["group"].to_numpy()
    found: list[dict[str, Any]] = []
    for name, predictions in answers.items():
        between = scoring.interval(labels, predictions, groups, statistic="accuracy", resamples=resamples, seed=seed)
        right = float(np.mean(labels == np.asarray(predictions, dtype=object)))
        strength = CORRUPTIONS[name].strength if name in CORRUPTIONS else "as they are"
        found.append({"name": name, "strength": strength, "accuracy": right, "interval": [between.low, between.high]})
    worst = min(found[1:], key=lambda row: float(row["accuracy"]))["name"]
    return {"n_images": len(rows), "n_groups": len(set(groups)), "rows": found, "worst": worst, "why": ""}
