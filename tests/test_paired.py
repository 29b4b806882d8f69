"""The paired test against all sign flips written out, against the binomial test, and on models that are equally good."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy.stats import binomtest

from pomona.paired import holm, paired, sign_flips


def test_the_eight_sign_flips_of_three_groups_are_counted() -> None:
    # Flips of 2, −1, −3 sum to 6, 0, 4, −2, 2, −4, 0, −6; seen is −2. At most −2: three; at least −2: six; of size 2 or more: six.
    assert sign_flips(np.array([2, -1, -3])) == (3 / 8, 6 / 8, 6 / 8)
    # All three groups lost: one flip of eight is as bad, and one as good the other way round.
    assert sign_flips(np.array([-2, -1, -3])) == (1 / 8, 1, 2 / 8)
    # Seen is 0: no flip is nearer to it.
    assert sign_flips(np.array([3, -3])) == (3 / 4, 3 / 4, 1)


def test_any_gains_agree_with_all_their_flips_written_out() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        gains = random.integers(-4, 5, size=9)
        sums = np.array(list(itertools.product((1, -1), repeat=9))) @ gains
        seen = int(gains.sum())
        expected = ((sums <= seen).mean(), (sums >= seen).mean(), (abs(sums) >= abs(seen)).mean())
        assert sign_flips(gains) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 12), (12, 5), (0, 9), (40, 31)])
def test_where_every_group_is_one_image_it_is_mcnemars_exact_test(wins: int, losses: int) -> None:
    old = np.array([False] * wins + [True] * losses + [True, False] * 5)
    new = np.array([True] * wins + [False] * losses + [True, False] * 5)
    found = paired(old, new, [f"g{i}" for i in range(len(old))])
    assert (found.test, found.n_differing) == ("McNemar's exact test", wins + losses)
    n = wins + losses
    expected = [binomtest(wins, n, 0.5, alternative=kind).pvalue if n else 1.0 for kind in ("less", "greater", "two-sided")]
    assert (found.loss, found.gain, found.two_sided) == pytest.approx(expected, abs=1e-12)


def test_ten_groups_that_all_lose_are_one_flip_of_1024_however_many_images_they_have() -> None:
    groups = [f"g{i}" for i in range(10) for _ in range(7)]
    found = paired(np.ones(70, dtype=bool), np.zeros(70, dtype=bool), groups)
    assert found == ("sign flips of groups", 10, 10, 1 / 1024, 1, 2 / 1024)


def test_the_order_of_images_and_groups_without_a_difference_change_nothing() -> None:
    random = np.random.default_rng(1)
    groups = random.integers(0, 13, 200).astype(str)
    old, new = random.random(200) < 0.8, random.random(200) < 0.7
    found = paired(old, new, groups)
    order = random.permutation(200)
    assert paired(old[order], new[order], groups[order]) == found
    more = paired(np.append(old, [True, False]), np.append(new, [True, False]), [*groups, "x", "y"])
    assert (more.loss, more.gain, more.two_sided) == (found.loss, found.gain, found.two_sided)


def test_equally_good_models_are_called_worse_as_often_as_the_level_says_and_not_more_because_frames_agree() -> None:
    random = np.random.default_rng(2)
    sizes = random.integers(3, 12, 25)
    groups = np.repeat(np.arange(25), sizes).astype(str)
    by_groups = by_images = 0
    for _ in range(1000):
        # Whole groups are recognised or not, independently by two models that are right with the same chance.
        old, new = (np.repeat(random.random(25) < 0.7, sizes) for _ in range(2))
        by_groups += paired(old, new, groups).loss <= 0.05
        by_images += paired(old, new, np.arange(len(old)).astype(str)).loss <= 0.05
    # 5 % of 1,000 is 50, with a standard error of 6.9; sums that tie make the test a little more careful.
    assert 28 <= by_groups <= 65
    assert by_images > 170


def test_no_images_are_no_difference() -> None:
    assert paired(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), [])[1:] == (0, 0, 1, 1, 1)


def test_ten_thousand_groups_that_differ_take_seconds_at_most() -> None:
    started = time.process_time()
    loss, gain, _ = sign_flips(np.tile([3, -3, 2, -2], 2_500))
    assert time.process_time() - started < 4
    assert loss == pytest.approx(gain) and 0.5 < loss < 0.51


def test_holm_asks_the_smallest_chance_most() -> None:
    # .05 / 3 = .0167, .05 / 2 = .025, .05
    assert holm([0.03, 0.01, 0.04], level=0.05) == [False, True, False]
    assert holm([0.04, 0.01, 0.02], level=0.05) == [True, True, True]
    # Behind one that fails none is significant, although .045 alone would be.
    assert holm([0.045, 0.026, 0.001], level=0.05) == [False, False, True]
    assert holm([], level=0.05) == []
