"""Altered copies: the same for the same picture and number, other than the picture, and spoiled pictures as their names say."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

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


COPIES = 80
"""Drawn in a test that counts: a half of them is 40 ± 9 in two standard deviations."""


def copies(image: Array, *, odd: bool) -> list[Array]:
    return [altered(image, f"{number}", 1 if odd else 2) for number in range(COPIES)]


def test_light_changes_gamma_gain_and_white_within_bounds() -> None:
    # Three greys in broad stripes: their ratio says gamma whatever the gain, and what they are after it.
    image = np.repeat(np.repeat(np.uint8([[40], [120], [255]]), 40, axis=0), 120, axis=1)[..., None] * np.ones(3, np.uint8)
    found = np.array([[changed[12:28, 30:90].mean((0, 1)), changed[52:68, 30:90].mean((0, 1))] for changed in copies(image, odd=True)])
    gammas = np.log(found[:, 1] / found[:, 0]) / np.log(3)
    assert 0.7 < gammas.min() < 0.85 < 1.15 < gammas.max() < 1.3
    brightness = found[:, 1].mean(axis=1)
    assert brightness.min() < 88 and brightness.max() > 170
    unequal = found[:, 1].max(axis=1) / found[:, 1].min(axis=1)
    assert unequal.min() < 1.05 and 1.12 < unequal.max() < 1.4


def test_hue_stays_what_it_is() -> None:
    # Orange is neither red nor yellow, in any light.
    image = np.full((100, 100, 3), 255, np.uint8)
    image[25:75, 25:75] = (20, 100, 200)
    middles = [changed[40:60, 40:60].mean((0, 1)) for changed in copies(image, odd=True)]
    hues = [float(cv2.cvtColor(np.float32([[middle / 255]]), cv2.COLOR_BGR2HSV)[0, 0, 0]) for middle in middles]
    assert min(hues) > 17 and max(hues) < 39


def test_a_third_of_the_copies_is_noisy_and_another_blurred() -> None:
    image = np.full((100, 100, 3), 120, np.uint8)
    image[:, 50:] = 60
    changed = [each.astype(np.float64).mean(axis=2) for each in copies(image, odd=True)]
    noise = np.array([each[:, 10:30].std() for each in changed])
    assert 0.15 < np.mean(noise > 0.7) < 0.45
    assert noise.max() < 12
    # The share of the step that lies between its two pixels.
    steep = np.array([abs(np.diff(each.mean(axis=0)))[49] / abs(each[:, 20].mean() - each[:, 80].mean()) for each in changed])
    assert 0.15 < np.mean(steep < 0.75) < 0.45


@pytest.mark.parametrize("odd", [True, False])
def test_every_other_copy_has_other_surroundings(picture: Array, odd: bool) -> None:
    corners = np.array([changed[:8, :8].mean((0, 1)) for changed in copies(picture, odd=odd)])
    # White in other light is nearly white, and no light makes it a colour.
    assert 0.25 < np.mean(np.ptp(corners, axis=1) > 70) < 0.6


def test_a_full_copy_is_turned_mirrored_and_scaled_as_a_whole() -> None:
    image = np.full((100, 100, 3), 255, np.uint8)
    for channel, angle in enumerate(np.deg2rad([0, 120, 240])):
        colour = [150 if other == channel else 40 for other in range(3)]
        cv2.circle(image, (round(50 + 25 * np.cos(angle)), round(50 + 25 * np.sin(angle))), 12, colour, -1)
    sides, scales = [], []
    for changed in copies(image, odd=False):
        if changed[:8, :8].mean() < 245:
            continue
        values = changed.astype(np.float64)
        places = [np.argwhere(values[..., each] - np.delete(values, each, axis=2).max(axis=2) > 25) for each in range(3)]
        # The area of a disc of radius 12 scaled by 0.8 to 1, less its soft edge.
        assert all(0.55 * 452 < len(place) < 1.05 * 452 for place in places)
        blue, green, red = (place.mean(axis=0) for place in places)
        sides.append(np.linalg.det([green - blue, red - blue]) > 0)
        scales.append(np.linalg.norm(green - blue) / (25 * np.sqrt(3)))
    assert len(sides) > 20
    assert 0.25 < np.mean(sides) < 0.75
    assert 0.77 < min(scales) < 0.85 and 0.95 < max(scales) < 1.03


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


def test_a_turn_is_one_of_30_degrees_before_the_same_background() -> None:
    bar = np.full((100, 100, 3), 230, np.uint8)
    bar[45:55, 20:80] = 40
    turned = spoiled(bar, "turned", seed=0)
    rows, columns = np.nonzero(turned[..., 0] < 135)
    _, axes = np.linalg.eigh(np.cov(columns, rows))
    assert abs(np.rad2deg(np.arctan(axes[1, 1] / axes[0, 1]))) == pytest.approx(30, abs=1)
    assert [turned[place].tolist() for place in ((0, 0), (0, -1), (-1, 0), (-1, -1))] == [[230] * 3] * 4


def test_compression_is_that_of_another_library_at_quality_30(blobs: Any, saved: Any) -> None:
    image = blobs(4)
    peer = np.asarray(Image.open(io.BytesIO(saved(image, "JPEG", quality=30))).convert("RGB")).astype(int)
    found = spoiled(np.ascontiguousarray(image[..., ::-1]), "compressed", seed=0)[..., ::-1]
    assert np.abs(found - peer).mean() < 0.2 * np.abs(image - peer).mean()


def test_another_background_leaves_the_object_alone(picture: Array) -> None:
    object_only = cv2.erode((~surroundings(picture)).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    for name in ("grey background", "textured background"):
        changed = spoiled(picture, name, seed=1)
        assert np.array_equal(changed[object_only], picture[object_only])
        assert not np.array_equal(changed[:10], picture[:10])
    assert spoiled(picture, "grey background", seed=1)[2, 2].tolist() == [128, 128, 128]
    assert spoiled(picture, "textured background", seed=1)[:20].std(axis=(0, 1)).min() > 30


def test_every_corruption_changes_the_picture_and_none_its_form(picture: Array) -> None:
    for name in CORRUPTIONS:
        changed = spoiled(picture, name, seed=5)
        assert (changed.shape, changed.dtype) == (picture.shape, np.uint8), name
        assert not np.array_equal(changed, picture), name
        assert np.array_equal(changed, spoiled(picture, name, seed=5)), name
