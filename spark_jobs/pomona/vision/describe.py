"""One picture becomes local descriptors with colour, a colour histogram, and a fingerprint; altered copies of it too."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray

from pomona.vision import augment, decode, dense, plain, sparse
from pomona.vision.fingerprint import fingerprint

HISTOGRAM_BINS = (8, 4, 4)
"""Of hue, saturation and value. Finer hues fit the varieties seen and lose on those that were not: 16 cost two points."""

N_BINS = HISTOGRAM_BINS[0] * HISTOGRAM_BINS[1] * HISTOGRAM_BINS[2]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Extractor:
    """What describing depends on; equal extractors (by `key`) give equal bytes. What the kind of descriptor does not obey is 0."""

    extractor: str
    side_px: int
    max_keypoints: int
    contrast_threshold: float = 0.0
    edge_threshold: float = 0.0
    grid_px: int = 0
    object_only: bool = False

    @classmethod
    def of(cls, knobs: Mapping[str, Any]) -> Extractor:
        kind, side_px, most = str(knobs["extractor"]), int(knobs["side_px"]), int(knobs["max_keypoints"])
        if kind == "dense":
            return cls(kind, side_px, most, grid_px=int(knobs["grid_px"]), object_only=bool(knobs["object_only"]))
        if kind == "orb":
            return cls(kind, side_px, most)
        return cls(kind, side_px, most, float(knobs["contrast_threshold"]), float(knobs["edge_threshold"]))

    @property
    def key(self) -> str:
        """Such as `sift-0123456789ab`: a hash of the settings, of the describing code, and of the libraries that decode and describe."""
        kind = dense if self.extractor == "dense" else sparse
        modules = (decode, augment, inspect.getmodule(fingerprint), inspect.getmodule(Extractor), kind, plain)
        sources = [inspect.getsource(module) for module in modules if module]
        parts = [repr(sorted(asdict(self).items())), cv2.__version__, PIL.__version__, *sources]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return f"{self.extractor}-{digest[:12]}"


class Description(NamedTuple):
    """What stays of a picture.

    Attributes
    ----------
    descriptors : (n_keypoints, n_dims) uint8
        Of `sparse` or `dense`; n_keypoints may be 0 where a detector looks for them.
    histogram : (N_BINS,) float32
        Shares of the pixels by hue, saturation and value; sums to 1.
    fingerprint : int
        Perceptual hash, 64 bits with sign; what is encoded does not depend on it.
    """

    descriptors: NDArray[np.uint8]
    histogram: NDArray[np.float32]
    fingerprint: int = 0


class _Describes(Protocol):
    def described(self, image: Image) -> tuple[NDArray[np.uint8], NDArray[np.float32]]: ...


def n_dims(extractor: str) -> int:
    """Columns of a descriptor: 135 for `dense`, 131 for `sift`, 35 for `orb`."""
    return dense.N_DIMS if extractor == "dense" else sparse.LOCAL_DIMS[extractor] + sparse.LAB_DIMS


class Describer:
    """Describes pictures one by one; make one for each worker, not for each picture."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self._local: _Describes = _local(extractor)

    def describe(self, data: bytes) -> Description:
        """Descriptors, histogram and fingerprint of the picture in `data`.

        Raises
        ------
        BadImage
            When the bytes do not decode.
        """
        return self._printed(decode.decode(data, side_px=self.extractor.side_px))

    def seen(self, image: Image) -> Description:
        """The same of a decoded picture (h, w, 3) BGR, without the fingerprint: no answer depends on it."""
        return Description(self._local.described(image)[0], histogram(image))

    def copies(self, data: bytes, content: str, copies: Iterable[int]) -> list[Description]:
        """The same for numbered copies of the picture: 0 is the picture itself, the others are altered (`augment.altered`).

        Raises
        ------
        BadImage
            When the bytes do not decode.
        """
        image = decode.decode(data, side_px=self.extractor.side_px)
        return [self._printed(augment.altered(image, content, copy) if copy else image) for copy in copies]

    def keypoints(self, data: bytes) -> tuple[Image, NDArray[np.float32]]:
        """The decoded picture (height, width, 3) BGR, and (n_keypoints, 4) float32: x, y, size in pixels and angle in degrees.

        In the order of the descriptors' rows.
        """
        image = decode.decode(data, side_px=self.extractor.side_px)
        return image, self._local.described(image)[1]

    def _printed(self, image: Image) -> Description:
        return self.seen(image)._replace(fingerprint=fingerprint(image))


def histogram(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shares of the pixels in each bin of hue, saturation and value, (N_BINS,) float32, of an image (h, w, 3) BGR."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, list(HISTOGRAM_BINS), [0, 180, 0, 256, 0, 256])
    return np.asarray(counts.ravel() / (image.shape[0] * image.shape[1]), dtype=np.float32)


def _local(extractor: Extractor) -> _Describes:
    if extractor.extractor == "dense":
        return dense.Grid(extractor.grid_px, extractor.max_keypoints, extractor.object_only)
    thresholds = {"contrast_threshold": extractor.contrast_threshold, "edge_threshold": extractor.edge_threshold}
    return sparse.Detector(extractor.extractor, max_keypoints=extractor.max_keypoints, **thresholds)
