"""How far windows of images lie from what they are held against: by words, by mix of labels, by numbers. NumPy only.

All functions take many windows at once: a window is a row of weights over one table of images, and so is what it is held against.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pomona.vision.observe import Floats

Side = Literal[-1, 0, 1]
_STEPS = 50
_LEAST = 1e-12


def jensen_shannon(left: Floats, right: Floats) -> Floats:
    """The Jensen–Shannon divergence of histograms (…, n_bins), row by row, in bits: 0 for equal shares, 1 for no bin in common (Lin 1991).

    Rows are scaled to a sum of 1; an empty one, of zeros, has nothing in common with any other.
    """
    totals = left.sum(axis=-1, keepdims=True), right.sum(axis=-1, keepdims=True)
    p, q = left / np.maximum(totals[0], _LEAST), right / np.maximum(totals[1], _LEAST)
    middle = np.maximum((p + q) / 2, _LEAST)
    each = np.where(p > 0, p * np.log2(np.maximum(p, _LEAST) / middle), 0) + np.where(q > 0, q * np.log2(np.maximum(q, _LEAST) / middle), 0)
    empty = (totals[0][..., 0] <= 0) != (totals[1][..., 0] <= 0)
    return np.where(empty, 1.0, each.sum(axis=-1) / 2)


def energy(values: Floats, inside: Floats, outside: Floats, side: Side = 0) -> Floats:
    """The energy distance between weighted samples of numbers, (n_windows,), in the numbers' own unit: 0 for equal distributions.

    √(2 ∫ (F − G)²) of the distribution functions F and G (Székely & Rizzo 2013): location, spread and shape all move it, and unlike
    a statistic of ranks it grows for as long as the samples move apart.

    Parameters
    ----------
    values : (n,)
    inside, outside : (n_windows, n), rows sum to 1
    side
        0 for both. With 1 only where the values inside are the larger ones (F < G), with -1 only where they are the smaller ones.
    """
    order = np.argsort(values, kind="stable")
    apart = np.cumsum((inside - outside)[:, order], axis=1)[:, :-1]
    if side:
        apart = np.minimum(side * apart, 0)
    return np.asarray(np.sqrt(2 * (apart**2 @ np.diff(values[order]))))


def moments(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Means and standard deviations of values (n, n_columns) under weights (n_windows, n), rows sum to 1; (n_windows, n_columns) each."""
    mean = weights @ values
    # About the overall mean, so that a spread far smaller than the values is not lost in rounding.
    centre = values.mean(axis=0)
    spread = weights @ (values - centre) ** 2 - (mean - centre) ** 2
    return mean, np.sqrt(np.maximum(spread, 0))


def label_mix(predicted: Floats, confusion: Floats) -> Floats:
    """The shares of labels (n_windows, n_classes) that best explain shares of predictions (n_windows, n_classes).

    Maximum likelihood by expectation-maximisation (Saerens, Latinne & Decaestecker 2002), from predicted labels and how often each label
    is predicted as each (Lipton, Wang & Smola 2018), so that the probabilities need not be calibrated. 50 steps from equal shares.

    Parameters
    ----------
    confusion : (n_classes, n_classes)
        The share of each prediction (columns) among images of each label (rows); rows sum to 1.
    """
    shares = np.full(predicted.shape, 1 / predicted.shape[1])
    for _ in range(_STEPS):
        shares = shares * ((predicted / np.maximum(shares @ confusion, _LEAST)) @ confusion.T)
    return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), _LEAST))


def confusion_of(labels: NDArray[np.int64], predictions: NDArray[np.int64], n_classes: int) -> Floats:
    """The share of each prediction (columns) among images of each label (rows), (n_classes, n_classes).

    One image is added to each row, spread evenly: what was never seen is not impossible.
    """
    counts = np.bincount(labels * n_classes + predictions, minlength=n_classes**2).reshape(n_classes, n_classes) + 1 / n_classes
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
