"""Altered copies: the same for the same picture and number, other than the picture, and spoiled pictures as their names say."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pomona.vision.augment import altered
from pomona.vision.corruptions import CORRUPTIONS, spoiled
from pomona.vision.plain import surroundings

Array = np.ndarray[Any, Any]


@pytest.fixture
def picture(blobs: Any) -> Array:
    """Coloured discs in the middle of a white picture."""
    image = np.full((100, 120, 3), 255, np.uint8)
    image[25:75, 30:90] = blobs(3, width=60, height=50, hue=20)
    return image


def test_a_copy_is_a_function_of_picture_and_number(picture: Array) -> None:
    found = {(content, copy): altered(picture, content, copy) for content in ("a", "b") for copy in (1, 2, 3)}
    assert all(image.shape == picture.shape and image.dtype == np.uint8 for image in found.values())
    assert len({image.tobytes() for image in found.values()} | {picture.tobytes()}) == 7
    assert all(np.array_equal(altered(picture, *key), image) for key, image in found.items())


def test_an_odd_copy_keeps_the_pose_and_an_even_one_does_not(picture: Array) -> None:
    inside = ~surroundings(picture)

    def alike(image: Array) -> float:
        grey = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY)[inside].astype(np.float64) for each in (picture, image)]
        return float(np.corrcoef(*grey)[0, 1])

    assert all(alike(altered(picture, f"{number}", 1)) > 0.6 for number in range(10))
    assert all(alike(altered(picture, f"{number}", 2)) < 0.4 for number in range(10))


@pytest.mark.parametrize(("name", "factor"), [("darker", 0.7), ("brighter", 1.3)])
def test_brightness_is_scaled_and_clipped(picture: Array, name: str, factor: float) -> None:
    assert np.array_equal(spoiled(picture, name, seed=0), np.minimum(np.rint(picture * factor), 255).astype(np.uint8))


def test_warm_light_adds_red_and_takes_blue() -> None:
    assert spoiled(np.full((4, 4, 3), 100, np.uint8), "warm light", seed=0)[0, 0].tolist() == [85, 100, 115]


def test_noise_has_its_strength() -> None:
    noisy = spoiled(np.full((200, 200, 3), 128, np.uint8), "noise", seed=0)
    assert noisy.std() == pytest.approx(10, abs=0.2)
    assert noisy.mean() == pytest.approx(128, abs=0.2)


def test_blur_takes_the_sharpness_of_two_pixels() -> None:
    edge = np.zeros((60, 60, 3), np.uint8)
    edge[:, 30:] = 200
    profile = np.diff(spoiled(edge, "blur", seed=0)[30, :, 0].astype(np.float64))
    at = np.arange(59) + 0.5
    assert np.sqrt(np.average((at - np.average(at, weights=profile)) ** 2, weights=profile)) == pytest.approx(2, abs=0.15)


def test_another_background_leaves_the_object_alone(picture: Array) -> None:
    object_only = cv2.erode((~surroundings(picture)).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    for name in ("grey background", "textured background"):
        changed = spoiled(picture, name, seed=1)
        assert np.array_equal(changed[object_only], picture[object_only])
        assert not np.array_equal(changed[:10], picture[:10])
    assert spoiled(picture, "grey background", seed=1)[2, 2].tolist() == [128, 128, 128]


def test_every_corruption_changes_the_picture_and_none_its_form(picture: Array) -> None:
    for name in CORRUPTIONS:
        changed = spoiled(picture, name, seed=5)
        assert (changed.shape, changed.dtype) == (picture.shape, np.uint8), name
        assert not np.array_equal(changed, picture), name
        assert np.array_equal(changed, spoiled(picture, name, seed=5)), name
