"""Dense descriptors: gradients, colour and sharpness on a grid over the object, wherever a detector would have looked or not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pomona.vision.plain import object_of

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

N_DIMS = 135
"""128 of gradients, 3 of the pixel's colour against the object's, 2 of its colour, 1 of its distance to the edge, 1 of its sharpness."""

_GREY = 110.0
_ORIENTATIONS = 8
_OFFSETS_PX = (-4, -2, 2, 4)
_SIGMA_PX = 1.5
_FIRST_PX = 4
_WINDOW_PX = 12.0
_TINY = 1e-6
_MAX_DISTANCE_PX = 25.0
# What a stored byte stands for, by block: value = (byte − zero) / scale.
_SCALES = np.repeat(np.array([512, 128, 320, 200, 128, 255, 40], np.float32), [128, 1, 1, 1, 2, 1, 1])
_ZEROS = np.repeat(np.array([0, 128, 128, 128, 128, 0, 0], np.float32), [128, 1, 1, 1, 2, 1, 1])


@dataclass(frozen=True)
class Grid:
    """Describes points on a grid over the object, or over all of the picture."""

    grid_px: int
    max_points: int
    object_only: bool = True

    def described(self, image: Image) -> tuple[NDArray[np.uint8], Floats]:
        """Of an image (h, w, 3) BGR the (n, N_DIMS) uint8 descriptors, and (n, 4) float32: x, y, size in pixels, angle 0; n is at least 1.

        Brightness is taken relative to the object's mean, and colour differences with it. Each point has 4×4 samples around it,
        2 and 4 pixels away, of smoothed gradients in 8 directions, upright, much as in SIFT (Lowe 2004), as roots of their shares
        (Arandjelović & Zisserman 2012).
        """
        inside = object_of(image) if self.object_only else np.ones(image.shape[:2], bool)
        rows, columns = self._points(inside)
        distance = np.asarray(cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)[rows, columns], dtype=np.float32)
        at = np.column_stack([columns, rows, np.full(len(rows), _WINDOW_PX), np.zeros(len(rows))])
        return _stored(image.astype(np.float32), inside, rows, columns, distance), at.astype(np.float32)

    def _points(self, inside: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the grid's points on the object; all of them where none is on it, a wider grid where they are too many."""
        step = self.grid_px
        while True:
            rows, columns = _grid(*inside.shape, step)
            on = inside[rows, columns]
            if on.any():
                rows, columns = rows[on], columns[on]
            if len(rows) <= self.max_points:
                return rows, columns
            step += 1


def weighted(descriptors: NDArray[np.uint8], *, colour: float, energy: float) -> Floats:
    """What the stored bytes stand for, each part by its weight, (n_points, N_DIMS) float32; n_points may be 0.

    Parameters
    ----------
    colour : of the five values of colour, beside gradients of unit length
    energy : of the sharpness
    """
    weights = np.repeat(np.array([1, colour, 0.5 * colour, 0.3, energy], np.float32), [128, 3, 2, 1, 1]) / _SCALES
    return np.asarray(descriptors.astype(np.float32) * weights - _ZEROS * weights, dtype=np.float32)


def turned(descriptors: NDArray[np.uint8], quarters: int) -> NDArray[np.uint8]:
    """The (n, N_DIMS) descriptors of the picture turned clockwise by so many quarters, but for where the grid's points fall."""
    return descriptors[:, _quarter_turns()[quarters % 4]]


def _stored(
    values: Floats, inside: NDArray[np.bool_], rows: NDArray[np.intp], columns: NDArray[np.intp], distance: Floats
) -> NDArray[np.uint8]:
    """The stored descriptors of the points of one image (h, w, 3) float32 BGR."""
    grey = values @ np.array([0.114, 0.587, 0.299], np.float32)
    values = values * np.float32(1 / max(float(grey[inside].mean()), 1.0))
    blue, green, red = values[..., 0], values[..., 1], values[..., 2]
    channels = np.dstack([(blue + green + red) / 3, green / 2 - (red + blue) / 4, (red - blue) / 2]).astype(np.float32, copy=False)
    local = _sampled(_orientation_maps(channels[..., 0] * np.float32(_GREY)), rows, columns)
    strength = local.sum(axis=1, keepdims=True)
    colour = cv2.GaussianBlur(channels, (0, 0), _SIGMA_PX)[rows, columns]
    parts = [
        np.sqrt(local / np.maximum(strength, _TINY)),
        colour - channels[inside].mean(axis=0),
        colour[:, 1:],
        np.minimum(distance[:, None] / _MAX_DISTANCE_PX, 1),
        np.log1p(strength / len(_OFFSETS_PX) ** 2),
    ]
    return np.asarray(np.rint(np.hstack(parts) * _SCALES + _ZEROS).clip(0, 255), dtype=np.uint8)


def _orientation_maps(grey: Floats) -> Floats:
    """(h, w, 8) float32: the strength of the gradient by its direction, shared linearly between neighbours, smoothed."""
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    magnitude, angle = cv2.cartToPolar(dx, dy)
    turn = angle * np.float32(_ORIENTATIONS / (2 * np.pi))
    maps = np.empty((*grey.shape, _ORIENTATIONS), np.float32)
    for k in range(_ORIENTATIONS):
        away = np.abs(turn - k)
        maps[..., k] = magnitude * np.maximum(1 - np.minimum(away, _ORIENTATIONS - away), 0)
    return np.asarray(cv2.GaussianBlur(maps, (0, 0), _SIGMA_PX), dtype=np.float32)


def _sampled(maps: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    height, width = maps.shape[:2]
    reach = max(_OFFSETS_PX)
    padded = cv2.copyMakeBorder(maps.reshape(height, -1), reach, reach, 0, 0, cv2.BORDER_CONSTANT).reshape(-1, width, _ORIENTATIONS)
    padded = np.pad(padded, ((0, 0), (reach, reach), (0, 0)))
    flat = padded.reshape(-1, _ORIENTATIONS)
    offsets = np.array([dy * (width + 2 * reach) + dx for dy in _OFFSETS_PX for dx in _OFFSETS_PX])
    base = (rows + reach) * (width + 2 * reach) + columns + reach
    return np.asarray(flat[base[:, None] + offsets].reshape(len(rows), -1), dtype=np.float32)


@cache
def _quarter_turns() -> tuple[NDArray[np.intp], ...]:
    """For 0 to 3 quarters clockwise which column each column of a turned picture comes from: cells change places, directions move on."""
    columns = np.arange(N_DIMS)
    cells = columns[: 16 * _ORIENTATIONS].reshape(4, 4, _ORIENTATIONS)
    turns = []
    for quarters in range(4):
        moved = np.roll(np.rot90(cells, -quarters), quarters * _ORIENTATIONS // 4, axis=2)
        turns.append(np.concatenate([moved.ravel(), columns[16 * _ORIENTATIONS :]]))
    return tuple(turns)


@lru_cache(maxsize=64)
def _grid(height: int, width: int, step: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a grid that begins near the corner; a picture of one pixel has a point too."""
    first = (min(_FIRST_PX, (height - 1) // 2), min(_FIRST_PX, (width - 1) // 2))
    rows, columns = np.meshgrid(np.arange(first[0], height, step), np.arange(first[1], width, step), indexing="ij")
    return rows.ravel(), columns.ravel()
