"""Windows of observed pictures: where they end, what waits, in which order; and the panel that each is held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pomona.command import Drift
from pomona.monitoring.windows import Gauge, cut, in_order, observations, too_few, within
from tests.drawn_observations import profile, seen
from tests.observed_rows import rejects, rows


def full(n_images: int, n_rejects: int) -> bool:
    """As a panel for windows of 10 images that takes 3 rejects for too many."""
    return n_images == 10 or n_rejects >= 3


def sizes(windows: list[list[dict[str, Any]]]) -> list[tuple[int, int]]:
    """Readable pictures and rejects of each."""
    return [(sum(row["reason"] is None for row in window), sum(row["reason"] is not None for row in window)) for window in windows]


def pictures(n: int) -> list[dict[str, Any]]:
    return rows(seen([0], n_each=n, seed=0))


@pytest.mark.parametrize(
    ("n", "expected", "n_waiting"),
    [(4, [], 4), (5, [5], 0), (9, [9], 0), (10, [10], 0), (14, [10], 4), (15, [10, 5], 0), (34, [10, 10, 10], 4)],
)
def test_a_rest_of_half_a_window_is_a_window_of_its_own_and_a_smaller_one_waits(n: int, expected: list[int], n_waiting: int) -> None:
    windows, rest = cut(pictures(n), size=10, closes=full)
    assert ([images for images, _ in sizes(windows)], len(rest)) == (expected, n_waiting)


def test_no_picture_is_in_two_windows_and_none_is_lost() -> None:
    given = in_order([*pictures(37), *rejects(2)], draw=1)
    windows, rest = cut(given, size=10, closes=full)
    assert [row["path"] for window in (*windows, rest) for row in window] == [row["path"] for row in given]


def test_rejects_alone_close_a_window_early_and_few_of_them_wait_with_the_rest() -> None:
    images, bad = pictures(14), rejects(5)
    windows, rest = cut([*images[:2], *bad[:3], *images[2:], *bad[3:]], size=10, closes=full)
    assert sizes(windows) == [(2, 3), (10, 0)]
    assert sizes([rest]) == [(2, 2)]
    assert cut(bad[:2], size=10, closes=full) == ([], bad[:2])


def test_behind_the_last_of_the_most_windows_nothing_waits() -> None:
    windows, rest = cut(pictures(34), size=10, closes=full, most=2)
    assert (sizes(windows), rest) == ([(10, 0), (10, 0)], [])


def test_the_order_is_drawn_by_contents_anew_each_time_whatever_the_files_are_called() -> None:
    given = pictures(30)
    found = in_order(given, draw=1)
    assert found == in_order(given[::-1], draw=1) != given
    renamed = in_order([{**row, "path": f"z{place}"} for place, row in enumerate(given)], draw=1)
    assert [row["content"] for row in renamed] == [row["content"] for row in found]
    # Who comes last in one draw does not come last in all of them.
    last = [{row["content"] for row in in_order(given, draw=draw)[-10:]} for draw in range(1, 7)]
    assert not set.intersection(*last)
    twice = [{**given[0], "path": name} for name in ("b.jpg", "a.jpg")]
    assert [row["path"] for row in in_order(twice, draw=1)] == ["a.jpg", "b.jpg"]


def test_within_so_many_readable_pictures_the_rejects_between_them_are_kept() -> None:
    images, bad = pictures(4), rejects(2)
    mixed = [images[0], bad[0], images[1], bad[1], images[2], images[3]]
    assert within(mixed, 2) == mixed[:4]
    assert within(mixed, 9) == mixed
    assert within(mixed, 0) == []
    assert within([], 3) == []


def test_rows_are_observations_again_but_for_the_last_digits_of_words() -> None:
    drawn = seen([0, 1, 2], n_each=3, seed=4)
    found = observations(rows(drawn))
    for name, column in drawn._asdict().items():
        if name == "words":
            assert found.words == pytest.approx(column, abs=1e-3)
        else:
            assert np.array_equal(getattr(found, name), column), name


def test_no_more_groups_count_than_half_of_the_profiles() -> None:
    gauge = Gauge(profile(n_groups=9, n_each=10), Drift(window=20, groups=10))
    assert gauge.n_groups == 4
    assert gauge.panel(20).n_groups == 4
    assert gauge.panel(20) is gauge.panel(20), "one panel for each size, and none twice"
    assert Gauge(profile(n_groups=9), Drift(groups=3)).n_groups == 3


def test_a_window_of_its_own_size_has_a_panel_for_that_size() -> None:
    gauge = Gauge(profile(n_groups=30, n_each=10), Drift(window=40, groups=4))
    found = gauge.verdict(rows(seen([0, 1, 2], n_each=8, seed=3)))
    assert (found.n_images, found.n_rejects) == (24, 0)
    assert set(found.scores) == set(gauge.panel(24).thresholds)


def test_a_window_of_rejects_is_judged_by_these_alone() -> None:
    gauge = Gauge(profile(n_groups=30, n_each=10), Drift(window=40, groups=4))
    n_rejects = next(n for n in range(1, 40) if gauge.closes(0, n))
    found = gauge.verdict(rejects(n_rejects))
    assert (found.kind, found.n_images, list(found.scores)) == ("rejects", 0, ["rejects"])
    assert found.symptoms == (f"{n_rejects} of {n_rejects} pictures cannot be read, declared are 1 %",)


def test_where_labels_are_expected_as_in_training_another_mix_weighs_more() -> None:
    known, apples = profile(n_groups=30, n_each=10), rows(seen([0, 0, 0, 1], n_each=10, seed=7))
    scores = [Gauge(known, Drift(window=40, groups=4, mix=mix)).verdict(apples).scores["mix"] for mix in ("any", "training")]
    assert scores[1] > scores[0]


def test_a_profile_of_few_groups_cannot_tell_and_says_from_how_many_on() -> None:
    assert too_few(profile(n_groups=4)) == ""
    assert too_few(profile(n_groups=3)) == "its training images come from 3 groups, and what is usual shows from 4 on"
