"""The rule that marks what a chain does not know: its signs by hand, its rates on normal clouds."""

from __future__ import annotations

import numpy as np
import pytest

from pomona.vision.unknown import Familiarity, Known, calibrated, known_classes, separation, signs


def _cloud(mean: float, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, (n, 4))


def test_signs_are_the_odds_the_distance_to_the_nearest_class_and_what_is_lost() -> None:
    known = Known(np.array([[0.0, 0.0], [4.0, 0.0]]), np.diag([1.0, 4.0]))
    found = signs(np.array([0.8, 0.2]), np.array([3.0, 0.5]), 0.25, known)
    # Odds 4 : 1 for its label; from (4, 0) it is 1 away along the first axis and 0.5 along one that counts four times squared.
    assert found == pytest.approx([np.log(0.25), 1 + 4 * 0.25, 0.25])


def test_distances_to_all_classes_count_how_features_vary_together() -> None:
    known = Known(np.array([[0.0, 0.0], [1.0, -1.0]]), np.array([[2.0, 1.0], [1.0, 2.0]]))
    # From the first class (1, 1) is away by itself: 2 + 1 + 1 + 2; from the second by (0, 2): 2 · 4.
    assert known.distances(np.array([1.0, 1.0])).tolist() == [6.0, 8.0]


def test_a_sure_answer_has_finite_odds() -> None:
    known = Known(np.zeros((2, 1)), np.eye(1))
    assert np.isfinite(signs(np.array([1.0, 0.0]), np.zeros(1), 0.0, known)).all()


def test_classes_lie_at_their_means_in_the_order_of_their_names() -> None:
    features = np.array([[0.0], [2.0], [10.0], [14.0]])
    found = known_classes(features, ["plum", "plum", "lime", "lime"])
    assert found.means.ravel().tolist() == [12.0, 1.0]
    # Deviations 1, 1, 2, 2 from the means: 2.5 on average, in one dimension the same when a tenth of it is made round.
    assert found.precision == pytest.approx(np.array([[1 / 2.5]]))


def test_features_that_do_not_vary_have_classes_all_the_same() -> None:
    found = known_classes(np.zeros((4, 3)), ["a", "a", "b", "b"])
    assert np.isfinite(found.precision).all()


def test_of_known_pictures_the_rule_marks_the_share_that_it_may() -> None:
    draw = np.random.default_rng(1)
    rule = calibrated(draw.normal(0, 1, (4000, 3)), given_away=0.05)
    marked = np.mean([rule.novelty(row) > 1 for row in draw.normal(0, 1, (4000, 3))])
    # 5 % of 4,000 within three standard deviations of both draws.
    assert marked == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("sign", range(3))
def test_one_unusual_sign_is_enough(sign: int) -> None:
    draw = np.random.default_rng(2).normal(0, 1, (1000, 3))
    rule = calibrated(draw, given_away=0.05)
    unusual = np.zeros(3)
    assert rule.novelty(unusual) < 0.5
    unusual[sign] = 8
    assert rule.novelty(unusual) > 2


def test_signs_that_do_not_vary_in_known_pictures_mark_whatever_differs() -> None:
    rule = calibrated(np.tile([[0.0, 1.0, 0.5]], (10, 1)), given_away=0.05)
    assert rule.novelty(np.array([0.0, 1.0, 0.5])) <= 1 < rule.novelty(np.array([0.0, 1.1, 0.5]))


def test_a_familiarity_is_the_same_from_its_arrays() -> None:
    rule = calibrated(np.random.default_rng(3).normal(0, 1, (50, 3)), given_away=0.1)
    found = Familiarity(known_classes(_cloud(0, 9, 1), list("aabbaabba")), rule)
    again = Familiarity.from_arrays({name: np.array(array) for name, array in found.arrays().items()})
    assert again.rule is not None and again.rule.novelty(np.array([0.3, 2.0, 0.1])) == rule.novelty(np.array([0.3, 2.0, 0.1]))
    assert Familiarity.from_arrays(Familiarity(found.known).arrays()).rule is None
    assert (found.known.means == again.known.means).all() and (found.known.precision == again.known.precision).all()


def test_separation_is_the_share_of_pairs_in_the_right_order() -> None:
    assert separation(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert separation(np.array([1.0, 3.0]), np.array([2.0, 4.0])) == 0.75
    assert separation(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
