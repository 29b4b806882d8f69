"""How a fitted chain bears spoiled pictures: the accuracy on a few test images under each corruption."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

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

    A picture is spoiled at the size that the chain works on (`side_px`) and handed over without loss. One that is less than a few
    pixels wide at that size is left out.

    Parameters
    ----------
    rows : content, label, group; one for each image
    read : the bytes of a few contents; those that follow each other in `rows` are asked for together
    done : told each content that is through
    """
    # Pictures of this size are not worth sharing out, least of all while the other cores are busy.
    cv2.setNumThreads(1)
    answers: dict[str, list[str]] = {name: [] for name in (UNSPOILED, *CORRUPTIONS)}
    kept = []
    for content, data in _read(rows["content"].tolist(), read):
        image = decode(data, side_px=int(chain.knobs["side_px"]))
        kept.append(min(image.shape[:2]) >= MIN_SIDE_PX)
        if kept[-1]:
            answers[UNSPOILED].append(_answer(chain, data))
            for name in CORRUPTIONS:
                changed = spoiled(image, name, seed=seed + int(content[:8], 16))
                answers[name].append(_answer(chain, cv2.imencode(".png", changed)[1].tobytes()))
        done(content)
    return _document(rows[np.array(kept, bool)], answers, seed=seed, resamples=resamples)


def nothing(why: str) -> dict[str, Any]:
    """The same part where no image was spoiled."""
    return {"n_images": 0, "n_groups": 0, "rows": [], "worst": "", "why": why}


def _read(contents: Sequence[str], read: Callable[[Sequence[str]], Mapping[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    # Photographs have megabytes each: never all of them at once.
    for start in range(0, len(contents), _READ_AT_ONCE):
        found = read(contents[start : start + _READ_AT_ONCE])
        yield from ((content, found[content]) for content in contents[start : start + _READ_AT_ONCE])


def _answer(chain: Chain, data: bytes) -> str:
    return str(chain.classifier.classes[int(chain.answer(data).argmax())])


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
