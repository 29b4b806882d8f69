"""Draws large photographs: a market table full of fruit, sharp enough to keep a keypoint detector busy."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from demo.kinds import KINDS, Array
from demo.studio import Image, shoot

SPRITE_PX = 480
VIEWS = 2


def photograph(seed: int, *, width: int = 4000, height: int = 3000) -> Image:
    """A photograph of a market table, (height, width, 3) uint8 BGR; two seeds, two tables.

    The fruit are drawn once a process and laid out anew, turned, scaled and lit a little differently, for each photograph:
    0.6 s for 12 megapixels where drawing each fruit by itself would take half a minute.
    """
    random = np.random.default_rng([seed, width, height])
    table = _table(width, height)
    image = np.roll(table, tuple(int(random.integers(0, side)) for side in table.shape[:2]), axis=(0, 1))
    sprites = _sprites()
    pitch = max(40, min(width, height) // 9)
    places = [(x, y) for y in range(0, height + pitch, pitch) for x in range(0, width + pitch, pitch)]
    for x, y in places:
        if random.random() < 0.18:
            continue
        colour, cover = sprites[int(random.integers(len(sprites)))]
        side = int(pitch * random.uniform(0.95, 1.5))
        _lay(image, colour, cover, x + int(random.normal(scale=pitch / 7)), y + int(random.normal(scale=pitch / 7)), side, random)
    grain = _grain(width, height)
    image = cv2.add(image, np.roll(grain, tuple(int(n) for n in random.integers(0, 97, size=2)), axis=(0, 1)), dtype=cv2.CV_8U)
    return np.ascontiguousarray(image)


def _lay(image: Image, colour: Image, cover: Array, x: int, y: int, side: int, random: np.random.Generator) -> None:
    """Lays one fruit, turned and scaled, over the image with its middle at (x, y)."""
    turn: Array = cv2.getRotationMatrix2D((SPRITE_PX / 2, SPRITE_PX / 2), float(random.uniform(-70, 70)), side / SPRITE_PX)
    turn[:, 2] += side / 2 - SPRITE_PX / 2
    top, left = max(y - side // 2, 0), max(x - side // 2, 0)
    bottom, right = min(y - side // 2 + side, image.shape[0]), min(x - side // 2 + side, image.shape[1])
    if top >= bottom or left >= right:
        return
    window = np.s_[top - (y - side // 2) : bottom - (y - side // 2), left - (x - side // 2) : right - (x - side // 2)]
    mask = cv2.warpAffine(cover, turn, (side, side), flags=cv2.INTER_AREA)[window]
    over = cv2.convertScaleAbs(cv2.warpAffine(colour, turn, (side, side), flags=cv2.INTER_AREA), alpha=random.uniform(0.82, 1.05))[window]
    under = image[top:bottom, left:right]
    image[top:bottom, left:right] = cv2.blendLinear(np.ascontiguousarray(over), np.ascontiguousarray(under), mask.copy(), 1 - mask)


@lru_cache(maxsize=1)
def _sprites() -> list[tuple[Image, Array]]:
    """(colour, cover) of every kind from several sides; reflections of a drawn fruit are as good as another."""
    sprites = []
    for index, kind in enumerate(KINDS):
        for view in range(VIEWS):
            _, picture, cover = shoot(kind, angle=130.0 * view, tilt=20.0 + 25 * view, seed=index, side=SPRITE_PX)
            colour = np.clip(255 * picture + 0.5, 0, 255).astype(np.uint8)
            sprites += [(colour, cover), (colour[:, ::-1].copy(), cover[:, ::-1].copy())]
    return sprites


@lru_cache(maxsize=1)
def _table(width: int, height: int) -> Image:
    """Planks of wood with their fibre: noise drawn long, at four scales."""
    random = np.random.default_rng(17)
    fibre = np.zeros((height, width), np.float32)
    for scale in (2, 6, 18, 60):
        rows, columns = max(height // scale, 2), max(width // (scale * 14), 2)
        coarse = random.normal(size=(rows, columns)).astype(np.float32)
        fibre += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(0.16 + 0.05 * np.log(scale))
    gap = np.abs((np.arange(height) / max(height // 11, 1)) % 1 - 0.5) > 0.492
    tone = np.clip(0.62 + 0.13 * fibre, 0.1, 1) * np.where(gap, 0.35, 1)[:, None].astype(np.float32)
    return np.asarray(np.clip(tone[..., None] * np.array([96, 142, 186], np.float32), 0, 255), dtype=np.uint8)


@lru_cache(maxsize=1)
def _grain(width: int, height: int) -> Array:
    """The sensor's noise, standard deviation 2.5; int8, the same in all channels."""
    grey = np.random.default_rng(23).normal(scale=2.5, size=(height, width)).round().astype(np.int8)
    return cv2.merge([grey, grey, grey])
