"""Drawn pictures: small, deterministic, with enough texture for keypoints where a test wants some."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pomona.knobs import resolve
from pomona.vision.chain import Row
from pomona.vision.describe import Describer, Extractor

Array = np.ndarray[Any, Any]


def _saved(image: Array | Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """The file's bytes; an array is taken as RGB or grey."""
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _blobs(seed: int, *, width: int = 96, height: int = 80, hue: int | None = None) -> Array:
    """(height, width, 3) uint8 RGB: discs of random size and brightness, in random colours or in one hue of 0 to 179."""
    generator = np.random.default_rng(seed)
    image = np.full((height, width, 3), 255, np.uint8)
    for _ in range(40):
        centre = (int(generator.integers(width)), int(generator.integers(height)))
        own = hue if hue is not None else int(generator.integers(180))
        hsv = np.uint8([[[own, generator.integers(120, 256), generator.integers(60, 256)]]])
        colour = [int(value) for value in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]]
        cv2.circle(image, centre, int(generator.integers(2, 9)), colour, -1, cv2.LINE_AA)
    return image


@pytest.fixture(scope="session")
def saved() -> Callable[..., bytes]:
    return _saved


@pytest.fixture(scope="session")
def blobs() -> Callable[..., Array]:
    return _blobs


@pytest.fixture(scope="session", params=["fast", "default"])
def knobs(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A preset, small enough for a few dozen drawn pictures."""
    n_words = {"fast": 20, "default": 4}[request.param]
    small = {"n_words": n_words, "descriptors_per_word": 50, "n_components": 8, "kmeans_iterations": 5, "folds": 3}
    return resolve({"preset": request.param, **small})


@pytest.fixture(scope="session")
def orchard(knobs: dict[str, Any]) -> list[tuple[Row, bytes]]:
    """24 described pictures of two labels that differ in hue, four groups each, with the files' bytes."""
    describer = Describer(Extractor.of(knobs))
    rows = []
    for number in range(24):
        label = ("apple", "plum")[number % 2]
        data = _saved(_blobs(number, hue={"apple": 5, "plum": 140}[label]), "PNG")
        content = f"{number:064x}"
        image, *copies = describer.copies(data, content, range(int(knobs["copies"]) + 1))
        rows.append((Row(content, label, f"{label}-{number // 2 % 4}", image, tuple(copies)), data))
    return rows
