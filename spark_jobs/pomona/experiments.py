"""Two rates of an A/B test compared, and the users that such a test needs. Standard library only.

Both variants are shown to users of their own; what is counted is how many of them do what is hoped for (a correction not needed, a
purchase). The tests are one-sided: the question is whether the second variant is better, not whether it is different.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

_NORMAL = NormalDist()


class RateComparison(NamedTuple):
    """Two rates, how far apart they are, and what each is at least."""

    rate_a: float
    rate_b: float
    pooled_rate: float
    z: float
    p: float
    lower_a: float
    lower_b: float


def compare_rates(successes_a: float, n_a: int, successes_b: float, n_b: int, *, confidence: float = 0.95) -> RateComparison:
    """The two rates, the z test of whether the second is higher, and the one-sided lower bound of each.

    `z` is the difference over its standard error under equal rates, both groups pooled; `p` is the probability of a difference at least
    as large if the rates were equal (Fleiss, Levin & Paik 2003, section 3.2, without the correction for continuity). Where nobody or
    everybody succeeded in both groups, z is 0 and p one half: nothing tells them apart. The bounds are Wald's,
    rate − z √(rate (1 − rate) / n), not below 0 (ibid., section 2.4): too high when a rate rests on a handful of successes.

    Parameters
    ----------
    successes_a, successes_b : 0 to n; may be fractional where a report gives rates only
    n_a, n_b : users in each group, at least 1
    confidence : of each lower bound by itself, between 0 and 1

    Raises
    ------
    ValueError
        When a count is impossible or the confidence is no share.
    """
    for name, successes, n in (("a", successes_a, n_a), ("b", successes_b, n_b)):
        if n < 1:
            raise ValueError(f"n_{name}={n}: a rate needs at least one user")
        if not 0 <= successes <= n:
            raise ValueError(f"successes_{name}={successes} of n_{name}={n}: give a number from 0 to {n}")
    _checked("confidence", confidence)
    rate_a, rate_b = successes_a / n_a, successes_b / n_b
    pooled = (successes_a + successes_b) / (n_a + n_b)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    z = (rate_b - rate_a) / error if error else 0.0
    # erfc keeps its digits far out, where 1 − cdf(z) has none left.
    p = math.erfc(z / math.sqrt(2)) / 2
    return RateComparison(rate_a, rate_b, pooled, z, p, _lower(rate_a, n_a, confidence), _lower(rate_b, n_b, confidence))


def sample_size(rate_a: float, rate_b: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Users that each of two equal groups needs, for the test of `compare_rates` to find the difference.

    n = (z₁₋α √(2 r̄ (1 − r̄)) + z_power √(a (1 − a) + b (1 − b)))² / (b − a)² with r̄ = (a + b) / 2, rounded up (Fleiss, Levin & Paik 2003,
    section 4.2).

    Parameters
    ----------
    rate_a, rate_b : as expected, each between 0 and 1 and not equal
    alpha : how often the test may find a difference where there is none, one-sided
    power : how often it shall find the one that there is

    Raises
    ------
    ValueError
        When a rate, alpha or power is not between 0 and 1, the rates are equal, or the power is not above alpha.
    """
    for name, value in (("rate_a", rate_a), ("rate_b", rate_b), ("alpha", alpha), ("power", power)):
        _checked(name, value)
    if rate_a == rate_b:
        raise ValueError(f"rate_a and rate_b are both {rate_a:g}: no number of users tells equal rates apart")
    if power <= alpha:
        raise ValueError(f"power={power:g} is not above alpha={alpha:g}: a coin would do as well")
    mean = (rate_a + rate_b) / 2
    under_equal = _NORMAL.inv_cdf(1 - alpha) * math.sqrt(2 * mean * (1 - mean))
    under_given = _NORMAL.inv_cdf(power) * math.sqrt(rate_a * (1 - rate_a) + rate_b * (1 - rate_b))
    return math.ceil(((under_equal + under_given) / (rate_b - rate_a)) ** 2)


def _lower(rate: float, n: int, confidence: float) -> float:
    return max(0.0, rate - _NORMAL.inv_cdf(confidence) * math.sqrt(rate * (1 - rate) / n))


def _checked(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name}={value:g}: give a share between 0 and 1")
