"""Dense descriptors on drawn pictures: they follow the object, not its light, and no picture is without them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pomona.vision.dense import N_DIMS, Grid, turned, weighted
from pomona.vision.plain import object_of

Array = np.ndarray[Any, Any]
GRID = Grid(grid_px=5, max_points=1000)


def disc(side: int = 100, behind: tuple[int, int, int] = (255, 255, 255)) -> Array:
    """A striped disc of radius 30 in the middle of a plain picture, (side, side, 3) uint8 BGR."""
    image = np.full((side, side, 3), behind, np.uint8)
    stripes = np.full((side, side, 3), (40, 90, 160), np.uint8)
    stripes[:, ::6] = (30, 60, 120)
    inside = np.zeros((side, side), np.uint8)
    cv2.circle(inside, (side // 2, side // 2), 30, 1, -1)
    return np.where(inside[..., None] > 0, stripes, image)


def test_points_lie_on_the_object_in_steps_of_the_grid() -> None:
    descriptors, at = GRID.described(disc())
    x, y = at[:, 0] - 50, at[:, 1] - 50
    assert len(descriptors) == len(at) == pytest.approx(np.pi * 30**2 / 25, rel=0.1)
    assert (np.hypot(x, y) <= 31).all()
    assert set(np.diff(np.unique(at[:, 0]))) == {5}
    assert (descriptors.shape[1], descriptors.dtype) == (N_DIMS, np.uint8)


@pytest.mark.parametrize("behind", [(255, 255, 255), (128, 128, 128), (20, 200, 30)])
def test_the_object_is_found_before_any_plain_background(behind: tuple[int, int, int]) -> None:
    found = object_of(disc(behind=behind))
    assert found.sum() == pytest.approx(np.pi * 30**2, rel=0.03)
    assert found[50, 50] and not found[5, 5]


def test_before_a_busy_background_the_middle_is_taken() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    found = object_of(noise)
    assert found.mean() == pytest.approx(np.pi / 4 * 0.95**2, abs=0.02)
    assert found[40, 60] and not found[0, 0]


def test_half_the_light_changes_no_descriptor_by_much() -> None:
    picture = disc(behind=(0, 0, 0))
    bright, dark = (weighted(GRID.described(image)[0], colour=1, energy=1) for image in (picture, np.asarray(picture * 0.5, np.uint8)))
    assert bright == pytest.approx(dark, abs=0.08)


def test_gradients_are_roots_of_shares() -> None:
    values = weighted(GRID.described(disc())[0], colour=1, energy=1)
    assert np.linalg.norm(values[:, :128], axis=1) == pytest.approx(np.ones(len(values)), abs=0.02)
    # Vertical stripes: the gradients point left and right, the directions 0 and 4 of 8.
    inner = values[np.argmax(values[:, 133])][:128].reshape(16, 8) ** 2
    assert inner[:, [0, 4]].sum() > 0.95


def test_the_weights_scale_colour_and_sharpness_alone() -> None:
    stored = GRID.described(disc())[0]
    once, twice = weighted(stored, colour=1, energy=1), weighted(stored, colour=2, energy=3)
    ratio = np.repeat([1, 2, 1, 3], [128, 5, 1, 1])
    assert twice == pytest.approx(once * ratio, abs=1e-5)
    assert weighted(np.empty((0, N_DIMS), np.uint8), colour=1, energy=1).shape == (0, N_DIMS)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (1, 128), (128, 1), (9, 128), (1, 1)])
@pytest.mark.parametrize("fill", [0, 255])
def test_no_picture_is_without_a_descriptor(height: int, width: int, fill: int) -> None:
    descriptors, at = GRID.described(np.full((height, width, 3), fill, np.uint8))
    assert len(descriptors) == len(at) >= 1


def test_too_many_points_make_the_grid_wider() -> None:
    few, at = Grid(grid_px=5, max_points=20).described(disc())
    assert 10 <= len(few) <= 20
    assert at[:, :2].mean(axis=0) == pytest.approx([50, 50], abs=4)
    assert len(set(np.diff(np.unique(at[:, 0])))) == 1


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_descriptors_are_those_of_the_turned_picture(quarters: int) -> None:
    # 99 pixels: the grid's points fall on each other when the picture is turned.
    picture = disc(99)
    picture[40:60, 30:50] = (200, 40, 90)
    there, at = GRID.described(picture)
    expected, at_turned = GRID.described(np.ascontiguousarray(np.rot90(picture, -quarters)))
    x, y = at[:, 0] - 49, at[:, 1] - 49
    for _ in range(quarters):
        x, y = -y, x
    places = {(float(a), float(b)): row for row, (a, b) in enumerate(zip(x + 49, y + 49, strict=True))}
    matches = [(places[a, b], row) for row, (a, b) in enumerate(at_turned[:, :2].tolist()) if (a, b) in places]
    assert len(matches) > 0.9 * len(at)
    ours, theirs = [a for a, _ in matches], expected[[b for _, b in matches]].astype(int)
    assert np.mean(np.abs(turned(there, quarters)[ours].astype(int) - theirs) <= 3) > 0.98
    assert np.mean(np.abs(there[ours].astype(int) - theirs) <= 3) < 0.95
