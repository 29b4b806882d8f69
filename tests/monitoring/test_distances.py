"""Distances between weighted samples, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pomona.monitoring.distances import confusion_of, energy, jensen_shannon, label_mix, moments


def test_the_divergence_of_two_known_histograms_is_the_one_worked_out_by_hand() -> None:
    # (½, ½) against (1, 0), the middle is (¾, ¼): half of ½ log₂(½ / ¾) + ½ log₂(½ / ¼), and half of log₂(1 / ¾).
    by_hand = (0.5 * math.log2(2 / 3) + 0.5 * 1) / 2 + math.log2(4 / 3) / 2
    assert by_hand == pytest.approx(0.311278, abs=1e-6)
    assert jensen_shannon(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == pytest.approx(by_hand)
    # Counts say the same as shares.
    assert jensen_shannon(np.array([7.0, 7.0]), np.array([3.0, 0.0])) == pytest.approx(by_hand)


def test_equal_histograms_have_no_divergence_and_disjoint_ones_a_bit() -> None:
    rows = np.array([[0.2, 0.8, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    others = np.array([[0.2, 0.8, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    # The third has nothing at all, and so nothing in common; the fourth is nothing against nothing.
    assert jensen_shannon(rows, others) == pytest.approx([0, 1, 1, 0], abs=1e-9)


def test_the_energy_distance_sees_location_and_spread() -> None:
    values = np.array([2.0, 0.0, 1.0])
    only = np.eye(3)
    # All at 0 against all at 1, at 2: the distribution functions are 1 apart over a length of 1, of 2.
    assert energy(values, only[[1]], only[[2]]) == pytest.approx([math.sqrt(2)])
    assert energy(values, only[[1]], only[[0]]) == pytest.approx([2])
    # Half at 0 and half at 2 against all at 1, with the same mean: ½ apart over a length of 2.
    assert energy(values, np.array([[0.5, 0.5, 0.0]]), only[[2]]) == pytest.approx([1])
    assert energy(values, only[[1]], only[[1]]) == pytest.approx([0])


def test_of_one_side_only_what_moves_that_way_counts() -> None:
    values = np.array([0.0, 1.0, 2.0])
    only = np.eye(3)
    assert energy(values, only[[2]], only[[0]], 1) == energy(values, only[[0]], only[[2]], -1) == pytest.approx([2])
    assert energy(values, only[[2]], only[[0]], -1) == energy(values, only[[0]], only[[2]], 1) == pytest.approx([0])
    # Half at 0 and half at 2 against all at 1: each side is half of the square.
    wide = np.array([[0.5, 0.0, 0.5]])
    assert [energy(values, wide, only[[1]], side)[0] ** 2 for side in (0, 1, -1)] == pytest.approx([1, 0.5, 0.5])


def test_the_energy_distance_is_that_of_the_definition_by_expectations() -> None:
    random = np.random.default_rng(0)
    values, (inside, outside) = random.normal(size=40), random.dirichlet(np.ones(40), size=2)
    apart = np.abs(values[:, None] - values)
    by_definition = 2 * inside @ apart @ outside - inside @ apart @ inside - outside @ apart @ outside
    assert energy(values, inside[None], outside[None]) == pytest.approx([math.sqrt(by_definition)])


def test_moments_are_those_of_the_images_that_weigh() -> None:
    values = np.array([[1.0, 10.0], [3.0, 10.0], [100.0, -5.0]])
    mean, spread = moments(values, np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
    assert mean.tolist() == [[2.0, 10.0], [100.0, -5.0]]
    assert spread == pytest.approx(np.array([[1.0, 0.0], [0.0, 0.0]]), abs=1e-6)


def test_the_mix_of_labels_is_found_behind_confused_predictions() -> None:
    confusion = np.array([[0.8, 0.2], [0.1, 0.9]])
    # Of 30 % and 70 %: .3 · .8 + .7 · .1 = .31 are predicted to be the first. Less than .1 no mix explains: it has none of it.
    found = label_mix(np.array([[0.31, 0.69], [0.8, 0.2], [0.02, 0.98]]), confusion)
    assert found[0] == pytest.approx([0.3, 0.7], abs=0.01)
    assert found[1] == pytest.approx([1, 0], abs=0.03)
    assert found[2] == pytest.approx([0, 1], abs=0.01)


def test_a_confusion_has_rows_of_labels_and_nothing_in_it_is_impossible() -> None:
    found = confusion_of(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2)
    # One image more in each row, half and half.
    assert found == pytest.approx(np.array([[2.5 / 4, 1.5 / 4], [0.5 / 2, 1.5 / 2]]))
