"""What the records of the watch add up to: episodes of drift, one row a day, and the champions' reigns. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from typing import NamedTuple

from pomona.monitoring.timeline import Batch, Timeline, Window
from pomona.reigns import Change


class Symptom(NamedTuple):
    """What was said most strongly of one statistic, and in how many windows it alarmed."""

    statistic: str
    n_windows: int
    line: str


@dataclass
class Episode:
    """Drift from its first window to its last; `until` is None while it goes on, `superseded` tells that a new champion ended it."""

    windows: list[Window] = field(default_factory=list)
    until: datetime | None = None
    superseded: bool = False

    @property
    def champion(self) -> int:
        return self.windows[0].champion

    @property
    def since(self) -> datetime:
        return self.windows[0].at

    @property
    def n_alarms(self) -> int:
        return sum(window.alarms for window in self.windows)

    @property
    def score(self) -> float:
        return max(window.score for window in self.windows)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What kinds of drift its alarms were, the commonest first."""
        found = [window.kind for window in self.windows if window.kind != "none"]
        return tuple(sorted(set(found), key=lambda kind: (-found.count(kind), kind)))

    @property
    def symptoms(self) -> list[Symptom]:
        """One for each statistic that alarmed, those of the most windows first."""
        return symptoms(self.windows)


class Day(NamedTuple):
    """The batches of a day in UTC; `score` is the largest of its windows, None without one."""

    day: date
    n_batches: int
    n_pictures: int
    n_unknown: int | None
    n_rejects: int
    n_windows: int
    n_alarms: int
    score: float | None
    symptoms: list[Symptom]


class Reign(NamedTuple):
    """A version's time as champion (None: there was none), with the change that began it; `until` is None for the last."""

    version: int | None
    since: datetime
    until: datetime | None
    change: Change


def episodes(timeline: Timeline) -> list[Episode]:
    """Every episode of drift, the oldest first.

    A champion begins with a new watch, so drift ends with the champion under which it began.
    """
    found: list[Episode] = []
    for batch in timeline.batches:
        going = _going(found)
        if going and batch.champion != going.champion:
            going.until, going.superseded = batch.windows[0].at if batch.windows else batch.at, True
        for window in batch.windows:
            going = _going(found)
            if going and window.phase == "drift" and not window.began:
                going.windows.append(window)
                continue
            if going:
                going.until = window.at
            if window.phase == "drift":
                found.append(Episode([window]))
    last = _going(found)
    if last and last.champion != timeline.champion:
        # The new champion has not been asked yet; one that was replaced before it was asked ended nothing.
        later = [change.latest for change in timeline.changes if change.latest > last.windows[-1].at and change.version != last.champion]
        if later:
            last.until, last.superseded = later[0], True
    return found


def _going(found: Sequence[Episode]) -> Episode | None:
    """The last of the episodes, while nothing has ended it."""
    return found[-1] if found and found[-1].until is None else None


def symptoms(windows: Iterable[Window]) -> list[Symptom]:
    """What the windows' alarms were about, by statistic; the line is that of the window in which it alarmed most."""
    told: dict[str, list[tuple[float, str]]] = {}
    for window in windows:
        # The verdict names what alarms in this order (`drift.judged`).
        names = sorted((name for name, score in window.scores.items() if score >= 1), key=lambda name: -window.scores[name])
        for name, line in zip(names, window.symptoms, strict=False):
            told.setdefault(name, []).append((window.scores[name], line))
    ordered = sorted(told, key=lambda name: (-len(told[name]), -max(told[name])[0], name))
    return [Symptom(name, len(told[name]), max(told[name])[1]) for name in ordered]


def days(batches: Sequence[Batch]) -> list[Day]:
    """The days on which new pictures were looked at, the newest first."""
    ordered = sorted(batches, key=lambda batch: batch.at)
    return [_day(day, list(inside)) for day, inside in groupby(ordered, key=lambda batch: batch.at.date())][::-1]


def _day(day: date, batches: Sequence[Batch]) -> Day:
    windows = [window for batch in batches for window in batch.windows]
    told = [batch.n_unknown for batch in batches if batch.n_unknown is not None]
    return Day(
        day=day,
        n_batches=len(batches),
        n_pictures=sum(batch.n_new for batch in batches),
        n_unknown=sum(told) if told else None,
        n_rejects=sum(batch.n_rejects for batch in batches),
        n_windows=len(windows),
        n_alarms=sum(window.alarms for window in windows),
        score=max((window.score for window in windows), default=None),
        symptoms=symptoms(windows),
    )


def reigns(changes: Sequence[Change]) -> list[Reign]:
    """Who was champion when, the oldest first."""
    ends = [*(change.latest for change in changes[1:]), None]
    return [Reign(change.version, change.latest, until, change) for change, until in zip(changes, ends, strict=False)]
