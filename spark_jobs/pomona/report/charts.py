"""Where the marks of the report's charts stand, in the units of their SVG; the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pomona.report.contents import Score
from pomona.report.evidence import Bin
from pomona.report.formats import bounds, count, percent

_WIDTH, _ROW, _LEFT, _RIGHT = 340.0, 40.0, 8.0, 332.0
_SIDE, _MARGIN = 260.0, 34.0


class Tick(NamedTuple):
    """A line of the scale and what it says."""

    at: float
    text: str


class Mark(NamedTuple):
    """A score: its dot, the ends of its interval (None where there is none) and what stands beside it."""

    title: str
    value: str
    y: float
    at: float
    low: float | None
    high: float | None


class ScoreChart(NamedTuple):
    """Scores below each other on one scale; `words` says the same to who cannot see it."""

    width: float
    height: float
    scale_y: float
    marks: Sequence[Mark]
    ticks: Sequence[Tick]
    words: str


class Point(NamedTuple):
    """One bin of the reliability curve: its dot, and its bar below, which counts its images."""

    x: float
    y: float
    radius: float
    bar_x: float
    bar_width: float
    bar_height: float
    n_images: str


class ReliabilityChart(NamedTuple):
    """Accuracy over probability: (0, 0) is the lower left corner of the square that starts at (left, top)."""

    left: float
    top: float
    side: float
    points: Sequence[Point]
    line: str
    ticks: Sequence[Tick]
    words: str


def score_chart(scores: Sequence[Score]) -> ScoreChart | None:
    """The chart of those scores that are known; None when none is.

    The scale ends at 100 % and begins at a full ten per cent below the lowest bound, 80 % at most, so that near scores can be told apart.
    """
    shown = [score for score in scores if score.accuracy is not None]
    if not shown:
        return None
    lowest = min(value for score in shown for value in (score.accuracy, *score.accuracy_interval) if value is not None)
    first = min(8, math.floor(10 * lowest + 1e-9))
    start = first / 10

    def at(value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * (value - start) / (1 - start), 2)

    marks = []
    for row, score in enumerate(shown):
        assert score.accuracy is not None
        low, high = score.accuracy_interval
        whole = low is not None and high is not None
        marks.append(
            Mark(
                f"{short(score)}: {count(score.n_images)} images, {count(score.n_groups)} groups",
                percent(score.accuracy),
                row * _ROW,
                at(score.accuracy),
                at(low) if whole and low is not None else None,
                at(high) if whole and high is not None else None,
            )
        )
    step = 1 if first >= 5 else 2
    ticks = [Tick(at(tenths / 10), f"{10 * tenths} %") for tenths in range(10, first - 1, -step)][::-1]
    words = "; ".join(f"{short(score)} {percent(score.accuracy)}, 95 %: {bounds(score.accuracy_interval)}" for score in shown)
    return ScoreChart(_WIDTH, len(shown) * _ROW + 22, len(shown) * _ROW, marks, ticks, f"Accuracy. {words}.")


class Part(NamedTuple):
    """Some of the compared images: `kind` is the CSS class of its rectangle."""

    kind: str
    title: str
    n_images: int
    x: float
    width: float


class ContestBar(NamedTuple):
    """All compared images as one bar; brackets (SVG paths) span what each model has right."""

    parts: Sequence[Part]
    champion: str
    challenger: str
    words: str


def contest_bar(figures: Mapping[str, Any] | None) -> ContestBar | None:
    """The bar of a comparison's figures, None without one: only the champion right, both, only the challenger, neither."""
    if not figures or figures.get("champion_accuracy") is None or not figures["n_images"]:
        return None
    n_images, champion, challenger = (figures[name] for name in ("n_images", "only_champion_right", "only_challenger_right"))
    both = round(figures["champion_accuracy"] * n_images) - champion
    counted = (
        ("champion", "only the champion is right", champion),
        ("both", "both are right", both),
        ("challenger", "only the challenger is right", challenger),
        ("neither", "neither is right", n_images - both - champion - challenger),
    )
    parts, before = [], 0
    for kind, title, n in counted:
        parts.append(Part(kind, title, n, _along(before, n_images), round(_along(n, n_images) - _LEFT, 2)))
        before += n
    first, middle, last = (parts[i].x for i in (1, 2, 3))
    words = f"Of {count(n_images)} images: " + "; ".join(f"{part.title} {count(part.n_images)}" for part in parts) + "."
    return ContestBar(parts, f"M{_LEFT} 26V20H{middle}V26", f"M{first} 50V56H{last}V50", words)


def _along(n: int, of: int) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * n / of, 2)


def short(score: Score) -> str:
    """The score's name, without what explains it."""
    return score.title.split(":")[0]


def reliability_chart(bins: Sequence[Bin]) -> ReliabilityChart | None:
    """The chart of the bins that hold images; None when none does. A dot's area grows with its images, the smallest can still be seen."""
    shown = [bin_ for bin_ in bins if bin_.n_images and bin_.confidence is not None and bin_.accuracy is not None]
    if not shown:
        return None
    most = max(bin_.n_images for bin_ in shown)
    points = []
    for bin_ in shown:
        assert bin_.confidence is not None and bin_.accuracy is not None
        share = bin_.n_images / most
        points.append(
            Point(
                round(_MARGIN + _SIDE * bin_.confidence, 2),
                round(10 + _SIDE * (1 - bin_.accuracy), 2),
                round(max(2.5, 8 * math.sqrt(share)), 2),
                round(_MARGIN + _SIDE * bin_.low + 1, 2),
                round(_SIDE * (bin_.high - bin_.low) - 2, 2),
                round(max(1.0, 34 * share), 2),
                count(bin_.n_images),
            )
        )
    line = " ".join(f"{point.x},{point.y}" for point in points)
    ticks = [Tick(_SIDE * tenths / 10, f"{10 * tenths} %") for tenths in range(0, 11, 2)]
    words = "; ".join(f"at {percent(b.confidence)} {percent(b.accuracy)} are right, of {count(b.n_images)} images" for b in shown)
    return ReliabilityChart(_MARGIN, 10, _SIDE, points, line, ticks, f"Share of right answers by the model's own probability: {words}.")
