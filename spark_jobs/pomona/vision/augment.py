"""Altered copies of a training picture, so that a classifier learns what light, lens, pose and surroundings change."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pomona.vision.plain import corner_colour, surroundings

Image = NDArray[np.uint8]
Random = np.random.Generator

_HUE_DEGREES = 4.0
"""Up to 12 cost three points on varieties never seen: hue tells fruits apart."""

_EDGE_PX = 0.7


def altered(image: Image, content: str, copy: int) -> Image:
    """The copy number `copy` (from 1) of an image (h, w, 3) BGR: odd ones by `light`, even ones by `full`; a function of its arguments."""
    digest = hashlib.sha256(f"{copy}:{content}".encode()).digest()
    random = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    return light(image, random) if copy % 2 else full(image, random)


def full(image: Image, random: Random) -> Image:
    """The image (h, w, 3) BGR in another pose, in other light, before other surroundings every other time, and spoiled once."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), random.uniform(-180, 180), random.uniform(0.8, 1.0))
    if random.random() < 0.5:
        turn = turn @ np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    size, behind = (width, height), corner_colour(image)
    seen = cv2.warpAffine((~surroundings(image)).astype(np.float32), turn, size, flags=cv2.INTER_LINEAR)[..., None]
    moved = cv2.warpAffine(image, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=behind.tolist())
    lit = _lit(moved.astype(np.float32), random)
    if random.random() < 0.5:
        behind = random.uniform(0, 255, 3)
    return _spoiled(_bytes(lit * seen + behind * (1 - seen)), random)


def light(image: Image, random: Random) -> Image:
    """The image (h, w, 3) BGR in other light, before other surroundings every other time, and spoiled once."""
    seen = 1 - cv2.GaussianBlur(surroundings(image).astype(np.float32), (0, 0), _EDGE_PX)[..., None]
    lit = _lit(image.astype(np.float32), random)
    behind = random.uniform(0, 255, 3) if random.random() < 0.5 else lit
    return _spoiled(_bytes(lit * seen + behind * (1 - seen)), random)


def _lit(values: NDArray[np.float32], random: Random) -> NDArray[np.float32]:
    """Hue, saturation, white balance, gamma and gain changed within bounds; 0 to 255."""
    angle, saturation = math.radians(random.uniform(-_HUE_DEGREES, _HUE_DEGREES)), random.uniform(0.75, 1.25)
    white, gamma, gain = random.uniform(0.88, 1.12, 3), random.uniform(0.75, 1.25), random.uniform(0.7, 1.3)
    # A turn about the grey axis, stretched by the saturation.
    cos, sin = saturation * math.cos(angle), saturation * math.sin(angle) / math.sqrt(3)
    matrix = np.full((3, 3), (1 - cos) / 3) + np.diag([cos] * 3) + sin * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    colours = cv2.transform(values, (matrix * white[:, None] / 255).astype(np.float32)).clip(0, 1)
    return np.asarray(255 * (gain * colours**gamma).clip(0, 1), dtype=np.float32)


def _spoiled(image: Image, random: Random) -> Image:
    """Blurred, noisy or compressed."""
    kind = int(random.integers(3))
    if kind == 0:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 2.2)), dtype=np.uint8)
    if kind == 1:
        return _bytes(image + np.float32(random.uniform(0, 12)) * random.standard_normal(image.shape, np.float32))
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 95))])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _bytes(values: NDArray[Any]) -> Image:
    return np.asarray(np.rint(values).clip(0, 255), dtype=np.uint8)
