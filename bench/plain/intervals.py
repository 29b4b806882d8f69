"""Accuracy, macro-F1 and recalls with their 95 % intervals, whole groups resampled."""

from __future__ import annotations

from typing import Any

import numpy as np


def intervals(labels: np.ndarray, predictions: np.ndarray, groups: np.ndarray, resamples: int) -> dict[str, Any]:
    """`accuracy`, `macro_f1`, and the bounds of both and of each class's recall."""
    classes, places = np.unique(np.concatenate([labels, predictions]).astype(str), return_inverse=True)
    truth, said = places[: len(labels)], places[len(labels) :]
    _, group = np.unique(groups.astype(str), return_inverse=True)
    n_groups, n = group.max() + 1, len(classes)
    cells = np.bincount((group * n + truth) * n + said, minlength=n_groups * n * n).reshape(n_groups, n * n)
    drawn = np.random.default_rng(0).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)
    accuracy, macro_f1, _ = _scores(cells.sum(axis=0).reshape(1, n, n))
    every = _scores((drawn @ cells).reshape(-1, n, n))
    bounds = [np.nanpercentile(each, [2.5, 97.5], axis=0).tolist() for each in every]
    return {"accuracy": float(accuracy[0]), "macro_f1": float(macro_f1[0]), "bounds": bounds}


def _scores(confusions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) accuracy, (n,) macro-F1 and (n, classes) recall of (n, classes, classes) confusion matrices."""
    right = np.diagonal(confusions, axis1=1, axis2=2)
    of_class, of_answer = confusions.sum(axis=2), confusions.sum(axis=1)
    recall = right / np.where(of_class, of_class, np.nan)
    f1 = 2 * right / np.maximum(of_class + of_answer, 1)
    return right.sum(axis=1) / confusions.sum(axis=(1, 2)), f1.sum(axis=1) / (of_class > 0).sum(axis=1), recall
