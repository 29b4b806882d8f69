"""Dense descriptors on drawn pictures: they follow the object, not its light, and no picture is without them."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from pomona.vision.dense import N_DIMS, Grid, turned, weighted
from pomona.vision.plain import object_of
from tests.vision.discs import disc

Array = np.ndarray[Any, Any]
GRID = Grid(grid_px=5, max_points=1000)


def by_definition(image: Array, inside: Array, x: int, y: int) -> Array:
    """What the descriptor at one pixel stands for, (135,) float64, with weights of 1; roots end where their byte does."""
    grey = image @ np.array([0.114, 0.587, 0.299])
    blue, green, red = np.moveaxis(image / grey[inside].mean(), 2, 0)
    channels = np.stack([(red + green + blue) / 3, (2 * green - red - blue) / 4, (red - blue) / 2])
    light = np.pad(110 * channels[0], 1, mode="reflect")
    dx, dy = light[1:-1, 2:] - light[1:-1, :-2], light[2:, 1:-1] - light[:-2, 1:-1]
    turn = np.arctan2(dy, dx) / (2 * np.pi / 8) % 8
    cells = np.zeros((16, 8))
    for direction in range(8):
        away = np.minimum(abs(turn - direction), 8 - abs(turn - direction))
        strength = gaussian_filter(np.hypot(dx, dy) * np.maximum(1 - away, 0), 1.5, mode="mirror")
        for cell, (down, right) in enumerate(itertools.product((-4, -2, 2, 4), repeat=2)):
            if 0 <= y + down < image.shape[0] and 0 <= x + right < image.shape[1]:
                cells[cell, direction] = strength[y + down, x + right]
    colour = np.array([gaussian_filter(channel, 1.5, mode="mirror")[y, x] for channel in channels])
    distance = min(distance_transform_edt(inside)[y, x] / 25, 1) if not inside.all() else 1
    total = cells.sum()
    roots = np.minimum(np.sqrt(cells.ravel() / max(total, 1e-9)), 255 / 512)
    return np.array([*roots, *(colour - channels[:, inside].mean(axis=1)), *(0.5 * colour[1:]), 0.3 * distance, np.log1p(total / 16)])


@pytest.mark.parametrize("object_only", [True, False])
def test_a_descriptor_is_what_its_definition_says(object_only: bool) -> None:
    # Uneven in both directions, so that no two of them can be confused.
    picture = cv2.resize(disc(60), (56, 48), interpolation=cv2.INTER_AREA)
    picture[10:20, 22:28] = (60, 200, 90)
    inside = object_of(picture) if object_only else np.ones(picture.shape[:2], bool)
    stored, at = Grid(grid_px=9, max_points=1000, object_only=object_only).described(picture)
    found = weighted(stored, colour=1, energy=1)
    expected = np.array([by_definition(picture.astype(np.float64), inside, x, y) for x, y in at[:, :2].astype(int).tolist()])
    assert {tuple(point) for point in at[:, :2].tolist()} == {(x, y) for x in range(4, 56, 9) for y in range(4, 48, 9) if inside[y, x]}
    # Half a step of the stored bytes, and a hair: 512, 128 and 40 steps are 1.
    colours, distance, sharpness = slice(128, 133), 133, 134
    error = np.abs(found - expected)
    assert error[:, :128].max() < 0.55 / 512
    assert error[:, colours].max() < 0.55 / 128
    assert error[:, sharpness].max() < 0.55 / 40
    # OpenCV's distance is some percent off.
    assert found[:, distance] == pytest.approx(expected[:, distance], abs=0.02)


def test_points_lie_on_the_object_in_steps_of_the_grid() -> None:
    descriptors, at = GRID.described(disc())
    x, y = at[:, 0] - 50, at[:, 1] - 50
    assert len(descriptors) == len(at) == pytest.approx(np.pi * 30**2 / 25, rel=0.1)
    assert (np.hypot(x, y) <= 31).all()
    assert set(np.diff(np.unique(at[:, 0]))) == {5}
    assert (descriptors.shape[1], descriptors.dtype) == (N_DIMS, np.uint8)


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


def test_where_the_grid_misses_the_object_its_points_about_it_are_taken() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    picture[60:90, 60:90] = 40
    assert not object_of(picture)[4, 4]
    assert Grid(grid_px=64, max_points=9).described(picture)[1][:, :2].tolist() == [[68, 68]]
    assert Grid(grid_px=54, max_points=9).described(picture)[1][:, :2].tolist() == [[4, 4], [58, 4], [4, 58], [58, 58]]


def test_as_many_points_as_allowed_leave_the_grid_as_it_is() -> None:
    every = GRID.described(disc())[1]
    assert np.array_equal(Grid(grid_px=5, max_points=len(every)).described(disc())[1], every)


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
