"""Scores of predictions with intervals over groups, official and group-safe. NumPy only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Names = Sequence[str] | NDArray[Any]

_LEVEL = 0.95
_BLOCK_CELLS = 4_000_000


class Interval(NamedTuple):
    """A 95 % interval, or None for both bounds and the reason in `why`."""

    low: float | None
    high: float | None
    n_images: int
    n_groups: int
    why: str = ""


def scores(labels: Names, predictions: Names, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro-F1, the figures per class and the confusion, ready for JSON.

    `macro_f1` is the mean F1 of the classes that have test images; those without are named in `without_test` and not counted, since their
    F1 would be 0 or undefined whatever the model does. A class that is never predicted has precision 0. Labels that the model does not
    know are named in `unknown`: their images count as wrong and their classes as F1 = 0.

    Parameters
    ----------
    labels, predictions : (n_images,) str; n_images may be 0, then `accuracy` and `macro_f1` are None
    classes : the model's classes, in the order that the confusion shall have; unknown labels follow, sorted

    Returns
    -------
    dict
        n_images, accuracy, macro_f1, classes, confusion (rows: labels, columns: predictions), row_percent (None in rows without images),
        per_class {class: {precision, recall, f1, support, predicted}}, without_test, unknown.
    """
    names = _names(labels, predictions, classes)
    confusion = _confusion(_codes(labels, names), _codes(predictions, names), len(names))
    support, predicted, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    f1 = _f1(support, predicted, hits)
    shown = support > 0
    n_images = int(support.sum())
    return {
        "n_images": n_images,
        "accuracy": float(hits.sum() / n_images) if n_images else None,
        "macro_f1": float(f1[shown].mean()) if n_images else None,
        "classes": names,
        "confusion": confusion.tolist(),
        "row_percent": [(100 * row / n).tolist() if n else [None] * len(names) for row, n in zip(confusion, support, strict=True)],
        "per_class": {
            name: {
                "precision": float(hits[i] / predicted[i]) if predicted[i] else 0.0,
                "recall": float(hits[i] / support[i]) if support[i] else None,
                "f1": float(f1[i]) if support[i] else None,
                "support": int(support[i]),
                "predicted": int(predicted[i]),
            }
            for i, name in enumerate(names)
        },
        "without_test": [name for i, name in enumerate(names) if not support[i]],
        "unknown": names[len(classes) :],
    }


def interval(
    labels: Names,
    predictions: Names,
    groups: Names,
    *,
    statistic: Literal["accuracy", "macro_f1"],
    resamples: int,
    seed: int,
) -> Interval:
    """The 95 % percentile bootstrap interval of a score, whole groups drawn with replacement (Davison & Hinkley, 1997, section 3.8).

    In each resample macro-F1 is the mean over the classes that it holds. The result depends on the set of images, not on their order.

    Parameters
    ----------
    labels, predictions, groups : (n_images,) str
    """
    names = _names(labels, predictions, ())
    truth, guess = _codes(labels, names), _codes(predictions, names)
    members, n_groups = members_of(groups)
    if n_groups < 2:
        return _no_interval(len(members), n_groups)
    if statistic == "accuracy":
        sums = _sums_by_group(members, n_groups, [(np.zeros_like(truth), None), (np.zeros_like(truth), truth == guess)], 1)
        drawn = _resampled(sums, n_groups=n_groups, resamples=resamples, seed=seed)
        values = drawn[:, 1] / drawn[:, 0]
    else:
        n = len(names)
        sums = _sums_by_group(members, n_groups, [(truth, None), (guess, None), (truth, truth == guess)], n)
        drawn = _resampled(sums, n_groups=n_groups, resamples=resamples, seed=seed)
        support, predicted, hits = drawn[:, :n], drawn[:, n : 2 * n], drawn[:, 2 * n :]
        values = _f1(support, predicted, hits).sum(axis=1) / (support > 0).sum(axis=1)
    low, high = _percentiles(values)
    return Interval(low, high, len(members), n_groups)


def recall_intervals(
    labels: Names, predictions: Names, groups: Names, classes: Sequence[str], *, resamples: int, seed: int
) -> dict[str, Interval]:
    """The interval of each class's recall: that of the accuracy on its images, their groups resampled.

    Parameters
    ----------
    labels, predictions, groups : (n_images,) str
    """
    truth, guess, members = (np.asarray(names, dtype=object) for names in (labels, predictions, groups))
    found = {}
    for name in classes:
        chosen = truth == name
        found[name] = interval(truth[chosen], guess[chosen], members[chosen], statistic="accuracy", resamples=resamples, seed=seed)
    return found


def group_safe(
    labels: Names, predictions: Names, groups: Names, *, unsafe_groups: Collection[str], classes: Sequence[str]
) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """The scores on test images whose group is not among `unsafe_groups` (those in train), and which rows these are.

    Beside what `scores` gives: `n_groups`, `left_out` (the unsafe groups that have test images, sorted), and `why`, which is empty
    unless no image is left to score.
    """
    names = np.asarray(groups, dtype=object)
    unsafe = frozenset(unsafe_groups)
    safe = np.fromiter((name not in unsafe for name in names), dtype=bool, count=len(names))
    found = scores(np.asarray(labels, dtype=object)[safe], np.asarray(predictions, dtype=object)[safe], classes)
    found["n_groups"] = len(set(names[safe]))
    found["left_out"] = sorted(set(names[~safe]))
    found["why"] = "" if safe.any() else "every test image's group is in train too" if len(names) else "there are no test images"
    return found, safe


def difference_interval(
    old: NDArray[np.bool_], new: NDArray[np.bool_], members: Integers, n_groups: int, *, resamples: int, seed: int
) -> Interval:
    """The same interval of the difference of two accuracies on the same images, groups resampled.

    Parameters
    ----------
    old, new : (n_images,) bool: which images each model has right
    members : (n_images,) number of each image's group, 0 to n_groups - 1
    """
    if n_groups < 2:
        return _no_interval(len(members), n_groups)
    gain = new.astype(np.float64) - old.astype(np.float64)
    everywhere = np.zeros_like(members)
    sums = _sums_by_group(members, n_groups, [(everywhere, None), (everywhere, gain)], 1)
    drawn = _resampled(sums, n_groups=n_groups, resamples=resamples, seed=seed)
    low, high = _percentiles(drawn[:, 1] / drawn[:, 0])
    return Interval(low, high, len(members), n_groups)


def _names(labels: Names, predictions: Names, classes: Sequence[str]) -> list[str]:
    known = [str(name) for name in classes]
    return known + sorted({str(name) for name in (*labels, *predictions)} - set(known))


def _codes(values: Names, names: Sequence[str]) -> Integers:
    index = {name: i for i, name in enumerate(names)}
    return np.fromiter((index[str(value)] for value in values), dtype=np.int64, count=len(values))


def _confusion(truth: Integers, guess: Integers, n: int) -> Integers:
    return np.bincount(truth * n + guess, minlength=n * n).reshape(n, n).astype(np.int64)


def _f1(support: NDArray[Any], predicted: NDArray[Any], hits: NDArray[Any]) -> Floats:
    """2 TP / (2 TP + FP + FN), 0 where the class is neither there nor predicted."""
    total = (support + predicted).astype(np.float64)
    f1: Floats = np.divide(2.0 * hits, total, out=np.zeros_like(total), where=total > 0)
    return f1


def members_of(groups: Names) -> tuple[Integers, int]:
    """(n_images,) number of each image's group, and how many groups there are."""
    names = sorted({str(name) for name in groups})
    return _codes(groups, names), len(names)


def _sums_by_group(members: Integers, n_groups: int, parts: Sequence[tuple[Integers, NDArray[Any] | None]], width: int) -> Floats:
    """(n_groups, len(parts) · width): for each part, per group and code, the sum of weights (the number of images without)."""
    columns = [
        np.bincount(members * width + code, weights=weight, minlength=n_groups * width).reshape(n_groups, width) for code, weight in parts
    ]
    return np.concatenate(columns, axis=1).astype(np.float64)


def _resampled(sums: Floats, *, n_groups: int, resamples: int, seed: int) -> Floats:
    """(resamples, n_columns): sums over n_groups groups drawn with replacement.

    Groups with equal sums are interchangeable, so how often each *kind* is drawn is multinomial: 25,000 images that are groups of their
    own are a few hundred kinds. Sums are whole numbers, exact in float64 whatever the order.
    """
    kinds, times = _kinds(sums)
    random = np.random.default_rng(seed)
    share = times / n_groups
    block = max(1, _BLOCK_CELLS // len(kinds))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    return np.concatenate([random.multinomial(n_groups, share, size=size).astype(np.float64) @ kinds for size in sizes])


def _kinds(sums: Floats) -> tuple[Floats, Integers]:
    """What `np.unique(sums, axis=0, return_counts=True)` gives for whole numbers, in a sixth of its time: their bytes are compared."""
    above = sums - sums.min()
    packed = np.ascontiguousarray(above.astype(np.min_scalar_type(int(above.max())).newbyteorder(">")))
    rows = packed.view(np.dtype((np.void, packed.shape[1] * packed.itemsize))).ravel()
    _, first, times = np.unique(rows, return_index=True, return_counts=True)
    return sums[first], times


def _percentiles(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _no_interval(n_images: int, n_groups: int) -> Interval:
    why = "no interval: all images are of one group" if n_groups else "no interval: there are no images"
    return Interval(None, None, n_images, n_groups, why)
