"""Two models' recall of each class on the same images, and the classes that fell. NumPy only.

A class falls when its recall drops by more than `max_class_drop` and more than chance explains: the paired test over the class's
groups, corrected for the number of classes (Holm 1979). A class of few groups can never show that: one of g groups has no chance
below 2⁻ᵍ. There a fall counts by itself when recall drops by more than twice `max_class_drop` and

- its images, counted one by one, show it at `significance` (frames of one video are no independent evidence, so this only keeps
  single images from deciding), or
- nothing of it is recognised any more of which the champion recognised at least three images.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.paired import holm, paired
from pomona.scoring import Names

_COLLAPSE_IMAGES = 3


class ClassContest(NamedTuple):
    """Both models' recall of one class; None where a model does not know it.

    `p` is how often two equally good models would show such a fall; None where no result could be significant.
    """

    label: str
    n_images: int
    n_groups: int
    champion_recall: float | None
    challenger_recall: float | None
    p: float | None


def contested(
    labels: Names,
    groups: Names,
    old: NDArray[np.bool_],
    new: NDArray[np.bool_],
    *,
    champion_knows: Collection[str],
    challenger_knows: Collection[str],
    max_class_drop: float,
    significance: float,
) -> tuple[list[ClassContest], list[str]]:
    """Each class that has images, sorted by label, and the labels of those that fell, the deepest fall first.

    Parameters
    ----------
    labels, groups : (n_images,) str
    old, new : (n_images,) bool: which images champion and challenger have right
    """
    truth, names = np.asarray(labels, dtype=object), np.asarray(groups, dtype=object)
    shared = sorted({label for label in truth if label in champion_knows and label in challenger_knows})
    tests = {label: paired(old[truth == label], new[truth == label], names[truth == label]) for label in shared}
    significant = dict(zip(shared, holm([tests[label].loss for label in shared], level=significance), strict=True))
    rows, falls = [], {}
    for label in sorted(set(truth)):
        chosen = truth == label
        before, now = old[chosen], new[chosen]
        test = tests.get(label)
        telling = test is not None and 0.5**test.n_groups <= significance / len(shared)
        if test is not None:
            drop = float(before.mean() - now.mean())
            by_test = significant[label] and _beyond(drop, max_class_drop)
            by_itself = not telling and _beyond(drop, 2 * max_class_drop) and _shown(before, now, significance)
            if by_test or by_itself:
                falls[label] = drop
        rows.append(
            ClassContest(
                label=str(label),
                n_images=int(chosen.sum()),
                n_groups=len(set(names[chosen])),
                champion_recall=float(before.mean()) if label in champion_knows else None,
                challenger_recall=float(now.mean()) if label in challenger_knows else None,
                p=test.loss if test is not None and (telling or significant[label]) else None,
            )
        )
    return rows, sorted(falls, key=lambda label: (-falls[label], label))


def _shown(before: NDArray[np.bool_], now: NDArray[np.bool_], significance: float) -> bool:
    one_by_one = paired(before, now, np.arange(len(before)).astype(str)).loss <= significance
    return one_by_one or (not now.any() and int(before.sum()) >= _COLLAPSE_IMAGES)


def _beyond(drop: float, bound: float) -> bool:
    # One part in 10¹² for the rounding of the subtraction: a fall of exactly the bound is allowed.
    return drop > bound + 1e-12
