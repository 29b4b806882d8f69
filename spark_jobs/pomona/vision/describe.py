"""One picture becomes local descriptors with the colour at each keypoint, and one colour histogram."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray

from pomona.vision import decode
from pomona.vision.fingerprint import fingerprint

HISTOGRAM_BINS = (8, 4, 4)
"""Of hue, saturation and value. Finer hues fit the varieties seen and lose on those that were not: 16 cost two points."""

N_BINS = HISTOGRAM_BINS[0] * HISTOGRAM_BINS[1] * HISTOGRAM_BINS[2]
_LOCAL_BYTES = {"sift": 128, "orb": 32}
_LAB = 3


@dataclass(frozen=True)
class Extractor:
    """What describing depends on; equal extractors (by `key`) give equal bytes."""

    extractor: str
    side_px: int
    max_keypoints: int
    contrast_threshold: float
    edge_threshold: float

    @classmethod
    def of(cls, knobs: Mapping[str, Any]) -> Extractor:
        return cls(
            extractor=str(knobs["extractor"]),
            side_px=int(knobs["side_px"]),
            max_keypoints=int(knobs["max_keypoints"]),
            contrast_threshold=float(knobs["contrast_threshold"]),
            edge_threshold=float(knobs["edge_threshold"]),
        )

    @property
    def key(self) -> str:
        """Such as `sift-0123456789ab`: a hash of the settings, of the describing code, and of the libraries that decode and describe."""
        modules = (decode, inspect.getmodule(fingerprint), inspect.getmodule(Extractor))
        sources = [inspect.getsource(module) for module in modules if module]
        parts = [repr(sorted(asdict(self).items())), cv2.__version__, PIL.__version__, *sources]
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return f"{self.extractor}-{digest[:12]}"


class Description(NamedTuple):
    """What stays of a picture.

    Attributes
    ----------
    descriptors : (n_keypoints, n_dims) uint8
        SIFT (Lowe 2004) 128 columns or ORB (Rublee et al. 2011) 32 bytes, then Lab at the keypoint, 3 columns; n_keypoints may be 0.
    histogram : (N_BINS,) float32
        Shares of the pixels by hue, saturation and value; sums to 1.
    fingerprint : int
        Perceptual hash, 64 bits with sign; what is encoded does not depend on it.
    """

    descriptors: NDArray[np.uint8]
    histogram: NDArray[np.float32]
    fingerprint: int = 0


def n_dims(extractor: str) -> int:
    """Columns of a descriptor: 131 for `sift`, 35 for `orb`."""
    return _LOCAL_BYTES[extractor] + _LAB


class Describer:
    """Describes pictures one by one; holds the OpenCV detector, so make one for each worker, not for each picture."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self._detector: Any = _sift(extractor) if extractor.extractor == "sift" else _orb(extractor)

    def describe(self, data: bytes) -> Description:
        """Descriptors and histogram of the picture in `data`.

        Raises
        ------
        BadImage
            When the bytes do not decode.
        """
        image = decode.decode(data, side_px=self.extractor.side_px)
        keypoints, local = self._detected(image)
        return Description(np.hstack([local, _lab_at(image, keypoints)]), histogram(image), fingerprint(image))

    def keypoints(self, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The decoded picture (height, width, 3) BGR, and (n_keypoints, 4) float32: x, y, size in pixels and angle in degrees.

        In the order of the descriptors' rows.
        """
        image = decode.decode(data, side_px=self.extractor.side_px)
        keypoints, _ = self._detected(image)
        rows = [(*keypoint.pt, keypoint.size, keypoint.angle) for keypoint in keypoints]
        return image, np.asarray(rows, dtype=np.float32).reshape(-1, 4)

    def _detected(self, image: NDArray[np.uint8]) -> tuple[Sequence[cv2.KeyPoint], NDArray[np.uint8]]:
        """Keypoints and their (n, 128 or 32) descriptors: by position, or the strongest `max_keypoints`, strongest first."""
        keypoints: Sequence[cv2.KeyPoint] = ()
        local = None
        # A very long picture reduced to side_px can be one pixel high, where ORB's pyramid fails.
        if min(image.shape[:2]) >= decode.MIN_SIDE_PX:
            keypoints, local = self._detector.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None)
        if local is None:
            return (), np.empty((0, _LOCAL_BYTES[self.extractor.extractor]), np.uint8)
        if len(keypoints) >= self.extractor.max_keypoints:
            # The detector dropped the weakest, lost the order, and kept all that tie with the last; position decides among them.
            order = sorted(range(len(keypoints)), key=lambda i: _strength(keypoints[i]))[: self.extractor.max_keypoints]
            return [keypoints[i] for i in order], local[order]
        return keypoints, local


def histogram(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shares of the pixels in each bin of hue, saturation and value, (N_BINS,) float32, of an image (h, w, 3) BGR."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, list(HISTOGRAM_BINS), [0, 180, 0, 256, 0, 256])
    return np.asarray(counts.ravel() / (image.shape[0] * image.shape[1]), dtype=np.float32)


def _lab_at(image: NDArray[np.uint8], keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.uint8]:
    """CIE Lab as 8 bits at each keypoint's pixel, (n_keypoints, 3) uint8."""
    if not keypoints:
        return np.empty((0, _LAB), np.uint8)
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
    columns, rows = np.rint(cv2.KeyPoint.convert(keypoints)).astype(np.intp).T
    return np.asarray(lab[rows.clip(0, lab.shape[0] - 1), columns.clip(0, lab.shape[1] - 1)], dtype=np.uint8)


def _strength(keypoint: cv2.KeyPoint) -> tuple[float, ...]:
    return (-keypoint.response, *keypoint.pt, keypoint.size, keypoint.angle)


def _sift(extractor: Extractor) -> Any:
    # By position: only the seven-argument form takes the descriptors' type, and uint8 loses nothing.
    # The bound on keypoints is given to the detector, which drops the weakest before it computes their descriptors.
    thresholds = (extractor.contrast_threshold, extractor.edge_threshold)
    return cv2.SIFT.create(extractor.max_keypoints, 3, *thresholds, 1.6, cv2.CV_8U, False)


def _orb(extractor: Extractor) -> Any:
    # The default border of 31 pixels leaves one picture of 100 pixels in six without a keypoint; 8 with a low FAST threshold leaves none.
    return cv2.ORB.create(nfeatures=extractor.max_keypoints, edgeThreshold=8, patchSize=31, fastThreshold=7)
