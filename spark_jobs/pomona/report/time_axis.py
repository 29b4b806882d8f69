"""A scale of time for charts: where a moment stands, and which days, months or hours are written below it. All in UTC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pomona.report.charts import Tick

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LONGEST = timedelta(days=366)
_SHORTEST = timedelta(minutes=10)
_TICK_PX = 64.0
_MINUTES = (1, 5, 15, 60, 180, 360, 720, 1440, 2 * 1440, 7 * 1440, 14 * 1440)
_IN_MONTHS = (1, 2, 3, 6, 12)
_DAY_MINUTES = 1440
_Point = TypeVar("_Point")


@dataclass(frozen=True)
class Axis:
    """From `start` at `left` to `end` at `right`."""

    start: datetime
    end: datetime
    left: float
    right: float

    def at(self, moment: datetime) -> float:
        """Where the moment stands; what was before the start, or will be after the end, stands there."""
        share = (moment - self.start) / (self.end - self.start)
        return round(self.left + (self.right - self.left) * min(1.0, max(0.0, share)), 1)

    def ticks(self) -> list[Tick]:
        """Round times with their words, never nearer to each other than 64 units."""
        most = max(1, int((self.right - self.left) // _TICK_PX))
        span = self.end - self.start
        for minutes in _MINUTES:
            if span / timedelta(minutes=minutes) <= most:
                return [Tick(self.at(moment), _clock_words(moment, minutes)) for moment in self._every(timedelta(minutes=minutes))]
        months = next((step for step in _IN_MONTHS if span.days / 30 <= step * most), _IN_MONTHS[-1])
        return [Tick(self.at(moment), _month_words(moment)) for moment in self._months(months)]

    def _every(self, step: timedelta) -> Iterator[datetime]:
        # The first Monday, so that weeks begin on theirs.
        origin = datetime(1, 1, 1, tzinfo=UTC)
        moment = origin + -((origin - self.start) // step) * step
        while moment <= self.end:
            yield moment
            moment += step

    def _months(self, step: int) -> Iterator[datetime]:
        for month in range(self.start.year * 12, self.end.year * 12 + 12, step):
            moment = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
            if self.start <= moment <= self.end:
                yield moment


def spanning(moments: Sequence[datetime], *, now: datetime, left: float, right: float) -> Axis:
    """The scale from the first of the moments until now, of a year at most and ten minutes at least."""
    end = max(now, *moments) if moments else now
    start = max(min(moments, default=end), end - LONGEST)
    # So that the first mark does not stand on the border.
    start -= (end - start) / 60
    return Axis(min(start, end - _SHORTEST), end, left, right)


def thinned(
    points: Sequence[_Point], axis: Axis, at: Callable[[_Point], datetime], most: int, one: Callable[[list[_Point]], _Point]
) -> list[_Point]:
    """The points within the scale; where they are more than `most`, those of each of so many equal spans as `one` makes of them."""
    shown = [point for point in points if axis.start <= at(point) <= axis.end]
    if len(shown) <= most:
        return shown
    spans: dict[int, list[_Point]] = {}
    width = (axis.end - axis.start) / most
    for point in shown:
        spans.setdefault(min(most - 1, (at(point) - axis.start) // width), []).append(point)
    return [one(spans[number]) for number in sorted(spans)]


def _clock_words(moment: datetime, minutes: int) -> str:
    if minutes < _DAY_MINUTES and (moment.hour or moment.minute):
        return f"{moment:%H:%M}"
    return f"{moment.day} {MONTHS[moment.month - 1]}"


def _month_words(moment: datetime) -> str:
    return str(moment.year) if moment.month == 1 else MONTHS[moment.month - 1]
