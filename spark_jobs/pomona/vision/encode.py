"""One image's descriptors become a vector: a bag of words beside the histogram, projected on the training vectors' principal axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pomona.vision.describe import Description
from pomona.vision.words import Preparation, assign, prepare

_SHARE_OF_WORDS = 0.7
_NOISE = 1e-12


@dataclass(frozen=True)
class Encoding:
    """How an image's words and histogram become its vector, and to how many components it is projected."""

    encoding: str
    histogram_weight: float
    n_components: int

    @classmethod
    def of(cls, knobs: Mapping[str, Any]) -> Encoding:
        return cls(str(knobs["encoding"]), float(knobs["histogram_weight"]), int(knobs["n_components"]))

    @property
    def step(self) -> float:
        """The grid of `Moments`, a power of 2: room for 100 million images of Hellinger shares, or of counts up to 1,000."""
        return 2.0**-13 if self.encoding == "hellinger" else 2.0**-3

    def components_for(self, n_words: int) -> int:
        """The number of components wanted; 0 stands for 70 % of the words."""
        return self.n_components or max(1, round(_SHARE_OF_WORDS * n_words))


@dataclass(frozen=True)
class Moments:
    """What a set of vectors leaves for the projection; moments of disjoint sets add up.

    Attributes
    ----------
    count : int
    total : (n_features,) float64
        Sum of the vectors.
    outer : (n_features, n_features) float64
        Sum of each vector's product with itself.
    """

    count: int
    total: NDArray[np.float64]
    outer: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.float64], *, step: float = 2.0**-13) -> Moments:
        """The moments of (n, n_features) vectors, rounded to whole steps; n may be 0. `step` is `Encoding.step`.

        On that grid every product and sum is exact, as long as sums of squares stay below 2⁵³ steps²: no order of adding, no number of
        partitions and no BLAS changes a bit. The rounding moves an axis by about 1e-5, and moves it the same for everybody.
        """
        grid = np.rint(vectors / step)
        return cls(len(vectors), grid.sum(axis=0) * step, (grid.T @ grid) * step**2)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)


def vector(description: Description, words: NDArray[np.float32], preparation: Preparation, encoding: Encoding) -> NDArray[np.float64]:
    """The bag of words, (n_words,) or with the histogram beside it (n_words + n_bins,), float64.

    `counts`: how many keypoints took each word (Csurka et al. 2004). `hellinger`: the square root of their shares, unit length (Jégou &
    Chum 2012). The histogram stands as the square root of its shares times `histogram_weight`; with weight 0 it is left out. No keypoint:
    a bag of zeros.
    """
    nearest = assign(prepare(description.descriptors, preparation), words)
    bag = np.bincount(nearest, minlength=len(words)).astype(np.float64)
    if encoding.encoding == "hellinger":
        bag = np.sqrt(bag / max(len(nearest), 1))
    if not encoding.histogram_weight:
        return bag
    return np.concatenate([bag, encoding.histogram_weight * np.sqrt(description.histogram.astype(np.float64))])


def fit_projection(moments: Moments, n_components: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (n_features,) and the principal axes (n_kept, n_features), largest variance first (Pearson 1901).

    `n_kept` is `n_components` or what the rows allow: no more than there are features, nor axes along which they vary, but at least 1.
    Each axis points where its largest coordinate is positive.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    mean = moments.total / max(moments.count, 1)
    covariance = moments.outer / max(moments.count, 1) - np.outer(mean, mean)
    # LAPACK's rounding depends on its number of threads.
    with threadpool_limits(limits=1):
        variances, axes = np.linalg.eigh(covariance)
    varying = np.count_nonzero(variances > _NOISE * max(variances[-1], np.trace(moments.outer) / max(moments.count, 1)))
    n_kept = max(1, min(n_components, int(varying)))
    components = axes[:, ::-1][:, :n_kept].T
    largest = np.abs(components).argmax(axis=1)
    signs = np.where(components[np.arange(n_kept), largest] < 0, -1.0, 1.0)
    # A matrix in the other order takes another BLAS routine, and rounds otherwise.
    return mean, np.ascontiguousarray(components * signs[:, None])


def project(vector: NDArray[np.float64], mean: NDArray[np.float64], components: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features of one image, (n_components,) float64. One at a time: the same bits alone and in any batch."""
    return np.asarray(np.ascontiguousarray(components) @ (vector - mean), dtype=np.float64)
