"""What the charts of the monitoring page are made of: shapes and words in the units of their SVG; the template draws them.

The `kind` of a shape is its CSS class. Marks of one kind are one path, so that a thousand of them cost some ten bytes each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pomona.report.time_axis import Axis

# Of the page's own letters at the size of the charts, on average.
_LETTER = 6.4


class Box(NamedTuple):
    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str = ""


class Stroke(NamedTuple):
    kind: str
    path: str
    title: str = ""


class Words(NamedTuple):
    kind: str
    x: float
    y: float
    text: str
    anchor: str = "start"


class Band(NamedTuple):
    """One row of a chart: its name, and what is drawn below it from `top` to `bottom`, boxes first and words last."""

    name: str
    y: float
    top: float
    bottom: float
    boxes: Sequence[Box] = ()
    strokes: Sequence[Stroke] = ()
    words: Sequence[Words] = ()


def fits(text: str, width: float) -> bool:
    """Whether the text has room in so much."""
    return len(text) * _LETTER + 8 <= width


def shortest(texts: Iterable[str], width: float) -> str:
    """The first of the texts that has room, empty when none has."""
    return next((text for text in texts if fits(text, width)), "")


def dots(places: Iterable[tuple[float, float]]) -> str:
    """Strokes without length, which round ends make dots; those on the same place are one."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in dict.fromkeys(places))


def triangles(places: Iterable[tuple[float, float]], size: float = 4) -> str:
    """Triangles that point up, with their middle on the place."""
    return "".join(f"M{x:g} {y - size:g}l{size:g} {2 * size:g}h{-2 * size:g}z" for x, y in dict.fromkeys(places))


def hatching(box: Box, step: float = 5) -> str:
    """Lines at 45° that fill the box."""
    lines = []
    start = -box.height
    while start < box.width:
        first, last = max(0.0, start), min(box.width, start + box.height)
        x, y = box.x + first, box.y + box.height - (first - start)
        if last > first:
            lines.append(f"M{x:g} {round(y, 1):g}l{round(last - first, 1):g} {-round(last - first, 1):g}")
        start += step
    return "".join(lines)


def scale(axis: Axis, ticks: Iterable[tuple[float, str]]) -> tuple[Stroke, list[Words]]:
    """Lines across a chart at (height, words), and the words left of them."""
    there = list(ticks)
    words = [Words("tick", axis.left - 6, y + 3.5, text, "end") for y, text in there]
    return Stroke("grid", "".join(f"M{axis.left:g} {y:g}H{axis.right:g}" for y, _ in there)), words


def steps(values: Sequence[tuple[float, float]], end: float, base: float) -> str:
    """An area below values that hold until the next one, from the first place to `end`, down to `base`."""
    path = f"M{values[0][0]:g} {base:g}"
    for x, y in values:
        path += f"H{x:g}V{y:g}"
    return f"{path}H{end:g}V{base:g}z"
