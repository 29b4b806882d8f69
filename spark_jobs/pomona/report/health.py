"""The monitoring page: one HTML file that says how a model is doing and how it came to that, and asks nothing of the network."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pomona import __version__
from pomona.lake import Lake
from pomona.monitoring import chronicle
from pomona.monitoring.conclusion import Conclusion, concluded, means
from pomona.monitoring.episodes import Rule
from pomona.monitoring.timeline import Judged, Timeline, gathered
from pomona.report import templates
from pomona.report.bands import timeline_chart
from pomona.report.formats import bounds, count, day_words, percent
from pomona.report.multiples import left_out, narrowed, statistics

PATH = "health/health.html"
LOG = logging.getLogger("pomona")
_BROAD, _NARROW = (1072.0, 48.0), (328.0, 38.0)
_OPEN_DAYS, _DAYS, _EPISODES, _ROWS = 14, 60, 20, 100
_LATELY = timedelta(days=30)


class Tile(NamedTuple):
    """A figure with the two lines below it."""

    figure: str
    what: str
    more: str


class Written(NamedTuple):
    """Where the page lies, and what it says first."""

    location: str
    conclusion: Conclusion


def written(lake: Lake) -> Written:
    """The page written anew from what the lake tells now."""
    timeline = gathered(lake, now=datetime.now(UTC))
    lake.put(PATH, render(timeline).encode())
    return Written(lake.location(PATH), concluded(timeline))


def write(lake: Lake) -> None:
    """Writes the page for a job that has done its work: a fault costs the page and is logged, the job goes on."""
    try:
        written(lake)
    except Exception:
        # What was asked and judged is in the lake by now.
        LOG.exception("the page %s could not be written; `make health` writes it anew", PATH)


def render(timeline: Timeline) -> str:
    """The page as HTML text, to be written as UTF-8.

    Whatever comes from labels, runs and people is escaped by the template engine; the page's own policy forbids scripts and any address.
    """
    broad, narrow = (timeline_chart(timeline, width=width, gutter=gutter) for width, gutter in (_BROAD, _NARROW))
    days, episodes = chronicle.days(timeline.batches), chronicle.episodes(timeline)[::-1]
    champions = {change.version for change in timeline.changes}
    template = templates.environment().get_template("health.html")
    return template.render(
        timeline=timeline,
        conclusion=concluded(timeline),
        tiles=tiles(timeline),
        charts=[("broad", broad), ("narrow", narrow)] if broad and narrow else [],
        since=broad.axis.start if broad else timeline.now,
        statistics=statistics(timeline.windows, broad.axis) if broad and timeline.windows else [],
        statistics_note=left_out(timeline.windows, narrowed(broad.axis)) if broad else "",
        episodes=[(len(episodes) - number, episode) for number, episode in enumerate(episodes[:_EPISODES])],
        n_episodes=len(episodes),
        days=(days[:_OPEN_DAYS], days[_OPEN_DAYS:_DAYS]),
        n_days=len(days),
        reigns=chronicle.reigns(timeline.changes)[::-1],
        judged=[(run, run.version is not None and run.version in champions) for run in reversed(timeline.judged)],
        taken=taken_rows(timeline),
        most_rows=_ROWS,
        means=means,
        rule=Rule(),
        project_version=__version__,
    )


def tiles(timeline: Timeline) -> list[Tile]:
    """The figures at the top: champion, its score, images, windows of the last 30 days, unknown pictures."""
    version, last = timeline.champion, timeline.taken[-1] if timeline.taken else None
    since = f"since {day_words(timeline.changes[-1].latest)}" if timeline.changes else ""
    lately = [window for window in timeline.windows if window.at > timeline.now - _LATELY]
    alarms = sum(window.alarms for window in lately)
    return [
        Tile("–" if version is None else str(version), "version that is champion", since),
        _score(own_score(timeline)),
        Tile(count(last.n_images if last else None), "images of the last run", f"{count(last.n_labels)} labels" if last else ""),
        Tile(f"{count(alarms)} of {count(len(lately))}" if lately else "–", "windows alarmed", "in the last 30 days"),
        _unknown(timeline),
    ]


def own_score(timeline: Timeline) -> Judged | None:
    """The champion's own run, as far as its folder is still there."""
    return next((run for run in reversed(timeline.judged) if run.version is not None and run.version == timeline.champion), None)


def _score(run: Judged | None) -> Tile:
    if run is None or run.accuracy is None:
        return Tile("–", "test accuracy of the champion", "not known")
    return Tile(percent(run.accuracy), "test accuracy of the champion", f"95 %: {bounds((run.low, run.high))}")


def _unknown(timeline: Timeline) -> Tile:
    asked = timeline.asked
    if asked is None:
        return Tile("–", "pictures without a label", "none was asked about")
    answered = asked.n_pictures - asked.n_unanswered
    more = f"of {count(answered)} pictures without a label; {count(asked.n_unanswered)} more cannot be read"
    if asked.n_unknown is None or not answered:
        return Tile("–", "unknown", more)
    return Tile(percent(asked.n_unknown / answered), "unknown", more)


def taken_rows(timeline: Timeline) -> Sequence[tuple[datetime, int, int]]:
    """(time, images, labels) of the runs that found other numbers than the one before, the newest first."""
    found: list[tuple[datetime, int, int]] = []
    for taken in timeline.taken:
        if not found or found[-1][1:] != (taken.n_images, taken.n_labels):
            found.append((taken.at, taken.n_images, taken.n_labels))
    return found[::-1]
