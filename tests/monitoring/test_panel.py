"""The panel's rate on streams of known law: usual windows of new groups alarm as often as is asked, and changes are seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, nbinom

from pomona.monitoring.panel import STATISTICS, Panel, against, calibrated
from pomona.monitoring.profile import Profile
from tests.drawn_observations import CLASSES, profile, seen

IMAGES, GROUPS = 100, 10


def alarms(drawn: Profile, panel: Panel, *, n_windows: int, n_groups: int = GROUPS, between: float = 1.0) -> int:
    """How many windows of groups that the profile has nothing of alarm, rejects left out."""
    found = 0
    for number in range(n_windows):
        labels = np.random.default_rng(5000 + number).integers(0, 3, n_groups).tolist()
        window = seen(labels, n_each=IMAGES // n_groups, seed=1000 + number, between=between)
        values = against(drawn, window).values[0]
        found += any(value >= panel.thresholds[name] for name, value in zip(STATISTICS, values, strict=False))
    return found


def test_usual_windows_of_new_groups_alarm_at_the_rate_that_was_asked_for() -> None:
    rates = []
    for seed in range(4):
        drawn = profile(seed=seed)
        panel = calibrated(drawn, n_images=IMAGES, n_groups=GROUPS, rate=0.05, permutations=400, seed=seed)
        rates.append(alarms(drawn, panel, n_windows=50))
    # Of 200 windows: more than 18 have a chance under 1 % where each alarms with 5 %; none at all would be a panel that never does.
    assert binom.sf(18, 200, 0.05) < 0.01
    assert 1 <= sum(rates) <= 18


def test_a_rate_of_a_fifth_alarms_more_often() -> None:
    drawn = profile(seed=1)
    panel = calibrated(drawn, n_images=IMAGES, n_groups=GROUPS, rate=0.2, permutations=400)
    strict = calibrated(drawn, n_images=IMAGES, n_groups=GROUPS, rate=0.05, permutations=400)
    found = alarms(drawn, panel, n_windows=100)
    assert binom.cdf(5, 100, 0.2) < 0.01 and binom.sf(35, 100, 0.2) < 0.01
    assert 5 < found <= 35
    assert all(panel.thresholds[name] <= strict.thresholds[name] for name in STATISTICS)


def test_frames_taken_for_independent_alarm_nearly_always() -> None:
    grouped = profile(seed=2)
    blind = Profile(grouped.observations, grouped.labels, np.arange(len(grouped.labels)).astype(str), CLASSES)
    panel = calibrated(blind, n_images=IMAGES, n_groups=IMAGES, permutations=400)
    assert alarms(grouped, panel, n_windows=30) >= 20


def test_the_rejects_threshold_is_the_declared_rates_own_quantile() -> None:
    drawn = profile(n_groups=20, n_each=5)
    panel = calibrated(drawn, n_images=100, n_groups=5, reject_rate=0.02, permutations=2000)
    # Two are usual before the hundredth readable image. One statistic of nine may alarm in about 5 % / 9 of the windows.
    chance = nbinom.sf(panel.thresholds["rejects"] - 1, 100, 0.98)
    assert 0.001 < chance < 0.05
    assert calibrated(drawn, n_images=100, n_groups=5, reject_rate=0.1, permutations=2000).thresholds["rejects"] > 16


def test_the_same_profile_and_seed_give_the_same_panel() -> None:
    drawn = profile(n_groups=12, n_each=5)
    first, again, other = (calibrated(drawn, n_images=20, n_groups=4, permutations=300, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_a_statistic_that_never_varies_alarms_at_the_least_change_and_not_by_itself() -> None:
    drawn = profile(n_groups=12, n_each=5)
    plain = drawn.observations._replace(brightness=np.full(60, 0.5))
    flat = Profile(plain, drawn.labels, drawn.groups, CLASSES)
    threshold = calibrated(flat, n_images=20, n_groups=4, permutations=100).thresholds["brightness"]
    place = STATISTICS.index("brightness")
    assert against(flat, plain.rows(slice(0, 20))).values[0, place] < threshold
    moved = plain.rows(slice(0, 20))._replace(brightness=np.full(20, 0.51))
    assert against(flat, moved).values[0, place] > threshold


def test_another_mix_of_labels_moves_the_mix_and_nothing_else() -> None:
    drawn = profile(seed=3)
    panel = calibrated(drawn, n_images=IMAGES, n_groups=GROUPS, permutations=400)
    # Words differ by label: cherries only would be other words, were the profile not weighted to the window's mix.
    compared = against(drawn, seen([1] * 10, n_each=10, seed=77))
    ratios = {name: value / panel.thresholds[name] for name, value in zip(STATISTICS, compared.values[0], strict=False)}
    assert {name for name, ratio in ratios.items() if ratio >= 1} == {"mix"}
    assert compared.labels[0] == pytest.approx([0, 1, 0], abs=0.05)
    assert compared.mix[0, 1] == pytest.approx(0.93, abs=0.06)


def test_with_a_mix_that_is_declared_smaller_changes_of_it_are_noticed() -> None:
    drawn = profile(seed=4)
    shares = np.full(3, 1 / 3)
    free, declared = (calibrated(drawn, n_images=IMAGES, n_groups=GROUPS, permutations=400, mix=mix) for mix in (None, shares))
    assert declared.thresholds["mix"] < 0.5 * free.thresholds["mix"]
    # Six cherries in ten groups, where three or four are usual.
    mix = against(drawn, seen([1] * 6 + [0] * 2 + [2] * 2, n_each=10, seed=78)).values[0, STATISTICS.index("mix")]
    assert declared.thresholds["mix"] < mix < free.thresholds["mix"]


def test_a_label_of_one_group_takes_part_and_is_drawn_into_no_window_of_a_declared_mix() -> None:
    drawn = profile(n_groups=13, n_each=5)
    labels = np.where(drawn.labels == "tomato", "apple", drawn.labels)
    labels[:5] = "tomato"
    odd = Profile(drawn.observations, labels, drawn.groups, CLASSES)
    panel = calibrated(odd, n_images=20, n_groups=4, permutations=100, mix=np.array([0.0, 0.0, 1.0]))
    assert all(np.isfinite(value) for value in panel.thresholds.values())


def test_more_groups_than_half_of_the_profiles_are_refused_with_the_bound() -> None:
    with pytest.raises(ValueError, match="n_groups=7 but the profile has 12 groups: 1 to 6"):
        calibrated(profile(n_groups=12, n_each=5), n_images=20, n_groups=7)
