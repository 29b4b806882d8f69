"""Bags of words counted by hand, and a projection whose axes are known."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest

from pomona.vision.describe import Description
from pomona.vision.encode import Encoding, Moments, fit_projection, project, vector
from pomona.vision.words import Preparation

ORB = Preparation("orb", root=False, colour_weight=0)
# Four words: none, half and all of the 256 bits, and the other half.
WORDS = np.repeat([[0, 0], [1, 0], [1, 1], [0, 1]], 128, axis=1).astype(np.float32)
HISTOGRAM = np.array([0.25, 0.75, 0], np.float32)


def description(*fills: tuple[int, int]) -> Description:
    """Descriptors whose 16 first and 16 last bytes are as given."""
    rows = [[first] * 16 + [last] * 16 + [9, 9, 9] for first, last in fills]
    return Description(np.array(rows, np.uint8).reshape(-1, 35), HISTOGRAM)


FIVE = description((0, 0), (255, 255), (255, 255), (0, 0), (255, 255))


def test_counts_say_how_many_keypoints_took_each_word() -> None:
    assert vector(FIVE, WORDS, ORB, Encoding("counts", 0, 2)).tolist() == [2, 0, 3, 0]


def test_a_hellinger_bag_is_the_root_of_shares_and_has_unit_length() -> None:
    bag = vector(FIVE, WORDS, ORB, Encoding("hellinger", 0, 2))
    assert bag == pytest.approx(np.sqrt([0.4, 0, 0.6, 0]))
    assert np.linalg.norm(bag) == pytest.approx(1, abs=1e-12)


def test_the_histogram_stands_beside_the_bag_as_weighted_root() -> None:
    both = vector(FIVE, WORDS, ORB, Encoding("hellinger", 2, 2))
    assert both.dtype == np.float64
    assert both[4:] == pytest.approx(2 * np.sqrt([0.25, 0.75, 0]))
    assert np.linalg.norm(both[4:]) == pytest.approx(2)


@pytest.mark.parametrize("encoding", ["counts", "hellinger"])
def test_an_image_without_keypoints_has_a_bag_of_zeros(encoding: str) -> None:
    assert vector(description(), WORDS, ORB, Encoding(encoding, 1, 2)).tolist() == pytest.approx([0, 0, 0, 0, 0.5, np.sqrt(0.75), 0])


def test_no_number_of_components_means_seventy_percent_of_the_words() -> None:
    assert Encoding("counts", 0, 0).components_for(30) == 21
    assert Encoding("counts", 0, 0).components_for(1) == 1
    assert Encoding("counts", 0, 128).components_for(30) == 128


def sample(n: int = 400) -> np.ndarray:
    """Rows whose covariance has the axes (3, 4)/5, (-4, 3)/5 and z, with variances 9, 4 and 1."""
    normal = np.random.default_rng(0).normal(size=(n, 3))
    white = np.linalg.solve(np.linalg.cholesky(np.cov(normal.T, bias=True)), (normal - normal.mean(axis=0)).T).T
    return white * [3, 2, 1] @ np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]]) + [7, -5, 2]


def test_the_axes_of_a_known_covariance_are_found_centred_and_signed() -> None:
    mean, components = fit_projection(Moments.of(sample()), 3)
    # To the grid on which moments are summed.
    assert mean == pytest.approx([7, -5, 2], abs=1e-4)
    # The largest coordinate of each axis is positive: the second comes out turned round.
    assert components == pytest.approx(np.array([[0.6, 0.8, 0], [0.8, -0.6, 0], [0, 0, 1]]), abs=1e-4)
    assert components.flags.c_contiguous


def test_moments_of_parts_add_up_to_those_of_the_whole_to_the_last_bit() -> None:
    rows = sample()
    whole = Moments.of(rows)
    shuffled = rows[np.random.default_rng(1).permutation(len(rows))]
    parts = reduce(add, (Moments.of(shuffled[start : start + 37]) for start in range(0, len(rows), 37)))
    assert parts.count == whole.count == 400
    assert (parts.total.tobytes(), parts.outer.tobytes()) == (whole.total.tobytes(), whole.outer.tobytes())
    assert whole.outer == pytest.approx(rows.T @ rows, rel=1e-5)


def test_an_empty_bucket_changes_no_moments() -> None:
    whole = Moments.of(sample())
    assert (whole + Moments.of(np.empty((0, 3)))).outer.tobytes() == whole.outer.tobytes()


@pytest.mark.parametrize(("n_rows", "asked", "kept"), [(400, 2, 2), (400, 9, 3), (3, 9, 2), (2, 9, 1), (1, 9, 1)])
def test_no_more_components_than_the_rows_allow(n_rows: int, asked: int, kept: int) -> None:
    mean, components = fit_projection(Moments.of(sample()[:n_rows]), asked)
    assert components.shape == (kept, 3)
    assert project(sample()[0], mean, components).shape == (kept,)


def test_projected_training_rows_are_centred_and_uncorrelated() -> None:
    rows = sample()
    mean, components = fit_projection(Moments.of(rows), 3)
    features = np.array([project(row, mean, components) for row in rows])
    assert np.cov(features.T, bias=True) == pytest.approx(np.diag([9, 4, 1]), abs=1e-3)
    assert features.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-4)


def test_a_projection_is_the_same_bits_whatever_the_memory_order_of_its_axes() -> None:
    generator = np.random.default_rng(0)
    mean, components, row = generator.random(700), generator.random((128, 700)), generator.random(700)
    assert project(row, mean, components).tobytes() == project(row, mean, np.asfortranarray(components)).tobytes()
