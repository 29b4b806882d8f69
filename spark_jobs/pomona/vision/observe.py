"""What one picture looked like to a fitted chain: its answer, how well its vocabulary and projection fitted, and light and lens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

_SHADES = 6
_BLANK = 1e-3


class Fit(NamedTuple):
    """How one described picture fits a chain; see `Observation`."""

    probabilities: Floats
    words: NDArray[np.float32]
    quantisation: float
    reconstruction: float
    n_keypoints: int


class Light(NamedTuple):
    """What light and lens did to a picture; see `Observation`."""

    brightness: float
    blur: float
    cast: tuple[float, float]


class Observation(NamedTuple):
    """One picture as a chain saw it.

    Attributes
    ----------
    probabilities : (n_classes,) float64
        The bits that `Chain.answer` gives.
    words : (n_words,) float32
        Shares of the words that the picture's points took, each its nearest; sums to 1, or zeros without a point.
    quantisation : float
        Mean squared distance of the points to their nearest words; 0 without a point.
    reconstruction : float
        Share of the centred vector's squared length that the projection loses, 0 to 1; 0 for the mean itself.
    n_keypoints : int
    brightness : float
        Mean grey, 0 to 1.
    blur : float
        Higher is blurrier; the same in other light, and nearly the same in another size (see `light`).
    cast : (float, float)
        How far the light is from white: ln(red / green) and ln(blue / green).
    """

    probabilities: Floats
    words: NDArray[np.float32]
    quantisation: float
    reconstruction: float
    n_keypoints: int
    brightness: float
    blur: float
    cast: tuple[float, float]


class Observations(NamedTuple):
    """The same of n pictures, n at least 1: each attribute with an axis of n before its own; numbers are float64 (n,), cast (n, 2)."""

    probabilities: Floats
    words: NDArray[np.float32]
    quantisation: Floats
    reconstruction: Floats
    n_keypoints: NDArray[np.int64]
    brightness: Floats
    blur: Floats
    cast: Floats

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Observations:
        """Those of some of the pictures."""
        return Observations._make(column[chosen] for column in self)

    def and_those(self, more: Observations) -> Observations:
        """These, then those of more pictures."""
        return Observations._make(np.concatenate([own, other]) for own, other in zip(self, more, strict=True))


def stacked(observations: Sequence[Observation]) -> Observations:
    """The observations of pictures, one or more, as arrays, in their order."""
    return Observations._make(np.array(column) for column in zip(*observations, strict=True))


def light(image: Image) -> Light:
    """Brightness, blur and cast of a picture (h, w, 3) BGR.

    Blur is −ln of the variance of the Laplacian (Pech-Pacheco et al. 2000), as a share of the grey's own variance, so that it does not
    move with exposure or contrast, and times the picture's side √(h · w): edges take a share of the pixels that falls as 1 / side.
    Cast compares the channels' Minkowski means of order 6 (shades of grey: Finlayson & Trezzi 2004): light things count most, which show
    the light's colour, and not the object's. Against the spread between varieties of fruit, a warm light moves it by 11 deviations, mean
    a* and b* by 1.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
    edges = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0])
    side = math.sqrt(grey.size)
    blur = math.log((deviation**2 + 1) / ((edges**2 + _BLANK) * side))
    blue, green, red = (math.log(max(value, _BLANK)) / _SHADES for value in cv2.mean(cv2.pow(image.astype(np.float32), _SHADES))[:3])
    return Light(mean / 255, blur, (red - green, blue - green))


def shares(nearest: NDArray[np.int64], n_words: int) -> NDArray[np.float32]:
    """The share of the points that took each word, (n_words,) float32, of the points' nearest words (n,); n = 0: zeros."""
    return np.asarray(np.bincount(nearest, minlength=n_words) / max(len(nearest), 1), dtype=np.float32)


def lost(vector: Floats, mean: Floats, features: Floats) -> float:
    """The share of a vector's squared distance to the mean that its projection on orthonormal axes, `features`, does not hold."""
    centred = vector - mean
    length = float(centred @ centred)
    return min(max(1 - float(features @ features) / length, 0.0), 1.0) if length else 0.0
