"""Observations drawn from a known law: groups differ from each other, images of one group less so. What the tests of drift share."""

from __future__ import annotations

import numpy as np

from pomona.monitoring.profile import Profile
from pomona.vision.observe import Observations

CLASSES = ("apple", "cherry", "tomato")
N_WORDS = 12


def seen(
    labels: list[int], *, n_each: int, seed: int, between: float = 1.0, brightness: float = 0.5, surprise: float = 0.0, sure: float = 0.9
) -> Observations:
    """`n_each` images of each of the groups, whose labels (as places among `CLASSES`) are given, group by group.

    Brightness lies about the given mean by group (.05 · `between`) and image (.05); words favour those of the label; nine answers in ten
    (`sure`) are right; `surprise` moves quantisation and reconstruction, in standard deviations of groups.
    """
    random = np.random.default_rng(seed)
    n_groups = len(labels)
    group = np.repeat(np.arange(n_groups), n_each)
    label = np.repeat(labels, n_each)
    n = len(group)

    def number(mean: float, deviation: float) -> np.ndarray:
        by_group = mean + between * deviation * random.standard_normal(n_groups)
        return np.asarray(by_group[group] + deviation * random.standard_normal(n))

    said = np.where(random.random(n) < sure, label, random.integers(0, 3, n))
    top = random.uniform(0.5, 1, n)
    probabilities = np.repeat((1 - top)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(n), said] = top
    weights = np.ones((3, N_WORDS)) + 4 * np.eye(3).repeat(N_WORDS // 3, axis=1)
    by_group = np.array([random.dirichlet(8 * weights[each]) for each in labels])
    words = np.array([random.multinomial(60, by_group[each]) for each in group]) / 60
    return Observations(
        probabilities,
        words.astype(np.float32),
        number(0.15 + 0.02 * surprise, 0.02),
        number(0.5 + 0.05 * surprise, 0.05),
        np.full(n, 60),
        number(brightness, 0.05),
        number(-2.5, 0.2),
        np.column_stack([number(0.02, 0.01), number(0.0, 0.01)]),
    )


def profile(n_groups: int = 60, *, n_each: int = 20, seed: int = 0, between: float = 1.0) -> Profile:
    """A profile of groups of all three labels in turn."""
    labels = [number % 3 for number in range(n_groups)]
    names = np.repeat([CLASSES[label] for label in labels], n_each)
    groups = np.repeat([f"video {number}" for number in range(n_groups)], n_each)
    return Profile(seen(labels, n_each=n_each, seed=seed, between=between), names, groups, CLASSES)
