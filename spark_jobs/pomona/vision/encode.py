"""One image's descriptors become a vector: a bag of words or a Fisher vector, the histogram beside it, projected on principal axes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pomona.vision import dense
from pomona.vision.describe import Description
from pomona.vision.mixture import fisher_vector
from pomona.vision.words import Preparation, Vocabulary, prepare

QUARTERS = (1, 3)
"""Clockwise turns of a training image that it is learnt in too; upside down teaches nothing more."""

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

    def components_for(self, n_words: int) -> int:
        """The number of components wanted; 0 stands for 70 % of the words."""
        return self.n_components or max(1, round(_SHARE_OF_WORDS * n_words))


def vector(description: Description, vocabulary: Vocabulary, preparation: Preparation, encoding: Encoding) -> NDArray[np.float64]:
    """The image's vector, float64: (n_words,) for a bag of words, (2 · n_words · d,) for a Fisher vector, N_BINS more for the histogram.

    `counts`: how many keypoints took each word (Csurka et al. 2004). `hellinger`: the square root of their shares, unit length (Jégou &
    Chum 2012). `fisher`: see `mixture.fisher_vector`. The histogram stands as the square root of its shares times `histogram_weight`;
    with weight 0 it is left out. No keypoint: zeros.
    """
    points = vocabulary.points(prepare(description.descriptors, preparation))
    nearest = None if encoding.encoding == "fisher" else vocabulary.nearest(points)
    return encoded(points, nearest, description.histogram, vocabulary, encoding)


def encoded(
    points: NDArray[np.float32],
    nearest: NDArray[np.int64] | None,
    histogram: NDArray[np.float32],
    vocabulary: Vocabulary,
    encoding: Encoding,
) -> NDArray[np.float64]:
    """The same of points (n, d) in the space of the words, with the nearest word of each, (n,), which a Fisher vector does not ask for."""
    if encoding.encoding == "fisher" or nearest is None:
        local = fisher_vector(points, vocabulary.mixture)
    else:
        local = np.bincount(nearest, minlength=len(vocabulary.words)).astype(np.float64)
        if encoding.encoding == "hellinger":
            local = np.sqrt(local / max(len(points), 1))
    if not encoding.histogram_weight:
        return local
    return np.concatenate([local, encoding.histogram_weight * np.sqrt(histogram.astype(np.float64))])


def taught_quarters(knobs: Mapping[str, Any]) -> tuple[int, ...]:
    """The turns in which a training image is learnt beside itself; none without `turns`, nor of descriptors that cannot be turned."""
    return QUARTERS if knobs["turns"] and knobs["extractor"] == "dense" else ()


def at_quarters(description: Description, quarters: int) -> Description:
    """The description of the picture turned clockwise by so many quarters; its descriptors are dense, or it is not turned."""
    if not quarters:
        return description
    return description._replace(descriptors=dense.turned(description.descriptors, quarters))


def in_sample(content: str, copy: int, *, share: float, seed: int) -> bool:
    """Whether an image's vector is one of those that the projection is fitted on: about `share` of them, chosen by hash."""
    digest = hashlib.sha256(f"projection/{seed}/{content}/{copy}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2.0**64


def fit_projection(vectors: NDArray[np.float64], n_components: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (n_features,) and the principal axes (n_kept, n_features) of (n, n_features) vectors, largest variance first.

    `n_kept` is `n_components` or what the vectors allow: no more axes than they vary along, but at least 1. Each axis points where its
    largest coordinate is positive. Of fewer vectors than features the products among the vectors are taken apart instead of the
    covariance, which have the same axes (Turk & Pentland 1991). The same vectors in the same order give the same bits.

    Raises
    ------
    ValueError
        Without vectors.
    """
    from scipy.linalg import eigh
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if not len(vectors):
        raise ValueError("no training image reached the projection")
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    few = len(vectors) < vectors.shape[1]
    # BLAS's and LAPACK's rounding depends on their number of threads.
    with threadpool_limits(limits=1):
        products = centred @ centred.T if few else centred.T @ centred
        n = len(products)
        variances, axes = eigh(products, subset_by_index=[max(0, n - n_components), n - 1], driver="evr")
        n_kept = max(1, int(np.count_nonzero(variances > _NOISE * max(float(np.square(vectors).sum()), 1e-300))))
        components = np.ascontiguousarray(axes[:, ::-1][:, :n_kept].T)
        if few:
            components = components @ centred
            components /= np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-300)
    largest = np.abs(components).argmax(axis=1)
    signs = np.where(components[np.arange(n_kept), largest] < 0, -1.0, 1.0)
    # A matrix in the other order takes another BLAS routine, and rounds otherwise.
    return mean, np.ascontiguousarray(components * signs[:, None])


def project(vector: NDArray[np.float64], mean: NDArray[np.float64], components: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features of one image, (n_components,) float64. One at a time: the same bits alone and in any batch."""
    return np.asarray(np.ascontiguousarray(components) @ (vector - mean), dtype=np.float64)
