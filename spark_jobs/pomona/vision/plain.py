"""Where a picture's object is: apart from plain surroundings when there are any, else about the middle."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

TOLERANCE = 18
_CORNER_PX = 5
_PLAIN_BORDER_SHARE = 0.6
_MIN_OBJECT_PX = 300
_ELLIPSE = 0.95


def corner_colour(image: Image) -> NDArray[np.float64]:
    """The median colour of the four corners of an image (h, w, 3), (3,) float64."""
    size = min(_CORNER_PX, *image.shape[:2])
    ends = (slice(size), slice(-size, None))
    return np.asarray(np.median(np.concatenate([image[rows, columns].reshape(-1, 3) for rows in ends for columns in ends]), axis=0))


def surroundings(image: Image) -> NDArray[np.bool_]:
    """The plain surroundings of an image (h, w, 3), (h, w) bool: what has the corners' colour and reaches the border.

    A pixel is like the corners when no channel differs by more than `TOLERANCE`.
    """
    alike = (np.abs(image.astype(np.int16) - corner_colour(image).astype(np.int16)).max(axis=2) <= TOLERANCE).astype(np.uint8)
    _, areas = cv2.connectedComponents(cv2.copyMakeBorder(alike, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1), connectivity=4)
    return np.asarray(areas[1:-1, 1:-1] == areas[0, 0])


def object_of(image: Image) -> NDArray[np.bool_]:
    """Where the object of an image (h, w, 3) is, (h, w) bool; never nowhere.

    Where most of the border is plain surroundings: all that these leave, less specks; all of the picture when that is next to nothing.
    Else a central ellipse: of surroundings that are not plain nothing is known.
    """
    around = surroundings(image)
    height, width = around.shape
    border = np.concatenate([around[0], around[-1], around[1:-1, 0], around[1:-1, -1]])
    if border.mean() < _PLAIN_BORDER_SHARE:
        inside = np.zeros((height, width), np.uint8)
        axes = (max(1, round(_ELLIPSE * width / 2)), max(1, round(_ELLIPSE * height / 2)))
        cv2.ellipse(inside, (width // 2, height // 2), axes, 0, 0, 360, 1, -1)
        return np.asarray(inside > 0)
    left = cv2.morphologyEx((~around).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    if np.count_nonzero(left) < max(1, min(_MIN_OBJECT_PX, left.size // 4)):
        return np.ones((height, width), bool)
    return np.asarray(left)
