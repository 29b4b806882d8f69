"""The visual vocabulary: descriptors in the space where they are compared, the sample, the words, and the nearest word."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.vision import dense, mixture
from pomona.vision.kmeans import clustered
from pomona.vision.mixture import Mixture
from pomona.vision.sparse import LOCAL_DIMS

Floats = NDArray[np.float32]

_WORDS_PER_CLASS = 10


@dataclass(frozen=True)
class Preparation:
    """How stored descriptors become points of a Euclidean space."""

    extractor: str
    root: bool
    colour_weight: float
    energy_weight: float = 0.0

    @classmethod
    def of(cls, knobs: Mapping[str, Any]) -> Preparation:
        return cls(str(knobs["extractor"]), bool(knobs["root"]), float(knobs["colour_weight"]), float(knobs["energy_weight"]))


class TooFewDescriptors(ValueError):
    """There are fewer sampled descriptors than words wanted."""


@dataclass(frozen=True)
class Vocabulary:
    """The visual words, and around each the spread of the descriptors that took it.

    Attributes
    ----------
    mean, axes : (n_dims,) and (n_local, n_dims) float32
        Prepared descriptors are centred and turned to these axes first; no axes (0, n_dims): they are compared as they are.
    mixture : Mixture
        The words are its means, (n_words, d); d is n_local, or n_dims without axes.
    """

    mean: Floats
    axes: Floats
    mixture: Mixture

    @property
    def words(self) -> Floats:
        """The centres, (n_words, d) float32."""
        return self.mixture.means

    @cached_property
    def _squares(self) -> Floats:
        return np.asarray(np.einsum("ij,ij->i", self.words, self.words), dtype=np.float32)

    def arrays(self) -> dict[str, Floats]:
        """The same as named arrays."""
        spread = {"variances": self.mixture.variances, "weights": self.mixture.weights}
        return {"words": self.words, **spread, "mean": self.mean, "axes": self.axes}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> Vocabulary:
        """The vocabulary that `arrays()` took apart."""
        return cls(arrays["mean"], arrays["axes"], Mixture(arrays["words"], arrays["variances"], arrays["weights"]))

    def points(self, prepared: Floats) -> Floats:
        """Prepared descriptors (n, n_dims) in the space of the words, (n, d) float32; n may be 0."""
        return np.asarray((prepared - self.mean) @ self.axes.T, dtype=np.float32) if len(self.axes) else prepared

    def nearest(self, points: Floats) -> NDArray[np.int64]:
        """The nearest word of each point, (n,) int64; of equally near ones the first.

        One matrix product for one image's points: its shape, and so its rounding, depends on that image alone.
        """
        return np.asarray(self._distances(points).argmin(axis=1), dtype=np.int64)

    def quantised(self, points: Floats) -> tuple[NDArray[np.int64], Floats]:
        """The same, and each point's squared distance to its word, (n,) float32."""
        distances = self._distances(points)
        nearest = np.asarray(distances.argmin(axis=1), dtype=np.int64)
        squares = distances[np.arange(len(points)), nearest] + np.einsum("ij,ij->i", points, points)
        return nearest, np.asarray(np.maximum(squares, 0), dtype=np.float32)

    def _distances(self, points: Floats) -> Floats:
        # |x - w|² less |x|², which is the same for every word.
        return np.asarray(self._squares - 2 * (points @ self.words.T), dtype=np.float32)


class Learned(NamedTuple):
    """A vocabulary and what is worth reporting of it.

    Attributes
    ----------
    vocabulary : Vocabulary
    inertia : float
        Sum of the sample's squared distances to the nearest word.
    n_empty : int
        Words that are nearest to no descriptor of the sample.
    n_duplicate : int
        Words equal to an earlier one.
    """

    vocabulary: Vocabulary
    inertia: float
    n_empty: int
    n_duplicate: int


def vocabulary_size(knobs: Mapping[str, Any], n_classes: int) -> int:
    """The knob `n_words`; when it is 0, ten for each class."""
    return int(knobs["n_words"]) or _WORDS_PER_CLASS * n_classes


def prepare(descriptors: NDArray[np.uint8], preparation: Preparation) -> Floats:
    """Points to be compared by Euclidean distance, (n, d) float32, one for each of the (n, n_dims) stored descriptors; n may be 0.

    SIFT with `root`: the square root of each descriptor's shares, unit length (RootSIFT: Arandjelović & Zisserman 2012); without: as it
    is. ORB: bits as 0 and 1, so that the squared distance is Hamming's. Lab, as shares of 255 times `colour_weight`, stands beside it,
    scaled to the local part's own length, so that one weight means the same everywhere; with weight 0 it is left out. Dense
    descriptors: what the bytes stand for, colours and sharpness by their weights.
    """
    if preparation.extractor == "dense":
        return dense.weighted(descriptors, colour=preparation.colour_weight, energy=preparation.energy_weight)
    n_local = LOCAL_DIMS[preparation.extractor]
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


def learn(sample: Floats, *, knobs: Mapping[str, Any], n_words: int) -> Learned:
    """`n_words` words of a sample of prepared descriptors (n, n_dims); the same bits for the same sample in the same order.

    With `local_components` the sample is turned to so many principal axes first. Words are centres by K-Means (Lloyd 1982) from seeded
    random rows, their spread is that of the descriptors that took them, then refined by `em_steps` of expectation-maximisation for a
    mixture of Gaussians with diagonal covariances (Dempster, Laird & Rubin 1977).

    Raises
    ------
    TooFewDescriptors
        When the sample has fewer rows than words are wanted.
    """
    if len(sample) < n_words:
        raise TooFewDescriptors(f"n_words={n_words} but only {len(sample)} descriptors were sampled: add images or lower n_words")
    import faiss  # noqa: F401
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # One thread: the same sample gave other bits with three and with seven. The import comes first, or its libraries escape the limit.
    with threadpool_limits(limits=1):
        mean, axes = _local_axes(sample, int(knobs["local_components"]))
        points = np.ascontiguousarray((sample - mean) @ axes.T if len(axes) else sample, dtype=np.float32)
        words, nearest, inertia = clustered(points, n_words, iterations=int(knobs["kmeans_iterations"]), seed=int(knobs["seed"]))
        fitted = mixture.of_members(points, nearest, words)
        for _ in range(int(knobs["em_steps"])):
            fitted = mixture.improved(points, fitted)
    used = np.count_nonzero(np.bincount(nearest, minlength=n_words))
    return Learned(Vocabulary(mean, axes, fitted), inertia, n_words - int(used), n_words - len(np.unique(words, axis=0)))


def _local_axes(sample: Floats, n_components: int) -> tuple[Floats, Floats]:
    """The mean and the principal axes of the sample; no axes when none are asked for."""
    if not n_components:
        return np.zeros(sample.shape[1], np.float32), np.empty((0, sample.shape[1]), np.float32)
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = sample - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    return mean.astype(np.float32), np.ascontiguousarray(axes[:, ::-1][:, :n_components].T, dtype=np.float32)


def _local(local: NDArray[np.uint8], preparation: Preparation) -> tuple[Floats, float]:
    """The local part prepared, and the usual length of one row of it."""
    if preparation.extractor == "orb":
        return np.unpackbits(local, axis=1).astype(np.float32), float(np.sqrt(128))
    values = local.astype(np.float32)
    if not preparation.root:
        return values, 512.0
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1)
    return np.sqrt(values, out=values), 1.0
