"""Two rates and sample sizes, against published figures, SciPy, and drawn cases."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from pomona.experiments import compare_rates, sample_size


def test_the_published_comparison_comes_out_to_its_digits() -> None:
    found = compare_rates(0.07 * 1062, 1062, 0.08 * 982, 982)
    assert f"{found.pooled_rate:.7f} {found.z:.6f} {found.p:.6f}" == "0.0748043 0.858613 0.195277"
    assert f"{100 * found.lower_a:.3f} {100 * found.lower_b:.3f}" == "5.712 6.576"
    assert (found.rate_a, found.rate_b) == (pytest.approx(0.07), pytest.approx(0.08))


def test_ten_times_the_users_make_the_same_difference_significant() -> None:
    found = compare_rates(0.07 * 10620, 10620, 0.08 * 9820, 9820)
    assert f"{found.z:.6f} {found.p:.6f}" == "2.715173 0.003312"


def test_the_published_sample_size_comes_out() -> None:
    assert sample_size(0.07, 0.08, alpha=0.05, power=0.8) == 8578
    assert sample_size(0.08, 0.07, alpha=0.05, power=0.8) == 8578


def test_whole_counts_agree_with_the_chi_squared_test() -> None:
    found = compare_rates(30, 200, 48, 210)
    by_chi = stats.chi2_contingency([[30, 170], [48, 162]], correction=False)
    assert found.z**2 == pytest.approx(by_chi.statistic)
    assert found.p == pytest.approx(by_chi.pvalue / 2)


def test_a_worse_second_rate_has_the_opposite_sign_and_the_rest_of_the_probability() -> None:
    better, worse = compare_rates(30, 200, 48, 200), compare_rates(48, 200, 30, 200)
    assert worse.z == pytest.approx(-better.z)
    assert worse.p == pytest.approx(1 - better.p)
    assert worse.p > 0.9


def test_a_probability_far_out_keeps_its_digits() -> None:
    found = compare_rates(0, 200, 200, 200)
    assert found.z == pytest.approx(20)
    assert found.p == pytest.approx(stats.norm.sf(20), rel=1e-6)
    assert 0 < found.p < 1e-80


@pytest.mark.parametrize("successes", [0, 1])
def test_where_all_or_none_succeed_nothing_tells_the_groups_apart(successes: int) -> None:
    found = compare_rates(50 * successes, 50, 80 * successes, 80)
    assert (found.z, found.p, found.lower_a, found.lower_b) == (0.0, 0.5, successes, successes)


def test_a_lower_bound_is_no_negative_rate_and_obeys_its_confidence() -> None:
    assert compare_rates(1, 100, 50, 100).lower_a == 0.0
    assert compare_rates(50, 100, 50, 100, confidence=0.975).lower_a == pytest.approx(0.5 - 1.959964 * 0.05)


def test_a_test_of_that_size_finds_the_difference_as_often_as_promised() -> None:
    import numpy as np

    n = sample_size(0.3, 0.4, alpha=0.05, power=0.8)
    draw = np.random.default_rng(5)
    pairs = zip(draw.binomial(n, 0.3, 2000).tolist(), draw.binomial(n, 0.4, 2000).tolist(), strict=True)
    share = sum(compare_rates(a, n, b, n).p <= 0.05 for a, b in pairs) / 2000
    assert share == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((1, 0, 1, 10), "n_a=0"),
        ((11, 10, 1, 10), "successes_a=11 of n_a=10"),
        ((1, 10, -1, 10), "successes_b=-1 of n_b=10"),
        ((math.nan, 10, 1, 10), "successes_a=nan"),
    ],
)
def test_impossible_counts_are_named(given: tuple[float, int, float, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare_rates(*given)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate_a": 0.08}, "both 0.08"),
        ({"rate_a": 0.0}, "rate_a=0"),
        ({"rate_b": 1.2}, "rate_b=1.2"),
        ({"alpha": 0.0}, "alpha=0"),
        ({"power": 1.0}, "power=1"),
        ({"alpha": 0.5, "power": 0.4}, "not above alpha"),
    ],
)
def test_impossible_plans_are_named(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sample_size(**{"rate_a": 0.07, "rate_b": 0.08, **changes})


def test_an_impossible_confidence_is_named() -> None:
    with pytest.raises(ValueError, match="confidence=95"):
        compare_rates(1, 10, 1, 10, confidence=95)
