"""How far windows lie from training: the scale on which scores stand, as multiples of their thresholds, and one small chart a statistic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from pomona.monitoring.panel import STATISTICS
from pomona.monitoring.timeline import Window
from pomona.report.charts import Tick
from pomona.report.shapes import Stroke, Words, dots, scale, triangles
from pomona.report.time_axis import Axis, thinned

_LOWEST, _LEAST_HIGH, _MOST_HIGH = 0.25, 4.0, 32.0
_WIDTH, _GUTTER, _TOP, _BOTTOM = 340.0, 34.0, 6.0, 78.0
# What each statistic is about, for who reads the page.
_ABOUT = {
    "words": "which visual words occur",
    "mix": "in what shares labels are answered",
    "quantisation": "how near details are to the words",
    "reconstruction": "what the projection loses",
    "confidence": "how sure the answers are",
    "brightness": "how bright the pictures are",
    "blur": "how sharp the pictures are",
    "cast": "what colour the light has",
    "rejects": "how many pictures cannot be read",
}


class Statistic(NamedTuple):
    """One statistic's values over time as multiples of its threshold; `last` and `largest` are None where it was never measured."""

    name: str
    about: str
    n_windows: int
    n_alarms: int
    last: float | None
    largest: float | None
    width: float
    height: float
    floor: float
    ticks: Sequence[Tick]
    strokes: Sequence[Stroke]
    words: Sequence[Words]


class _Value(NamedTuple):
    at: datetime
    score: float


def height_of(score: float, *, top: float, bottom: float, high: float) -> float:
    """Where a multiple stands on a scale of powers of two from a quarter to `high`; what lies outside stands at its end."""
    share = math.log2(min(high, max(_LOWEST, score)) / _LOWEST) / math.log2(high / _LOWEST)
    return round(bottom - (bottom - top) * share, 1)


def highest(scores: Iterable[float]) -> float:
    """The end of such a scale: the power of two from the largest score on, 4 to 32."""
    largest = max(scores, default=1.0)
    return min(_MOST_HIGH, max(_LEAST_HIGH, 2.0 ** math.ceil(math.log2(max(largest, 1.0)))))


def marks(scores: Iterable[tuple[float, float]], axis: Axis, *, top: float, bottom: float, high: float, size: float = 4) -> list[Stroke]:
    """The line at 1, a dot for each score below it and a triangle for each other; scores are (place on the axis, multiple)."""
    there, threshold = list(scores), height_of(1, top=top, bottom=bottom, high=high)
    alarms, calm = (
        [(x, height_of(score, top=top, bottom=bottom, high=high)) for x, score in there if (score >= 1) == alarm] for alarm in (True, False)
    )
    line = Stroke("threshold", f"M{axis.left:g} {threshold:g}H{axis.right:g}")
    return [line, Stroke("calm", dots(calm)), Stroke("alarm", triangles(alarms, size))]


def ruled(axis: Axis, *, top: float, bottom: float, high: float, every: int = 1) -> tuple[Stroke, list[Words]]:
    """The lines and words of the scale: a quarter, 1, and each `every`th power of two up to `high`."""
    powers = [2.0**power for power in range(0, int(math.log2(high)) + 1, every)]
    ticks = [(_LOWEST, "¼ ×"), *((power, f"{power:g} ×") for power in powers)]
    return scale(axis, [(height_of(tick, top=top, bottom=bottom, high=high), text) for tick, text in ticks])


def statistics(windows: Sequence[Window], axis: Axis) -> list[Statistic]:
    """A chart for each statistic that the watch knows, in its own order, those that only another release knows last."""
    known = {name for window in windows for name in window.scores}
    own = narrowed(axis)
    return [_statistic(name, windows, own) for name in (*STATISTICS, *sorted(known - set(STATISTICS)))]


def narrowed(axis: Axis) -> Axis:
    """The same time on the scale of a statistic's chart."""
    return Axis(axis.start, axis.end, _GUTTER, _WIDTH - 6)


def _statistic(name: str, windows: Sequence[Window], axis: Axis) -> Statistic:
    values = [_Value(window.at, window.scores[name]) for window in windows if name in window.scores]
    shown = thinned(values, axis, attrgetter("at"), most(axis), lambda few: max(few, key=attrgetter("score")))
    high = highest(value.score for value in shown)
    grid, words = ruled(axis, top=_TOP, bottom=_BOTTOM, high=high, every=2)
    strokes = marks([(axis.at(value.at), value.score) for value in shown], axis, top=_TOP, bottom=_BOTTOM, high=high, size=3.5)
    return Statistic(
        name=name,
        about=_ABOUT.get(name, ""),
        n_windows=len(values),
        n_alarms=sum(value.score >= 1 for value in values),
        last=values[-1].score if values else None,
        largest=max((value.score for value in values), default=None),
        width=_WIDTH,
        height=_BOTTOM + 18,
        floor=_BOTTOM,
        ticks=axis.ticks(),
        strokes=[grid, *strokes],
        words=words,
    )


def left_out(windows: Sequence[Window], axis: Axis) -> str:
    """Which windows a chart on this scale draws, in a sentence; empty when it draws all."""
    n_windows = sum(window.at >= axis.start for window in windows)
    if n_windows <= most(axis):
        return ""
    return f"Of {n_windows:,} windows the largest score of each of {most(axis):,} equal spans of time is drawn."


def most(axis: Axis) -> int:
    """How many marks can be told from each other on a scale of time."""
    return int((axis.right - axis.left) / 3.4)
