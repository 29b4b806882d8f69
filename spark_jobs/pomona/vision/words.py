"""The visual vocabulary: descriptors in the space where they are compared, the sample, the words, and the nearest word."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_WORDS_PER_CLASS = 10
_LOCAL_BYTES = {"sift": 128, "orb": 32}


@dataclass(frozen=True)
class Preparation:
    """How stored descriptors become points of a Euclidean space."""

    extractor: str
    root: bool
    colour_weight: float

    @classmethod
    def of(cls, knobs: Mapping[str, Any]) -> Preparation:
        return cls(str(knobs["extractor"]), bool(knobs["root"]), float(knobs["colour_weight"]))


class TooFewDescriptors(ValueError):
    """There are fewer sampled descriptors than words wanted."""


class Learned(NamedTuple):
    """A vocabulary and what is worth reporting of it.

    Attributes
    ----------
    words : (n_words, d) float32
    inertia : float
        Sum of the sample's squared distances to the nearest word.
    n_empty : int
        Words that are nearest to no descriptor of the sample.
    n_duplicate : int
        Words equal to an earlier one.
    """

    words: NDArray[np.float32]
    inertia: float
    n_empty: int
    n_duplicate: int


def vocabulary_size(knobs: Mapping[str, Any], n_classes: int) -> int:
    """The knob `n_words`; when it is 0, ten for each class."""
    return int(knobs["n_words"]) or _WORDS_PER_CLASS * n_classes


def prepare(descriptors: NDArray[np.uint8], preparation: Preparation) -> NDArray[np.float32]:
    """Points to be compared by Euclidean distance, (n, d) float32, one for each of the (n, n_dims) stored descriptors; n may be 0.

    SIFT with `root`: the square root of each descriptor's shares, unit length (RootSIFT: Arandjelović & Zisserman 2012); without: as it
    is. ORB: bits as 0 and 1, so that the squared distance is Hamming's. Lab, as shares of 255 times `colour_weight`, stands beside it,
    scaled to the local part's own length, so that one weight means the same everywhere; with weight 0 it is left out.
    """
    n_local = _LOCAL_BYTES[preparation.extractor]
    local, length = _local(descriptors[:, :n_local], preparation)
    if not preparation.colour_weight:
        return local
    colour = descriptors[:, n_local:] * np.float32(preparation.colour_weight * length / 255)
    return np.hstack([local, colour])


def draw(content: str, descriptors: NDArray[np.uint8], *, share: float, seed: int) -> NDArray[np.uint8]:
    """About `share` of one image's descriptors: rows chosen by content, seed and share alone, in their order."""
    if share >= 1:
        return descriptors
    digest = hashlib.sha256(f"{seed}:{content}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    return descriptors[generator.random(len(descriptors)) < share]


def learn(sample: NDArray[np.float32], *, n_words: int, iterations: int, seed: int) -> Learned:
    """`n_words` centres of the sample (n, d) by K-Means (Lloyd 1982), from seeded random rows; the same bits for the same sample.

    Raises
    ------
    TooFewDescriptors
        When the sample has fewer rows than words are wanted.
    """
    if len(sample) < n_words:
        raise TooFewDescriptors(f"n_words={n_words} but only {len(sample)} descriptors were sampled: add images or lower n_words")
    import faiss
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    points = np.ascontiguousarray(sample, dtype=np.float32)
    # Without these bounds faiss draws a sample of the sample, and warns of small ones.
    bounds = {"max_points_per_centroid": len(points), "min_points_per_centroid": 1}
    kmeans = faiss.Kmeans(points.shape[1], n_words, niter=iterations, seed=seed, **bounds)
    # One thread: the same sample gave other bits with three and with seven. The import comes first, or its libraries escape the limit.
    with threadpool_limits(limits=1):
        kmeans.train(points)
        distances, nearest = faiss.knn(points, kmeans.centroids, 1)
    words = np.array(kmeans.centroids, dtype=np.float32)
    used = np.count_nonzero(np.bincount(nearest.ravel(), minlength=n_words))
    return Learned(words, float(distances.sum(dtype=np.float64)), n_words - int(used), n_words - len(np.unique(words, axis=0)))


def assign(prepared: NDArray[np.float32], words: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest word of each prepared descriptor, (n,) int64; of equally near ones the first.

    One matrix product for one image's descriptors: its shape, and so its rounding, depends on that image alone.
    """
    # |x - w|² less |x|², which is the same for every word.
    distances = np.einsum("ij,ij->i", words, words) - 2 * (prepared @ words.T)
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def _local(local: NDArray[np.uint8], preparation: Preparation) -> tuple[NDArray[np.float32], float]:
    """The local part prepared, and the usual length of one row of it."""
    if preparation.extractor == "orb":
        return np.unpackbits(local, axis=1).astype(np.float32), float(np.sqrt(128))
    values = local.astype(np.float32)
    if not preparation.root:
        return values, 512.0
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1)
    return np.sqrt(values, out=values), 1.0
