"""Pictures spoiled as light, lens, compression and surroundings spoil them: what a classifier must bear that was not trained on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pomona.vision.plain import corner_colour, surroundings

Image = NDArray[np.uint8]


class Corruption(NamedTuple):
    """One way to spoil a picture; `strength` in words, `surroundings` where it changes what is around the object only."""

    name: str
    strength: str
    spoil: Callable[[Image, np.random.Generator], Image]
    surroundings: bool = False


def spoiled(image: Image, name: str, *, seed: int) -> Image:
    """The image (h, w, 3) BGR under the corruption `name` of `CORRUPTIONS`; the same for the same seed."""
    return CORRUPTIONS[name].spoil(image, np.random.default_rng(seed))


def _scaled(image: Image, factors: tuple[float, float, float]) -> Image:
    return np.asarray(np.clip(np.rint(image * np.array(factors)), 0, 255), dtype=np.uint8)


def _blurred(image: Image, _: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), dtype=np.uint8)


def _noisy(image: Image, random: np.random.Generator) -> Image:
    return np.asarray(np.clip(np.rint(image + random.normal(0, 10, image.shape)), 0, 255), dtype=np.uint8)


def _compressed(image: Image, _: np.random.Generator) -> Image:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _turned(image: Image, _: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 30, 1.0)
    behind = corner_colour(image).tolist()
    turned = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=behind)
    return np.asarray(turned, dtype=np.uint8)


def _over(image: Image, behind: Image) -> Image:
    """The image with its plain surroundings replaced, along a soft edge."""
    share = cv2.GaussianBlur(surroundings(image).astype(np.float32), (0, 0), 0.7)[:, :, None]
    return np.asarray(np.rint(share * behind + (1 - share) * image), dtype=np.uint8)


def _on_grey(image: Image, _: np.random.Generator) -> Image:
    return _over(image, np.full_like(image, 128))


def _on_texture(image: Image, random: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    coarse = random.uniform(0, 255, (max(2, height // 12), max(2, width // 12), 3)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + random.normal(0, 12, (height, width, 3))
    return _over(image, np.asarray(np.clip(texture, 0, 255), dtype=np.uint8))


CORRUPTIONS: Mapping[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("blur", "σ 2 pixels", _blurred),
        Corruption("darker", "brightness × 0.7", lambda image, _: _scaled(image, (0.7, 0.7, 0.7))),
        Corruption("brighter", "brightness × 1.3", lambda image, _: _scaled(image, (1.3, 1.3, 1.3))),
        Corruption("warm light", "red × 1.15, blue × 0.85", lambda image, _: _scaled(image, (0.85, 1.0, 1.15))),
        Corruption("turned", "30°", _turned),
        Corruption("compressed", "JPEG quality 30", _compressed),
        Corruption("noise", "σ 10 of 255", _noisy),
        Corruption("grey background", "plain 128", _on_grey, surroundings=True),
        Corruption("textured background", "drawn", _on_texture, surroundings=True),
    )
}
