"""Whether a window of new images looks as training did: nine statistics, thresholds from whole groups, one verdict. NumPy only.

Frames of one video are not independent, and a new variety is no drift. So what is usual is learnt from windows of *groups*: as many as a
window holds are drawn from the profile at random, again and again, and held against the groups that are left. Each statistic's threshold
is the value that chance reaches in one and the same small share of these windows, and that share is such that the nine together alarm in
`rate` of them (min p: Westfall & Young 1993): the rate is the panel's and not each statistic's.

A changed mix of labels changes everything else too. So all statistics but the mix itself compare the window with a profile that is weighted
to the window's own mix, as far as predictions tell it (`distances.label_mix`). What alarms beside the mix is a change of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.monitoring.distances import Side, confusion_of, energy, jensen_shannon, label_mix, moments
from pomona.monitoring.profile import Profile
from pomona.vision.observe import Floats, Observations

SCALARS = ("quantisation", "reconstruction", "confidence", "brightness", "blur", "red", "blue")
# Which way each changes for the worse; 0 for both ways. A model of all groups fits its profile, which comes from folds, only too well.
_WORSE: Mapping[str, Side] = {"quantisation": 1, "reconstruction": 1, "confidence": -1}
STATISTICS = ("words", "mix", "quantisation", "reconstruction", "confidence", "brightness", "blur", "cast", "rejects")

_LEAST = 1e-9
_BLOCK = 250


class Panel(NamedTuple):
    """What is usual for windows of `n_images` readable images from `n_groups` groups.

    Attributes
    ----------
    rate : the share of usual windows in which some statistic alarms
    reject_rate : the declared share of pictures that cannot be read
    thresholds : of each statistic the least value that alarms
    deviations : of each scalar how far a usual window's mean, and its spread, lie from the profile's, as standard deviations
    permutations, seed : of the windows that all this was learnt from
    """

    n_images: int
    n_groups: int
    rate: float
    reject_rate: float
    permutations: int
    seed: int
    thresholds: Mapping[str, float]
    deviations: Mapping[str, tuple[float, float]]


class Compared(NamedTuple):
    """Windows held against a profile.

    Attributes
    ----------
    values : (n_windows, n_statistics - 1), in the order of `STATISTICS`, rejects left out
    mix, usual_mix : (n_windows, n_classes), shares of predicted labels
    labels : (n_windows, n_classes), shares of the labels themselves in the windows, as estimated
    mean, spread, usual_mean, usual_spread : (n_windows, n_scalars), the usual ones under the window's mix of labels
    """

    values: Floats
    mix: Floats
    usual_mix: Floats
    labels: Floats
    mean: Floats
    spread: Floats
    usual_mean: Floats
    usual_spread: Floats


def calibrated(
    profile: Profile,
    *,
    n_images: int,
    n_groups: int,
    rate: float = 0.05,
    reject_rate: float = 0.01,
    permutations: int = 1000,
    seed: int = 0,
    mix: Floats | None = None,
) -> Panel:
    """The panel for windows of `n_images` readable images that come from about `n_groups` groups.

    Groups differ, so that windows of few have a wide range and their panel is blind: what is usual for fewer groups than the windows
    hold hides drift, and for more it alarms too often. Drawn at random, groups bring a mix of labels that differs from window to window;
    with `mix`, shares of the classes (n_classes,), it is always this one, so far as half of each label's groups suffice.

    Raises
    ------
    ValueError
        When `n_groups` is more than half of the profile's groups.
    """
    members, n_all = profile.members()
    if not 1 <= n_groups <= n_all // 2:
        raise ValueError(f"n_groups={n_groups} but the profile has {n_all} groups: 1 to {n_all // 2} leave enough to compare with")
    random = np.random.default_rng(seed)
    draws = (_drawn_groups(profile, members, n_groups, mix=mix, random=random) for _ in range(permutations))
    inside = np.array([_window(members, groups, n_images=n_images, random=random) for groups in draws])
    blocks = []
    for start in range(0, permutations, _BLOCK):
        weights = inside[start : start + _BLOCK] / n_images
        blocks.append(_compared(profile, profile.observations, weights, _others(weights, members, n_all)))
    found = Compared(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
    rejects = random.negative_binomial(n_images, 1 - reject_rate, size=permutations).astype(np.float64)
    nearer = _nearer(n_groups, n_all)
    # Energy distances go with differences of means, divergences of histograms with their squares.
    powers = np.array([2 if name in ("words", "mix") else 1 for name in STATISTICS[:-1]])
    values = found.values * (nearer * _wider(n_all, rate)) ** powers
    thresholds = _thresholds(np.column_stack([values, rejects]), rate=rate)
    about = nearer * (found.mean - found.usual_mean).std(axis=0), nearer * (found.spread - found.usual_spread).std(axis=0)
    deviations = {name: (float(mean), float(spread)) for name, mean, spread in zip(SCALARS, *about, strict=True)}
    return Panel(
        n_images, n_groups, rate, reject_rate, permutations, seed, dict(zip(STATISTICS, thresholds.tolist(), strict=True)), deviations
    )


def against(profile: Profile, window: Observations) -> Compared:
    """One window held against the whole profile."""
    n_profile, n_window = len(profile.labels), len(window.quantisation)
    inside = np.concatenate([np.zeros(n_profile), np.full(n_window, 1 / n_window)])[None]
    outside = np.concatenate([np.full(n_profile, 1.0), np.zeros(n_window)])[None]
    return _compared(profile, profile.observations.and_those(window), inside, outside)


def scalars(observations: Observations) -> Floats:
    """What `SCALARS` names, (n, n_scalars); confidence is the largest probability."""
    seen = observations
    columns = (seen.quantisation, seen.reconstruction, seen.probabilities.max(axis=1), seen.brightness, seen.blur, *seen.cast.T)
    return np.column_stack(columns)


def _compared(profile: Profile, table: Observations, inside: Floats, outside: Floats) -> Compared:
    """Windows held against others; the table's first rows are the profile's, and `outside` (n_windows, n) has weight on these alone."""
    n_profile, n_classes = len(profile.labels), len(profile.classes)
    predictions = table.probabilities.argmax(axis=1)
    one_hot = np.eye(n_classes)[predictions]
    labels = profile.label_codes()
    plain = outside / outside.sum(axis=1, keepdims=True)
    mix, usual_mix = inside @ one_hot, plain @ one_hot
    wanted = label_mix(mix, confusion_of(labels, predictions[:n_profile], n_classes))
    reference = _weighted(plain, labels, wanted)
    numbers = scalars(table)
    sides = [_WORSE.get(name, 0) for name in SCALARS]
    apart = np.column_stack([energy(column, inside, reference, side) for column, side in zip(numbers.T, sides, strict=True)])
    # The two of the cast are one statistic.
    cast = np.hypot(apart[:, -2], apart[:, -1])
    words = table.words.astype(np.float64)
    by_words = jensen_shannon(inside @ words, reference @ words)
    values = np.column_stack([by_words, jensen_shannon(mix, usual_mix), apart[:, :-2], cast])
    return Compared(values, mix, usual_mix, wanted, *moments(numbers, inside), *moments(numbers, reference))


def _weighted(plain: Floats, labels: NDArray[np.int64], wanted: Floats) -> Floats:
    """The weights (n_windows, n), changed so that labels have the wanted shares (n_windows, n_classes); rows sum to 1.

    A label without any weight has none afterwards either; the others share what it was wanted to have.
    """
    one_hot = np.eye(wanted.shape[1])[labels]
    n_profile = len(labels)
    there = plain[:, :n_profile] @ one_hot
    factors = np.where(there > 0, (wanted + _LEAST) / np.maximum(there, _LEAST), 0)
    changed = plain.copy()
    changed[:, :n_profile] *= factors @ one_hot.T
    return np.asarray(changed / changed.sum(axis=1, keepdims=True))


def _drawn_groups(
    profile: Profile, members: NDArray[np.int64], n_groups: int, *, mix: Floats | None, random: np.random.Generator
) -> NDArray[np.int64]:
    """The numbers of groups drawn at random; with `mix` so many of each label, half of what there are of it at most, but one in all."""
    n_all = int(members.max()) + 1
    if mix is None:
        return random.choice(n_all, n_groups, replace=False)
    label_of = np.empty(n_all, np.int64)
    label_of[members] = profile.label_codes()
    # Rounded so that they sum to n_groups, and none is off by one group or more.
    ends = np.floor(np.concatenate([[0], np.cumsum(n_groups * mix / mix.sum())]) + random.random())
    drawn = []
    for label, wanted in enumerate(np.diff(ends).astype(int)):
        own = np.flatnonzero(label_of == label)
        drawn.append(random.choice(own, min(wanted, len(own) // 2), replace=False))
    groups = np.concatenate(drawn)
    return groups if len(groups) else random.choice(n_all, 1)


def _window(members: NDArray[np.int64], groups: NDArray[np.int64], *, n_images: int, random: np.random.Generator) -> NDArray[np.int64]:
    """How often each image (n,) is in a window drawn from whole groups: equally often, or nearly, where they have too few."""
    chosen = np.isin(members, groups).nonzero()[0]
    rounds = [random.permutation(chosen) for _ in range(-(-n_images // len(chosen)))]
    return np.bincount(np.concatenate(rounds)[:n_images], minlength=len(members))


def _others(inside: Floats, members: NDArray[np.int64], n_all: int) -> Floats:
    """(n_windows, n): 1 for each image of a group that the window has nothing of."""
    taken = np.stack([np.bincount(members, weights=row, minlength=n_all) for row in inside])
    return np.asarray(taken[:, members] == 0, dtype=np.float64)


def _nearer(n_groups: int, n_all: int) -> float:
    """How much nearer a window of new groups lies to all of the profile's than one of the profile's own to those that it left over.

    A difference of means over g and G groups has a variance in proportion to 1 / g + 1 / G. Without this, half of 60 groups in a window
    alarmed in 1 % where 5 % was asked for.
    """
    return math.sqrt((1 / n_groups + 1 / n_all) / (1 / n_groups + 1 / (n_all - n_groups)))


def _wider(n_all: int, rate: float) -> float:
    """How much farther out the tail is of a law whose spread is known from `n_all` groups alone: Student's quantile over the normal one.

    By the first term of the expansion of Fisher (1925), at each statistic's part of the rate. Without this, 7 % of windows of varieties
    never seen alarmed where 5 % was asked for.
    """
    quantile = NormalDist().inv_cdf(1 - rate / (2 * len(STATISTICS)))
    return 1 + (quantile**2 + 1) / (4 * (n_all - 1))


def _thresholds(usual: Floats, *, rate: float) -> Floats:
    """The least value of each statistic that alarms, (n_statistics,), of usual windows (n_windows, n_statistics).

    Alarms of any are at most `rate` of these windows. What no usual window reaches is a value above all of them.
    """
    ordered = np.sort(usual, axis=0)
    n = len(usual)
    chances = np.column_stack([n - np.searchsorted(column, own, side="left") for column, own in zip(ordered.T, usual.T, strict=True)]) / n
    smallest = np.sort(chances.min(axis=1))
    tails = np.unique(smallest)
    allowed = tails[np.searchsorted(smallest, tails, side="right") <= rate * n]
    tail = allowed[-1] if len(allowed) else 0.0
    reached = [column[own <= tail] for column, own in zip(usual.T, chances.T, strict=True)]
    least = [own.min() if len(own) else np.nextafter(column[-1], np.inf) for own, column in zip(reached, ordered.T, strict=True)]
    return np.asarray(np.maximum(least, _LEAST))
