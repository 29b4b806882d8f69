"""Descriptors at the keypoints that a detector finds: SIFT or ORB, with the colour there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pomona.vision import decode

Image = NDArray[np.uint8]

LOCAL_DIMS = {"sift": 128, "orb": 32}
"""Columns of the local part: SIFT's values or ORB's bytes."""

LAB_DIMS = 3


class Detector:
    """Finds keypoints and describes them; holds OpenCV's object, so make one for each worker, not for each picture."""

    def __init__(self, kind: str, *, max_keypoints: int, contrast_threshold: float, edge_threshold: float) -> None:
        self._max_keypoints, self._n_local = max_keypoints, LOCAL_DIMS[kind]
        if kind == "sift":
            # By position: only the seven-argument form takes the descriptors' type, and uint8 loses nothing.
            # The bound on keypoints is given to the detector, which drops the weakest before it computes their descriptors.
            self._detector: Any = cv2.SIFT.create(max_keypoints, 3, contrast_threshold, edge_threshold, 1.6, cv2.CV_8U, False)
        else:
            # The default border of 31 pixels leaves one picture of 100 pixels in six without a keypoint; 8 with a low FAST threshold
            # leaves none.
            self._detector = cv2.ORB.create(nfeatures=max_keypoints, edgeThreshold=8, patchSize=31, fastThreshold=7)

    def described(self, image: Image) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Of an image (h, w, 3) BGR the (n, 131 or 35) uint8 descriptors, and (n, 4) float32: x, y, size in pixels, angle in degrees.

        SIFT (Lowe 2004) or ORB (Rublee et al. 2011), then CIE Lab at the keypoint. Of many the strongest `max_keypoints`, strongest first;
        n may be 0.
        """
        keypoints, local = self._detected(image)
        rows = [(*keypoint.pt, keypoint.size, keypoint.angle) for keypoint in keypoints]
        return np.hstack([local, _lab_at(image, keypoints)]), np.asarray(rows, dtype=np.float32).reshape(-1, 4)

    def _detected(self, image: Image) -> tuple[Sequence[cv2.KeyPoint], NDArray[np.uint8]]:
        keypoints: Sequence[cv2.KeyPoint] = ()
        local = None
        # A very long picture reduced to side_px can be one pixel high, where ORB's pyramid fails.
        if min(image.shape[:2]) >= decode.MIN_SIDE_PX:
            keypoints, local = self._detector.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None)
        if local is None:
            return (), np.empty((0, self._n_local), np.uint8)
        if len(keypoints) >= self._max_keypoints:
            # The detector dropped the weakest, lost the order, and kept all that tie with the last; position decides among them.
            order = sorted(range(len(keypoints)), key=lambda i: _strength(keypoints[i]))[: self._max_keypoints]
            return [keypoints[i] for i in order], local[order]
        return keypoints, local


def _lab_at(image: NDArray[np.uint8], keypoints: Sequence[cv2.KeyPoint]) -> NDArray[np.uint8]:
    """CIE Lab as 8 bits at each keypoint's pixel, (n_keypoints, 3) uint8."""
    if not keypoints:
        return np.empty((0, LAB_DIMS), np.uint8)
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
    columns, rows = np.rint(cv2.KeyPoint.convert(keypoints)).astype(np.intp).T
    return np.asarray(lab[rows.clip(0, lab.shape[0] - 1), columns.clip(0, lab.shape[1] - 1)], dtype=np.uint8)


def _strength(keypoint: cv2.KeyPoint) -> tuple[float, ...]:
    return (-keypoint.response, *keypoint.pt, keypoint.size, keypoint.angle)
