"""A drawn object before plain surroundings."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, Any]


def disc(side: int = 100, behind: tuple[int, int, int] = (255, 255, 255)) -> Array:
    """A striped disc of radius 30, or as large as fits, in the middle of a plain picture, (side, side, 3) uint8 BGR."""
    image = np.full((side, side, 3), behind, np.uint8)
    stripes = np.full((side, side, 3), (40, 90, 160), np.uint8)
    stripes[:, ::6] = (30, 60, 120)
    inside = np.zeros((side, side), np.uint8)
    cv2.circle(inside, (side // 2, side // 2), min(30, 2 * side // 5), 1, -1)
    return np.where(inside[..., None] > 0, stripes, image)
