"""Where the object is: drawn ones before plain surroundings are found to the pixel, and there is always one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pomona.vision.plain import object_of, surroundings
from tests.vision.discs import disc

Array = np.ndarray[Any, Any]


def rectangle(rows: slice, columns: slice) -> tuple[Array, Array]:
    """A dark rectangle in a white picture of 100 × 100, and where it is."""
    inside = np.zeros((100, 100), bool)
    inside[rows, columns] = True
    return np.where(inside[..., None], np.uint8(60), np.uint8(255)) * np.ones(3, np.uint8), inside


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
    assert found[40, 6] and found[6, 60] and not found[6, 6]


def test_an_unsteady_background_is_plain_too() -> None:
    noise = np.random.default_rng(0).integers(-8, 9, (100, 100, 3))
    assert np.array_equal(object_of((disc(behind=(200, 200, 200)) + noise).astype(np.uint8)), object_of(disc(behind=(200, 200, 200))))


def test_an_object_may_hold_the_colour_of_the_background_and_lie_in_a_corner() -> None:
    picture, inside = rectangle(slice(30, 70), slice(20, 80))
    picture[45:55, 40:60] = 255
    assert np.array_equal(object_of(picture), inside)
    picture, inside = rectangle(slice(0, 20), slice(0, 30))
    assert np.array_equal(object_of(picture), inside)


def test_an_outline_one_pixel_wide_keeps_the_background_out() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    cv2.circle(picture, (50, 50), 30, (0, 0, 0), 1)
    assert not surroundings(picture)[50, 50]
    assert surroundings(picture)[5, 5]


@pytest.mark.parametrize(("end", "found"), [(80, True), (95, False)])
def test_surroundings_count_where_they_hold_three_fifths_of_the_border(end: int, found: bool) -> None:
    # From the upper edge to the lower one: of the border 65 or 57 % are left.
    picture, inside = rectangle(slice(None), slice(10, end))
    assert np.array_equal(object_of(picture), inside) == found
    assert object_of(picture)[50, 5] != found


def test_specks_are_no_part_of_the_object_and_next_to_nothing_is_no_object() -> None:
    picture, inside = rectangle(slice(40, 60), slice(40, 60))
    picture[[10, 10, 11, 80], [20, 21, 20, 90]] = 0
    assert np.array_equal(object_of(picture), inside)
    assert object_of(rectangle(slice(40, 57), slice(40, 57))[0]).all()
    # A quarter of a small picture is enough.
    assert object_of(rectangle(slice(40, 57), slice(40, 57))[0][30:62, 30:62]).sum() == 17**2
