"""Is a picture like anything that a chain was fitted on? Three signs of it, each against what pictures of known classes give.

The signs fail in different places. An unsure answer (Hendrycks & Gimpel 2017) tells a class between two known ones, the distance to the
nearest class in feature space (Lee et al. 2018) one beside them, what the projection loses a picture made of other words. The most
unusual of the three decides. Of ten classes of fruit, with a twentieth of the known ones given away, the rule marks half to two thirds
of the pictures of a class left out, with dense descriptors and with SIFT, where the best single sign marks half or two thirds too, but
not the same one; of three fruits that differ less than their varieties do, a quarter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_SIGNS = 3
_SHRINKAGE = 0.1
"""Share of a round covariance in the one that is measured (Ledoit & Wolf 2004): without it small axes decide everything."""

_TINY = 1e-12


@dataclass(frozen=True)
class Known:
    """Where the known classes lie: means (n_classes, d) and the inverse (d, d) of the covariance that they share."""

    means: Floats
    precision: Floats

    def distances(self, features: Floats) -> Floats:
        """The squared Mahalanobis distance of one picture's features (d,) to each class, (n_classes,) float64."""
        towards = np.einsum("jk,k->j", self.precision, features) - self._scaled_means
        return np.asarray(np.einsum("ij,ij->i", features - self.means, towards))

    @cached_property
    def _scaled_means(self) -> Floats:
        # Once a chain: each class's own product with the matrix would cost a picture as many times as there are classes. By einsum, since
        # BLAS's rounding depends on its number of threads.
        return np.asarray(np.einsum("ij,kj->ik", self.means, self.precision))


@dataclass(frozen=True)
class Rule:
    """What is usual of each sign in pictures of known classes.

    Attributes
    ----------
    centres, scales : (3,) float64
        The median, and from there to the quantile that few exceed.
    threshold : float
        So many scales off the centre is the most unusual sign in those few.
    """

    centres: Floats
    scales: Floats
    threshold: float

    def novelty(self, signs: Floats) -> float:
        """How unlike the known a picture is, by its signs (3,): above 1 it is unknown."""
        return float(self.novelties(signs[None])[0])

    def novelties(self, signs: Floats) -> Floats:
        """The same of many pictures, (n,), by their signs (n, 3)."""
        return np.asarray(_unusual(signs, self.centres, self.scales) / self.threshold)


@dataclass(frozen=True)
class Familiarity:
    """The known classes of a chain, and the rule by which a picture is like none of them; no rule before it has been calibrated."""

    known: Known
    rule: Rule | None = None

    def arrays(self) -> dict[str, Floats]:
        """The same as named arrays."""
        rule = {} if self.rule is None else {**self.rule.__dict__, "threshold": np.array([self.rule.threshold])}
        return {"means": self.known.means, "precision": self.known.precision, **rule}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> Familiarity:
        """What `arrays()` took apart."""
        rule = Rule(arrays["centres"], arrays["scales"], float(arrays["threshold"][0])) if "threshold" in arrays else None
        return cls(Known(arrays["means"], arrays["precision"]), rule)


def known_classes(features: Floats, labels: Sequence[str]) -> Known:
    """The classes of (n, d) features, n at least 2; means in the order of the sorted labels."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    names, index = np.unique(np.asarray(labels), return_inverse=True)
    means, products = np.empty((len(names), features.shape[1])), np.zeros((features.shape[1], features.shape[1]))
    # BLAS's and LAPACK's rounding depends on their number of threads.
    with threadpool_limits(limits=1):
        for number in range(len(names)):
            # One class at a time: the features themselves are the largest thing that train holds.
            centred = features[index == number]
            means[number] = centred.mean(axis=0)
            centred -= means[number]
            products += centred.T @ centred
        covariance = products / len(features)
        round_ = np.eye(len(covariance)) * max(float(np.trace(covariance)) / len(covariance), _TINY)
        return Known(means, np.linalg.inv((1 - _SHRINKAGE) * covariance + _SHRINKAGE * round_).astype(np.float64, copy=False))


def signs(probabilities: Floats, features: Floats, lost: float, known: Known) -> Floats:
    """The signs of one picture, (3,) float64, higher for an unusual one.

    Logarithm of the odds against its label; squared Mahalanobis distance to the nearest class; share of its vector that the projection
    loses.

    Parameters
    ----------
    probabilities : (n_classes,)
    features : (d,)
    """
    best = float(probabilities.max())
    return np.array([np.log(max(1 - best, _TINY)) - np.log(best), float(known.distances(features).min()), lost])


def calibrated(found: Floats, *, given_away: float) -> Rule:
    """The rule that marks a share `given_away` of the pictures of known classes whose signs (n, 3) these are, n at least 1.

    They must not be those of pictures that the chain was fitted on, or of their groups: these are more usual than any other.
    """
    centres = np.median(found, axis=0)
    scales = np.maximum(np.quantile(found, 1 - given_away, axis=0) - centres, _TINY)
    threshold = float(np.quantile(_unusual(found, centres, scales), 1 - given_away))
    return Rule(centres, scales, max(threshold, _TINY))


def separation(known: Floats, unknown: Floats) -> float:
    """The probability that a picture of an unknown class is the more novel of two, of (n,) and (m,) novelties; 0.5 by chance.

    The area under the ROC curve, by ranks (Mann & Whitney 1947); ties count half.
    """
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, side="left") + np.searchsorted(ordered, unknown, side="right")
    return float(below.mean() / (2 * len(known)))


def _unusual(found: Floats, centres: Floats, scales: Floats) -> Floats:
    return np.asarray(((found - centres) / scales).max(axis=-1))
