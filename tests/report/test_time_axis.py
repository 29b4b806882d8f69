"""Scales of time: round times for spans from an hour to years, worked out by hand, and places between two ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from pomona.report.time_axis import Axis, spanning, thinned


def axis(first: str, last: str, *, width: float = 640.0) -> Axis:
    """From 0 to the width; 64 units a tick."""
    return Axis(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last)), left=0.0, right=width)


def test_moments_stand_in_proportion_and_what_lies_outside_stands_at_the_end() -> None:
    scale = axis("2026-03-01", "2026-03-11", width=100)
    moments = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 6, 11, 31)] + [datetime(2025, 1, 1, tzinfo=UTC)]
    assert [scale.at(moment) for moment in moments] == [0, 10, 50, 100, 100, 0]


@pytest.mark.parametrize(
    ("first", "last", "width", "words"),
    [
        ("2026-03-01T10:05", "2026-03-01T10:15", 256, ["10:05", "10:10", "10:15"]),
        ("2026-03-01T10:05", "2026-03-01T11:05", 640, ["10:15", "10:30", "10:45", "11:00"]),
        ("2026-03-01T20:00", "2026-03-02T08:00", 320, ["21:00", "2 Mar", "03:00", "06:00"]),
        ("2026-03-01T10:00", "2026-03-05T10:00", 320, ["2 Mar", "3 Mar", "4 Mar", "5 Mar"]),
        # 2 March 2026 is a Monday.
        ("2026-02-26", "2026-03-25", 320, ["2 Mar", "9 Mar", "16 Mar", "23 Mar"]),
        ("2026-10-15", "2027-02-20", 320, ["Nov", "Dec", "2027", "Feb"]),
        ("2026-01-20", "2027-01-20", 320, ["Apr", "Jul", "Oct", "2027"]),
        ("2020-06-01", "2026-06-01", 640, ["2021", "2022", "2023", "2024", "2025", "2026"]),
    ],
)
def test_ticks_are_round_times_as_many_as_have_room(first: str, last: str, width: float, words: list[str]) -> None:
    ticks = axis(first, last, width=width).ticks()
    assert [tick.text for tick in ticks] == words
    assert all(later.at - earlier.at >= 50 for earlier, later in pairwise(ticks))


def test_the_scale_ends_now_is_ten_minutes_long_at_least_and_a_year_at_most() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    alone = spanning([now - timedelta(minutes=1)], now=now, left=0, right=100)
    assert (alone.start, alone.end) == (now - timedelta(minutes=10), now)
    long = spanning([now - timedelta(days=5_000), now - timedelta(days=1)], now=now, left=0, right=100)
    assert timedelta(days=366) < now - long.start < timedelta(days=373)
    # A machine whose clock runs ahead is not cut off.
    assert spanning([now + timedelta(hours=3)], now=now, left=0, right=100).end == now + timedelta(hours=3)
    assert spanning([], now=now, left=0, right=100).end == now


def test_the_first_mark_stands_a_little_behind_the_border() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    scale = spanning([now - timedelta(days=60)], now=now, left=0, right=122)
    assert scale.at(now - timedelta(days=60)) == 2


def test_what_has_room_is_kept_whole_and_more_becomes_one_of_each_equal_span() -> None:
    scale = axis("2026-03-01", "2026-03-11", width=100)
    moments = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (1, 2)] + [datetime(2026, 3, day, tzinfo=UTC) for day in (5, 10, 11)]
    points = list(zip(moments, (3, 7, 1, 1, 2), strict=True))
    outside = (datetime(2026, 2, 1, tzinfo=UTC), 9)

    def largest(few: list[tuple[datetime, int]]) -> tuple[datetime, int]:
        return max(few, key=lambda point: point[1])

    assert thinned([outside, *points], scale, lambda point: point[0], 5, largest) == points
    assert [value for _, value in thinned(points, scale, lambda point: point[0], 2, largest)] == [7, 2]
