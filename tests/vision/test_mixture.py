"""A mixture of Gaussians: members counted by hand, likelihood that grows, and Fisher vectors beside the gradient that they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pomona.vision.mixture import Mixture, fisher_vector, improved, of_members, posteriors

Array = np.ndarray[Any, Any]
GENERATOR = np.random.default_rng(0)
POINTS = GENERATOR.normal(size=(40, 3)).astype(np.float32)
MIXTURE = Mixture(
    np.array([[0, 0, 1], [1, -1, 0]], np.float32), np.array([[1, 2, 0.5], [0.7, 1, 1.5]], np.float32), np.array([0.3, 0.7], np.float32)
)


def likelihood(points: Array, means: Array, variances: Array, weights: Array) -> float:
    """The mean log-likelihood of the points, in float64, word by word."""
    densities = [
        weight * np.exp(-0.5 * ((points - mean) ** 2 / variance).sum(axis=1)) / np.sqrt((2 * np.pi * variance).prod())
        for mean, variance, weight in zip(means, variances, weights, strict=True)
    ]
    return float(np.log(np.sum(densities, axis=0)).mean())


def test_posteriors_are_bayes_rule_and_sum_to_one() -> None:
    shares = posteriors(POINTS, MIXTURE)
    assert shares.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-6)
    point = POINTS[:1].astype(np.float64)
    alone = [np.exp(likelihood(point, MIXTURE.means[[k]], MIXTURE.variances[[k]], MIXTURE.weights[[k]])) for k in range(2)]
    assert shares[0] == pytest.approx(np.array(alone) / sum(alone), rel=1e-5)


def test_a_point_far_from_every_word_still_has_one() -> None:
    assert posteriors(np.full((1, 3), 1e4, np.float32), MIXTURE).sum() == pytest.approx(1)


def test_members_give_each_word_its_variance_and_share() -> None:
    points = np.array([[0, 0], [2, 0], [10, 5], [10, 9]], np.float32)
    found = of_members(points, np.array([0, 0, 1, 1]), np.array([[1, 0], [10, 7], [50, 50]], np.float32))
    overall = points.var(axis=0)
    assert found.weights == pytest.approx([2 / 4.5, 2 / 4.5, 0.5 / 4.5])
    assert found.variances[0] == pytest.approx([1, 1e-3 * overall[1]])
    assert found.variances[1] == pytest.approx([1e-3 * overall[0], 4])
    # A word that no descriptor took says nothing of its own, nor does one descriptor of its spread.
    assert found.variances[2] == pytest.approx(overall)
    assert of_members(points, np.array([0, 0, 0, 1]), found.means).variances[1] == pytest.approx(overall)


def test_each_step_makes_the_sample_likelier() -> None:
    mixture, values = MIXTURE, []
    for _ in range(4):
        values.append(likelihood(POINTS.astype(np.float64), mixture.means, mixture.variances, mixture.weights))
        mixture = improved(POINTS, mixture)
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.1
    assert mixture.weights.sum() == pytest.approx(1)
    assert improved(POINTS, MIXTURE).weights == pytest.approx(posteriors(POINTS, MIXTURE).mean(axis=0), abs=1e-6)


def test_a_step_is_exact_far_from_the_origin_and_leaves_no_word_without_a_spread() -> None:
    far = (POINTS + np.float32(3000)).astype(np.float32)
    one = Mixture(far.mean(axis=0)[None], np.ones((1, 3), np.float32), np.ones(1, np.float32))
    assert improved(far, one).variances[0] == pytest.approx(far.var(axis=0, dtype=np.float64), rel=1e-3)
    # Two points, each many times: each word is one of them, and the floor is a thousandth of the variance of all, 25.
    twice = np.repeat(np.array([[0], [10]], np.float32), 20, axis=0)
    two = Mixture(np.array([[1], [9]], np.float32), np.ones((2, 1), np.float32), np.full(2, 0.5, np.float32))
    assert improved(twice, two).variances.ravel() == pytest.approx([0.025, 0.025])


def test_a_fisher_vector_is_the_scaled_gradient_of_the_likelihood_rooted_word_by_word() -> None:
    arrays = [array.astype(np.float64) for array in (MIXTURE.means, MIXTURE.variances, MIXTURE.weights)]
    points = POINTS.astype(np.float64)

    def slope(which: int, word: int, dim: int) -> float:
        sides = []
        for step in (1e-4, -1e-4):
            moved = [array.copy() for array in arrays]
            moved[which][word, dim] += step
            sides.append(likelihood(points, *moved))
        return (sides[0] - sides[1]) / 2e-4

    _, variances, weights = arrays
    by_mean = [[slope(0, k, d) * np.sqrt(variances[k, d] / weights[k]) for d in range(3)] for k in range(2)]
    # By the standard deviation, whose Fisher information is twice the mean's: d/dσ = 2σ d/dσ².
    by_spread = [[slope(1, k, d) * 2 * variances[k, d] / np.sqrt(2 * weights[k]) for d in range(3)] for k in range(2)]
    expected = np.array(by_mean + by_spread)
    expected = np.sign(expected) * np.sqrt(np.abs(expected))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert fisher_vector(POINTS, MIXTURE) == pytest.approx(expected.ravel() / 2, abs=1e-3)


def test_no_points_ask_nothing_of_the_words() -> None:
    assert fisher_vector(np.empty((0, 3), np.float32), MIXTURE).tolist() == [0] * 12
