"""The timeline of the monitoring page: bands below each other on one scale of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from pomona.checks import counted
from pomona.monitoring import chronicle
from pomona.monitoring.chronicle import Reign
from pomona.monitoring.timeline import Judged, Taken, Timeline
from pomona.reigns import version_words
from pomona.report.charts import Tick
from pomona.report.formats import bounds, count, day_words, percent
from pomona.report.multiples import highest, left_out, marks, most, ruled
from pomona.report.shapes import Band, Box, Stroke, Words, dots, fits, hatching, scale, shortest, steps
from pomona.report.time_axis import Axis, spanning, thinned

_MOST_REIGNS = 150
_TITLE, _GAP = 20.0, 14.0
_MARKS = {"promotion": "m0-5l5 9h-10z", "rollback": "m-5 0l9-5v10z", "by hand": "m0-5l5 5l-5 5l-5-5z"}


class Chart(NamedTuple):
    """Bands over one scale of time; `lines` run through all of them, `words` says the same to who cannot see it."""

    width: float
    height: float
    floor: float
    ticks: Sequence[Tick]
    lines: Sequence[Stroke]
    bands: Sequence[Band]
    words: str
    notes: Sequence[str]
    axis: Axis


class _Share(NamedTuple):
    at: datetime
    part: int
    of: int


def timeline_chart(timeline: Timeline, *, width: float, gutter: float) -> Chart | None:
    """The chart, so many units wide, with room for the scales' words in the gutter; None where nothing has happened yet."""
    moments = _moments(timeline)
    if not moments:
        return None
    axis = spanning(moments, now=timeline.now, left=gutter, right=width - 8)
    bands: list[Band] = []
    y = 0.0
    for draw in (_champions, _images, _scores, _drift, _unknown, _rejects):
        bands.append(draw(timeline, axis, y))
        y = bands[-1].bottom + _GAP
    floor, ticks = y - _GAP + 6, axis.ticks()
    changed = [axis.at(reign.since) for reign in chronicle.reigns(timeline.changes) if reign.since >= axis.start][-_MOST_REIGNS:]
    lines = [
        Stroke("grid", "".join(f"M{tick.at:g} {bands[0].top:g}V{floor:g}" for tick in ticks)),
        Stroke("change", "".join(f"M{x:g} {bands[0].bottom:g}V{floor:g}" for x in changed)),
    ]
    return Chart(width, floor + 18, floor, ticks, lines, bands, in_words(timeline), _left_out(timeline, moments, axis), axis)


def _moments(timeline: Timeline) -> list[datetime]:
    """When something happened, in no order."""
    runs = [taken.at for taken in timeline.taken] + [run.at for run in timeline.judged]
    watched = [batch.at for batch in timeline.batches] + [window.at for window in timeline.windows]
    return [change.latest for change in timeline.changes] + runs + watched


def _left_out(timeline: Timeline, moments: Sequence[datetime], axis: Axis) -> list[str]:
    """What the chart does not draw, in sentences."""
    notes = []
    if n_before := sum(moment < axis.start for moment in moments):
        notes.append(f"{counted(n_before, 'event')} before {day_words(axis.start)} left out.")
    if thinning := left_out(timeline.windows, axis):
        notes.append(thinning)
    if sum(batch.at >= axis.start for batch in timeline.batches) > most(axis):
        notes.append("Batches of such a span are one bar.")
    return notes


def in_words(timeline: Timeline) -> str:
    """What the chart shows, in sentences."""
    reigns, windows, episodes = chronicle.reigns(timeline.changes), timeline.windows, chronicle.episodes(timeline)
    served = ", ".join(f"{version_words(reign.version)} from {day_words(reign.since)}" for reign in reigns[-12:]) or "none yet"
    told = [f"Champions: {served}"]
    if timeline.taken:
        last = timeline.taken[-1]
        told.append(f"images: {count(last.n_images)} of {counted(last.n_labels, 'label')} at the end")
    if known := [run for run in timeline.judged if run.accuracy is not None]:
        told.append(f"test accuracy of {counted(len(known), 'run')}: {percent(known[-1].accuracy)} at the end")
    if windows:
        alarms = sum(window.alarms for window in windows)
        told.append(f"drift: {count(alarms)} of {counted(len(windows), 'window')} alarmed, in {counted(len(episodes), 'episode')}")
    return "; ".join(told) + ". The tables of this page have the figures."


def _champions(timeline: Timeline, axis: Axis, y: float) -> Band:
    top = y + _TITLE + 11
    reigns = [each for each in chronicle.reigns(timeline.changes) if (each.until or axis.end) > axis.start][-_MOST_REIGNS:]
    boxes, strokes, words = [], [], []
    for number, reign in enumerate(reigns):
        left, right = axis.at(reign.since), axis.at(reign.until or axis.end)
        kind = "nobody" if reign.version is None else f"reign{number % 2}" if reign.until else "reigning"
        box = Box(kind, left, top, round(max(1.0, right - left), 1), 24, _told(reign))
        boxes.append(box)
        if text := shortest([version_words(reign.version), "–" if reign.version is None else str(reign.version)], box.width):
            words.append(Words(f"of-{kind}", round(left + box.width / 2, 1), top + 16, text, "middle"))
        if reign.since >= axis.start:
            strokes.append(Stroke(reign.change.kind.replace(" ", "-"), f"M{left:g} {top - 7:g}{_MARKS[reign.change.kind]}", _told(reign)))
    bottom = top + 24
    for hold, until in timeline.holds:
        if until is None or until > axis.start:
            left, right = axis.at(hold.at), axis.at(until or axis.end)
            boxes.append(Box("hold", left, bottom + 3, round(max(2.0, right - left), 1), 8, f"promotion held at version {hold.version}"))
            strokes.append(Stroke("hatch", hatching(boxes[-1])))
    if not reigns:
        words.append(Words("soft", axis.left, top + 16, "none yet"))
    return Band("Champion", y, y + _TITLE, bottom + (11 if timeline.holds else 0), boxes, strokes, words)


def _told(reign: Reign) -> str:
    until = f" until {day_words(reign.until)}" if reign.until else ""
    return f"{version_words(reign.version)}, from {day_words(reign.since)}{until}: {reign.change.cause}"


def _images(timeline: Timeline, axis: Axis, y: float) -> Band:
    top, bottom = y + _TITLE + 18, y + _TITLE + 66
    before = [taken for taken in timeline.taken if taken.at < axis.start][-1:]
    taken = [*before, *thinned(timeline.taken, axis, attrgetter("at"), most(axis), lambda few: few[-1])]
    if not taken:
        return _without("Images and labels", axis, y, "none yet")
    high = nice(max(each.n_images for each in taken))
    values = [(axis.at(each.at), round(bottom - (bottom - top) * each.n_images / high, 1)) for each in taken]
    grid, ticks = scale(axis, [(bottom, "0"), (top, brief(high))])
    boxes, words = _labels(taken, axis, top - 17)
    area = Stroke("area", steps(values, axis.right, bottom))
    return Band("Images and labels", y, y + _TITLE, bottom, boxes, [grid, area], [*ticks, *words])


def _labels(taken: Sequence[Taken], axis: Axis, y: float) -> tuple[list[Box], list[Words]]:
    """A row of boxes, one for each time with the same number of labels."""
    changes = [each for number, each in enumerate(taken) if number == 0 or each.n_labels != taken[number - 1].n_labels]
    boxes, words = [], []
    for each, after in zip(changes, [*changes[1:], None], strict=True):
        left, right = axis.at(each.at), axis.at(after.at) if after else axis.right
        boxes.append(Box("label-count", left, y, round(max(1.0, right - left - 1), 1), 13))
        if text := shortest([f"{count(each.n_labels)} labels", count(each.n_labels)], boxes[-1].width):
            words.append(Words("of-labels", round(left + 5, 1), y + 10, text))
    return boxes, words


def _scores(timeline: Timeline, axis: Axis, y: float) -> Band:
    top, bottom = y + _TITLE + 8, y + _TITLE + 84
    champions = {change.version for change in timeline.changes if change.version is not None}
    known = [run for run in timeline.judged if run.accuracy is not None]
    shown = thinned(known, axis, attrgetter("at"), most(axis), lambda few: few[-1])
    if not shown:
        return _without("Test accuracy", axis, y, "no score yet")
    lowest = min(value for run in shown for value in (run.accuracy, run.low) if value is not None)
    first = min(8, math.floor(10 * lowest + 1e-9)) / 10

    def at(accuracy: float) -> float:
        return round(bottom - (bottom - top) * (accuracy - first) / (1 - first), 1)

    grid, words = scale(axis, [(at(value), f"{100 * value:g} %") for value in (first, (first + 1) / 2, 1.0)])
    strokes, free = [grid], axis.left
    for run in shown:
        assert run.accuracy is not None
        x, promoted = axis.at(run.at), run.version in champions
        if run.low is not None and run.high is not None:
            strokes.append(Stroke("interval", f"M{x:g} {at(run.low):g}V{at(run.high):g}"))
        middle = at(run.accuracy)
        mark = f"M{x:g} {middle:g}h0" if promoted else f"M{x - 3.5:g} {middle - 3.5:g}l7 7m0-7l-7 7"
        strokes.append(Stroke("promoted" if promoted else "kept", mark, _judged_words(run, promoted)))
        if promoted and x >= free and fits(str(run.version), axis.right - x + 8):
            words.append(Words("of-score", round(x + 7, 1), middle + 4, str(run.version)))
            free = x + 24
    return Band("Test accuracy", y, y + _TITLE, bottom, (), strokes, words)


def _judged_words(run: Judged, promoted: bool) -> str:
    what = f"{version_words(run.version)}, {'promoted' if promoted else 'kept back'}, {day_words(run.at)}"
    return f"{what}: {percent(run.accuracy)}, 95 %: {bounds((run.low, run.high))}"


def _drift(timeline: Timeline, axis: Axis, y: float) -> Band:
    top, bottom = y + _TITLE + 6, y + _TITLE + 110
    windows = thinned(timeline.windows, axis, attrgetter("at"), most(axis), lambda few: max(few, key=lambda window: window.score))
    if not windows:
        return _without("Drift", axis, y, "no window judged yet")
    high = highest(window.score for window in windows)
    boxes, strokes, words = [], [], []
    for number, episode in enumerate(chronicle.episodes(timeline), 1):
        if episode.until is None or episode.until > axis.start:
            left, right = axis.at(episode.since), axis.at(episode.until or axis.end)
            boxes.append(Box("episode", left, top, round(max(3.0, right - left), 1), bottom - top, f"episode {number}"))
            strokes.append(Stroke("hatch-drift", hatching(boxes[-1], 9)))
            if text := shortest([f"drift {number}", str(number)], boxes[-1].width):
                words.append(Words("of-episode", left + 5, bottom - 5, text))
    grid, ticks = ruled(axis, top=top, bottom=bottom, high=high)
    strokes += [grid, *marks([(axis.at(window.at), window.score) for window in windows], axis, top=top, bottom=bottom, high=high)]
    return Band("Drift", y, y + _TITLE, bottom, boxes, strokes, [*ticks, *words])


def _unknown(timeline: Timeline, axis: Axis, y: float) -> Band:
    shares = [_Share(batch.at, batch.n_unknown, batch.n_new - batch.n_rejects) for batch in timeline.batches if batch.n_unknown is not None]
    return _shares("Unknown pictures", shares, axis, y, least=0.1)


def _rejects(timeline: Timeline, axis: Axis, y: float) -> Band:
    shares = [_Share(batch.at, batch.n_rejects, batch.n_new) for batch in timeline.batches]
    return _shares("Pictures that cannot be read", shares, axis, y, least=0.02)


def _shares(name: str, shares: Sequence[_Share], axis: Axis, y: float, *, least: float) -> Band:
    """A bar for each batch; of none there is a dot."""
    top, bottom = y + _TITLE + 4, y + _TITLE + 40

    def together(few: Sequence[_Share]) -> _Share:
        return _Share(few[-1].at, sum(share.part for share in few), sum(share.of for share in few))

    shown = thinned([share for share in shares if share.of > 0], axis, attrgetter("at"), most(axis), together)
    if not shown:
        return _without(name, axis, y, "nothing known yet")
    largest = max(share.part / share.of for share in shown)
    high = next((bound for bound in (0.02, 0.05, 0.1, 0.2, 0.5) if bound >= max(least, largest)), 1.0)
    grid, words = scale(axis, [(bottom, "0"), (top, f"{100 * high:g} %")])
    heights = [(axis.at(share.at), round((bottom - top) * min(1.0, share.part / share.of / high), 1)) for share in shown]
    bars = "".join(f"M{x:g} {bottom:g}v{-height:g}" for x, height in heights if height)
    none = dots((x, bottom) for x, height in heights if not height)
    return Band(name, y, y + _TITLE, bottom, (), [grid, Stroke("share", bars), Stroke("no-share", none)], words)


def _without(name: str, axis: Axis, y: float, text: str) -> Band:
    """A band with words in place of what is not there."""
    return Band(name, y, y + _TITLE, y + _TITLE + 18, words=[Words("soft", axis.left, y + _TITLE + 12, text)])


def nice(number: int) -> int:
    """The round number at the end of a scale that reaches so far."""
    power = 10 ** (len(str(max(1, number))) - 1)
    return next(int(factor * power) for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if factor * power >= number)


def brief(number: int) -> str:
    return f"{number / 1000:g}k" if number >= 10_000 else count(number)
