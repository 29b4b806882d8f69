"""A mixture of Gaussians with diagonal covariances over the words: whose a descriptor is, and what an image's descriptors say of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_MIN_VARIANCE = 1e-3
"""Of a word, as a share of the sample's own: a word of one descriptor has none."""
_TINY = 1e-12


@dataclass(frozen=True)
class Mixture:
    """Means and variances (n_words, d), weights (n_words,), float32; weights sum to 1."""

    means: Floats
    variances: Floats
    weights: Floats


def of_members(points: Floats, words: NDArray[np.int64], means: Floats) -> Mixture:
    """Variances and weights from the points (n, d) that took each word, by index (n,); a word of one or none has the variance of all."""
    n_words = len(means)
    counts = np.bincount(words, minlength=n_words).astype(np.float64)
    overall = points.var(axis=0, dtype=np.float64)
    variances = np.tile(overall, (n_words, 1))
    order = np.argsort(words, kind="stable")
    for word, members in zip(np.flatnonzero(counts), np.split(points[order], np.cumsum(counts[counts > 0]).astype(int)[:-1]), strict=True):
        if len(members) > 1:
            variances[word] = members.var(axis=0, dtype=np.float64)
    weights = np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum()
    return Mixture(means, _bounded(variances, overall), weights.astype(np.float32))


def improved(points: Floats, mixture: Mixture) -> Mixture:
    """The mixture after one step of expectation and maximisation on the points (n, d)."""
    shares = posteriors(points, mixture).astype(np.float64)
    counts = np.maximum(shares.sum(axis=0), _TINY)
    means = shares.T @ points / counts[:, None]
    variances = shares.T @ np.square(points, dtype=np.float64) / counts[:, None] - means**2
    bounded = _bounded(variances, points.var(axis=0, dtype=np.float64))
    return Mixture(means.astype(np.float32), bounded, (counts / counts.sum()).astype(np.float32))


def posteriors(points: Floats, mixture: Mixture) -> Floats:
    """The probability of each word for each point, (n, n_words) float32; rows sum to 1; n may be 0."""
    inverse = 1 / mixture.variances
    constants = np.log(mixture.weights) - 0.5 * (mixture.means**2 * inverse + np.log(mixture.variances)).sum(axis=1)
    logs = points @ (mixture.means * inverse).T - 0.5 * (points**2 @ inverse.T) + constants
    logs -= logs.max(axis=1, keepdims=True)
    np.exp(logs, out=logs)
    logs /= logs.sum(axis=1, keepdims=True)
    return np.asarray(logs, dtype=np.float32)


def fisher_vector(points: Floats, mixture: Mixture) -> NDArray[np.float64]:
    """What the points (n, d) of one image ask of the words' means and variances, (2 · n_words · d,) float64, unit length; n = 0: zeros.

    The gradients of the mixture's log-likelihood by means, then by variances (Perronnin & Dance 2007); signed square root and unit length
    (Perronnin, Sánchez & Mensink 2010), here first for each word's d values by themselves, so that no word speaks louder than another:
    the number of points and the scale by the root of the Fisher information, both the same for a word's d values, have no part in it.
    """
    shares = posteriors(points, mixture)
    counts, sums, squares = shares.sum(axis=0)[:, None], shares.T @ points, shares.T @ points**2
    means, variances = mixture.means, mixture.variances
    by_mean = (sums - counts * means) / np.sqrt(variances)
    by_variance = (squares - 2 * sums * means + counts * (means**2 - variances)) / variances
    gradients = np.concatenate([by_mean, by_variance]).astype(np.float64)
    rooted = np.sign(gradients) * np.sqrt(np.abs(gradients))
    rooted /= np.maximum(np.linalg.norm(rooted, axis=1, keepdims=True), _TINY)
    return np.asarray(rooted.ravel() / max(float(np.linalg.norm(rooted)), _TINY))


def _bounded(variances: NDArray[np.float64], overall: NDArray[np.float64]) -> Floats:
    return np.asarray(np.maximum(variances, _MIN_VARIANCE * overall + _TINY), dtype=np.float32)
