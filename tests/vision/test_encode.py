"""Bags of words counted by hand, a Fisher vector beside its gradient, and a projection whose axes are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pomona.knobs import resolve
from pomona.vision.describe import Description
from pomona.vision.encode import Encoding, fit_projection, in_sample, project, taught_quarters, vector
from pomona.vision.words import Preparation
from tests.vision.vocabularies import plain

ORB = Preparation("orb", root=False, colour_weight=0)
# Four words: none, half and all of the 256 bits, and the other half.
WORDS = plain(np.repeat([[0, 0], [1, 0], [1, 1], [0, 1]], 128, axis=1).astype(np.float32))
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


def test_a_fisher_vector_has_two_values_a_dimension_of_each_word_and_the_histogram_beside_it() -> None:
    found = vector(FIVE, WORDS, ORB, Encoding("fisher", 2, 2))
    assert found.shape == (2 * 4 * 256 + 3,)
    assert np.linalg.norm(found[:-3]) == pytest.approx(1)
    assert vector(description(), WORDS, ORB, Encoding("fisher", 0, 2)).tolist() == [0] * 2048


@pytest.mark.parametrize("further", [0, 500])
def test_the_axes_of_a_known_covariance_are_found_centred_and_signed(further: int) -> None:
    # With 500 more columns that do not vary there are fewer rows than features, and the other way of finding them is taken.
    rows = np.hstack([sample(), np.ones((400, further))])
    mean, components = fit_projection(rows, 3)
    assert mean[:3] == pytest.approx([7, -5, 2])
    # The largest coordinate of each axis is positive: the second comes out turned round.
    assert components[:, :3] == pytest.approx(np.array([[0.6, 0.8, 0], [0.8, -0.6, 0], [0, 0, 1]]), abs=1e-6)
    assert components[:, 3:] == pytest.approx(np.zeros((3, rows.shape[1] - 3)), abs=1e-9)
    assert components.flags.c_contiguous


def test_a_projection_needs_a_training_image() -> None:
    with pytest.raises(ValueError, match="no training image"):
        fit_projection(np.empty((0, 3)), 2)


def test_the_sample_is_about_the_share_asked_for_and_always_the_same() -> None:
    drawn = [in_sample(f"{number:064x}", 0, share=0.25, seed=0) for number in range(4000)]
    assert 900 < sum(drawn) < 1100
    assert drawn == [in_sample(f"{number:064x}", 0, share=0.25, seed=0) for number in range(4000)]
    assert drawn != [in_sample(f"{number:064x}", 1, share=0.25, seed=0) for number in range(4000)]
    assert all(in_sample(f"{number:064x}", 0, share=1, seed=0) for number in range(4000))


@pytest.mark.parametrize(
    ("given", "quarters"), [({}, (1, 3)), ({"turns": False}, ()), ({"extractor": "sift"}, ()), ({"extractor": "orb"}, ())]
)
def test_only_dense_descriptors_are_learnt_turned(given: dict[str, Any], quarters: tuple[int, ...]) -> None:
    assert taught_quarters(resolve(given)) == quarters


@pytest.mark.parametrize(("n_rows", "asked", "kept"), [(400, 2, 2), (400, 9, 3), (3, 9, 2), (2, 9, 1), (1, 9, 1)])
def test_no_more_components_than_the_rows_allow(n_rows: int, asked: int, kept: int) -> None:
    mean, components = fit_projection(sample()[:n_rows], asked)
    assert components.shape == (kept, 3)
    assert project(sample()[0], mean, components).shape == (kept,)


def test_columns_that_follow_from_others_add_no_component() -> None:
    rows = sample() @ np.random.default_rng(1).normal(size=(3, 12))
    assert fit_projection(rows, 9)[1].shape == fit_projection(rows[:11], 9)[1].shape == (3, 12)


def test_projected_training_rows_are_centred_and_uncorrelated() -> None:
    rows = sample()
    mean, components = fit_projection(rows, 3)
    features = np.array([project(row, mean, components) for row in rows])
    assert np.cov(features.T, bias=True) == pytest.approx(np.diag([9, 4, 1]), abs=1e-3)
    assert features.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-4)


def test_a_projection_is_the_same_bits_whatever_the_memory_order_of_its_axes() -> None:
    generator = np.random.default_rng(0)
    mean, components, row = generator.random(700), generator.random((128, 700)), generator.random(700)
    assert project(row, mean, components).tobytes() == project(row, mean, np.asfortranarray(components)).tobytes()
