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


def altered(image: Image, content: str, copy: int) -> Image:
    """The copy number `copy` (from 1) of an image (h, w, 3) BGR: odd ones by `full`, even ones by `light`; a function of its arguments."""
    digest = hashlib.sha256(f"{copy}:{content}".encode()).digest()
    random = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    return full(image, random) if copy % 2 else light(image, random)


def full(image: Image, random: Random) -> Image:
    """The image (h, w, 3) BGR in another pose, before other surroundings, in other light, and through another lens."""
    around = surroundings(image)
    behind = random.uniform(0, 255, 3) if random.random() < 0.5 else corner_colour(image)
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), random.uniform(-180, 180), random.uniform(0.8, 1.0))
    if random.random() < 0.5:
        turn = turn @ np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    size = (width, height)
    seen = cv2.warpAffine((~around).astype(np.float32), turn, size, flags=cv2.INTER_LINEAR)[..., None]
    moved = cv2.warpAffine(
        image, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=corner_colour(image).tolist()
    )
    lit = _lit(moved.astype(np.float32), random, hue=12, strength=1.0)
    image = _bytes(lit * seen + behind * (1 - seen))
    for spoil in (_blurred, _noisy, _compressed):
        image = spoil(image, random)
    return image


def light(image: Image, random: Random) -> Image:
    """The image (h, w, 3) BGR in slightly other light, and with one of blur, noise and compression."""
    lit = _bytes(_lit(image.astype(np.float32), random, hue=4, strength=0.5))
    spoil = (_blurred, _noisy, _compressed)[int(random.integers(3))]
    return spoil(lit, random)


def _lit(values: NDArray[np.float32], random: Random, *, hue: float, strength: float) -> NDArray[np.float32]:
    """Hue turned by up to `hue` degrees, saturation, white balance, gamma and gain changed; 0 to 255."""
    angle, saturation = math.radians(random.uniform(-hue, hue)), 1 + strength * random.uniform(-0.25, 0.25)
    white = 1 + strength * random.uniform(-0.12, 0.12, 3)
    gamma, gain = 1 + strength * random.uniform(-0.25, 0.25), 1 + strength * random.uniform(-0.3, 0.3)
    cos, sin = saturation * math.cos(angle), saturation * math.sin(angle) / math.sqrt(3)
    # A turn about the grey axis, stretched by the saturation.
    matrix = np.full((3, 3), (1 - cos) / 3) + np.diag([cos] * 3) + sin * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    colours = cv2.transform(values, (matrix * white[:, None] / 255).astype(np.float32)).clip(0, 1)
    return np.asarray(255 * (gain * colours**gamma).clip(0, 1), dtype=np.float32)


def _blurred(image: Image, random: Random) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.2, 1.8)), dtype=np.uint8)


def _noisy(image: Image, random: Random) -> Image:
    noise = random.standard_normal(image.shape, np.float32)
    return _bytes(image + np.float32(random.uniform(0, 10)) * noise)


def _compressed(image: Image, random: Random) -> Image:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 95))])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _bytes(values: NDArray[Any]) -> Image:
    return np.asarray(np.rint(values).clip(0, 255), dtype=np.uint8)
