"""JPEG pictures for the report, from images (height, width, 3) uint8 BGR and keypoints (n, 4) float32 of x, y, size, angle in degrees."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pomona.vision.describe import Describer

Image = NDArray[np.uint8]
Item = TypeVar("Item")

_QUALITY = 82
# What a descriptor looks at, in sizes of its keypoint: about six for SIFT (Lowe 2004: 4 × 4 cells of 3 σ, size = 2 σ); the others name
# their whole window.
WINDOWS = {"sift": 6.0, "orb": 1.0, "dense": 1.0}
_DRAWN_SIDE = 360
# Seen between white patches on a light page and dark ones on a dark page.
_GAP = 150
_INK, _HALO = (60, 220, 40), (20, 30, 20)


class WordStrip(NamedTuple):
    """Patches that one visual word stands for, side by side."""

    word: int
    jpeg: bytes
    n_seen: int


def thumbnail(image: Image, side: int) -> bytes:
    """The image as JPEG, its longest side at most `side` pixels; smaller images keep their size."""
    return _jpeg(_resized(image, min(1.0, side / max(image.shape[:2]))))


def with_keypoints(image: Image, keypoints: NDArray[np.float32], *, strongest: int = 200) -> bytes:
    """The image as JPEG, about 360 pixels, with the first `strongest` keypoints as circles of their size and a radius at their angle."""
    scale = _DRAWN_SIDE / max(image.shape[:2])
    canvas = _resized(image, scale)
    for colour, thickness in ((_HALO, 3), (_INK, 1)):
        for x, y, size, angle in keypoints[:strongest].tolist():
            centre = (round((x + 0.5) * scale), round((y + 0.5) * scale))
            radius = max(2, round(size * scale / 2))
            turn = math.radians(angle)
            end = (centre[0] + round(radius * math.cos(turn)), centre[1] + round(radius * math.sin(turn)))
            cv2.circle(canvas, centre, radius, colour, thickness, cv2.LINE_AA)
            cv2.line(canvas, centre, end, colour, thickness, cv2.LINE_AA)
    return _jpeg(canvas)


def with_points(image: Image, keypoints: NDArray[np.float32]) -> bytes:
    """The image as JPEG, about 360 pixels, with a dot at each keypoint; a frame of its size shows what the middle one looks at."""
    scale = _DRAWN_SIDE / max(image.shape[:2])
    canvas = _resized(image, scale)
    centres = [(round((x + 0.5) * scale), round((y + 0.5) * scale)) for x, y in np.unique(keypoints[:, :2], axis=0).tolist()]
    for colour, radius in ((_HALO, 3), (_INK, 2)):
        for centre in centres:
            cv2.circle(canvas, centre, radius, colour, -1, cv2.LINE_AA)
    if centres:
        middle = np.mean(centres, axis=0)
        x, y = min(centres, key=lambda centre: float(np.sum((middle - centre) ** 2)))
        half = round(float(keypoints[0, 2]) * scale / 2)
        for colour, thickness in ((_HALO, 4), (_INK, 2)):
            cv2.rectangle(canvas, (x - half, y - half), (x + half, y + half), colour, thickness, cv2.LINE_AA)
    return _jpeg(canvas)


def patch(image: Image, keypoint: NDArray[np.float32], side: int, *, window: float = WINDOWS["sift"]) -> Image:
    """What the descriptor saw: the keypoint's window, turned upright by its angle, (side, side, 3) uint8 BGR.

    Beyond the image's edge the border pixels are repeated.
    """
    x, y, size, angle = (float(value) for value in keypoint)
    # ORB's angle is -1 where it has none.
    turn, scale = math.radians(max(angle, 0.0)), max(size, 1.0) * window / side
    cos, sin, middle = scale * math.cos(turn), scale * math.sin(turn), (side - 1) / 2
    to_image = np.array([[cos, -sin, x - cos * middle + sin * middle], [sin, cos, y - sin * middle - cos * middle]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, to_image, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)


def word_strips(
    pictures: Iterable[bytes],
    *,
    describer: Describer,
    to_words: Callable[[NDArray[np.uint8]], NDArray[np.int64]],
    n_shown: int = 24,
    n_patches: int = 10,
    side: int = 44,
) -> list[WordStrip]:
    """Strips of patches for `n_shown` words, from the most to the least seen among those that fill a strip.

    When more words than that fill one, they are taken at equal steps of that order: common and rare ones. Each picture gives a word
    two patches at most, and a strip takes its patches at equal steps from all of them, so that it is not one picture's.

    Parameters
    ----------
    pictures : files as they came, which decode; a few dozen are enough
    to_words : (n_keypoints, n_dims) uint8 descriptors → (n_keypoints,) word of each
    """
    window = WINDOWS[describer.extractor.extractor]
    found: dict[int, list[Image]] = {}
    n_seen: dict[int, int] = {}
    for data in pictures:
        image, keypoints = describer.keypoints(data)
        words = to_words(describer.describe(data).descriptors) if len(keypoints) else np.empty(0, np.int64)
        for word in np.unique(words).tolist():
            rows = np.flatnonzero(words == word)
            n_seen[word] = n_seen.get(word, 0) + len(rows)
            found.setdefault(word, []).extend(patch(image, keypoints[row], side, window=window) for row in rows[:2])
    full = sorted((word for word, strip in found.items() if len(strip) >= n_patches), key=lambda word: (-n_seen[word], word))
    if len(full) > n_shown:
        full = _spread(full, n_shown)
    return [WordStrip(word, _strip(_spread(found[word], n_patches)), n_seen[word]) for word in full]


def _spread(items: list[Item], n: int) -> list[Item]:
    """n of the items at equal steps, the first and the last among them."""
    return [items[i] for i in np.linspace(0, len(items) - 1, n).astype(int)]


def _strip(images: list[Image]) -> bytes:
    gap = np.full((images[0].shape[0], 2, 3), _GAP, np.uint8)
    row: list[Image] = [images[0]]
    for image in images[1:]:
        row += [gap, image]
    return _jpeg(np.hstack(row))


def _resized(image: Image, scale: float) -> Any:
    if scale == 1:
        return image.copy()
    size = tuple(max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _jpeg(image: NDArray[Any]) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"OpenCV does not encode an image of shape {image.shape} as JPEG")
    return data.tobytes()
