"""The six kinds of fruit: shape, relief and colour as maps over a ball of directions, drawn from a seed.

A map has one row per polar angle (first row: the stalk) and one column per turn around the axis. Everything is a function of
the direction, never of the map's pixel, so that nothing shows a seam and a turning fruit carries its spots with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float32, as every docstring says
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Skin:
    """What the maps hold before they are lit.

    radius, relief : (rows, columns) float32; the body's shape (largest about 1) and the fine relief that only bends the light
    colour : (rows, columns, 3) float32, BGR in [0, 1] as a screen shows it
    gloss : strength of the highlight; sharpness : its Phong exponent
    stalk : length above the pole, 0 for none; lean : degrees between the fruit's axis and the axis that it turns about
    """

    radius: Array
    relief: Array
    colour: Array
    gloss: float
    sharpness: float
    stalk: float
    lean: float


@dataclass(frozen=True)
class Ball:
    """The directions that a map's pixels stand for: `polar` and `turn` in radians, `direction` (rows, columns, 3) of length 1."""

    polar: Array
    turn: Array
    direction: Array

    @classmethod
    def of(cls, rows: int) -> Ball:
        polar, turn = np.meshgrid(
            (np.arange(rows, dtype=np.float32) + 0.5) * np.pi / rows,
            (np.arange(2 * rows, dtype=np.float32) + 0.5) * np.pi / rows,
            indexing="ij",
        )
        ring = np.sin(polar)
        return cls(polar, turn, np.stack([ring * np.cos(turn), ring * np.sin(turn), np.cos(polar)], axis=-1))


Random = np.random.Generator


def noise(ball: Ball, random: Random, frequency: float, waves: int = 28) -> Array:
    """Smooth noise about 0 with standard deviation near 1: a sum of plane waves of random direction, read off on the ball."""
    vectors = random.normal(size=(3, waves))
    vectors *= frequency * random.uniform(0.6, 1.4, size=waves) / np.linalg.norm(vectors, axis=0)
    phases = random.uniform(0, 2 * np.pi, size=waves)
    # Written out: a matrix product would wake BLAS's threads, which on a busy machine cost fifty times the product itself.
    x, y, z = (ball.direction[..., axis] for axis in range(3))
    total = np.zeros_like(ball.polar)
    for (a, b, c), phase in zip(vectors.T.astype(np.float32), phases.astype(np.float32), strict=True):
        total += np.cos(a * x + b * y + c * z + phase)
    return total * np.float32(np.sqrt(2 / waves))


def scattered(random: Random, n: int, aside: float = 0.35) -> Array:
    """(n, 3) directions, evenly scattered as a sunflower's seeds are, each pushed aside by that share of their distance."""
    index = np.arange(n) + 0.5
    height = 1 - 2 * index / n
    turn = index * np.pi * (3 - np.sqrt(5)) + random.uniform(0, 2 * np.pi)
    ring = np.sqrt(1 - height**2)
    points = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1) + random.normal(scale=2 * aside / np.sqrt(n), size=(n, 3))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), dtype=np.float32)


def distance(ball: Ball, points: Array, reach: float) -> tuple[Array, NDArray[np.intp]]:
    """The angle in radians to the nearest of the points, and which one that is; where none is within `reach`: reach, and 0."""
    rows, columns = ball.polar.shape
    nearest = np.full(ball.polar.shape, reach, np.float32)
    which = np.zeros(ball.polar.shape, np.intp)
    margin = int(np.ceil(reach * rows / np.pi)) + 1
    for index, point in enumerate(points):
        polar, turn = np.arccos(np.clip(point[2], -1, 1)), np.arctan2(point[1], point[0]) % (2 * np.pi)
        row, column = int(polar * rows / np.pi), int(turn * columns / (2 * np.pi))
        ring = np.sin(max(min(polar, np.pi - polar) - reach, 0))
        wide = min(columns // 2, int(margin / max(ring, 1e-3)) + 1)
        window = np.ix_(np.arange(max(row - margin, 0), min(row + margin + 1, rows)), np.arange(column - wide, column + wide) % columns)
        chord = ball.direction[window] - point
        angle = 2 * np.arcsin(np.minimum(np.sqrt((chord * chord).sum(axis=-1)) / 2, 1))
        closer = angle < nearest[window]
        nearest[window] = np.where(closer, angle, nearest[window])
        which[window] = np.where(closer, index, which[window])
    return nearest, which


def step(value: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between; with `low` > `high` the other way round."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def paint(under: Array, colour: Colour, cover: Array) -> Array:
    """`under` with the colour (red, green, blue in 0–255) laid over it where `cover` is 1."""
    over = np.array(colour[::-1], np.float32) / 255
    return under + (over - under) * cover[..., None]


def plain(ball: Ball, colour: Colour) -> Array:
    return paint(np.zeros((*ball.polar.shape, 3), np.float32), colour, np.ones_like(ball.polar))


def shifted(random: Random, colour: Colour, spread: float = 12) -> Colour:
    """The colour of another specimen: red, green and blue each a little off."""
    red, green, blue = (float(np.clip(part + random.normal(scale=spread), 0, 255)) for part in colour)
    return red, green, blue


def lumps(ball: Ball, random: Random, size: float) -> Array:
    return (size * noise(ball, random, 1.9)).astype(np.float32)


def facing(ball: Ball, turn: float) -> Array:
    """1 on the equator at this turn, −1 opposite."""
    return np.float32(np.cos(turn)) * ball.direction[..., 0] + np.float32(np.sin(turn)) * ball.direction[..., 1]


def calyx(ball: Ball, random: Random, leaves: int, reach: float) -> Array:
    """1 where a star of leaves covers the pole."""
    phase = random.uniform(0, 2 * np.pi)
    star = np.abs(np.cos((ball.turn + phase + 0.12 * noise(ball, random, 3)) * leaves / 2)) ** 1.6
    return step(ball.polar - reach * (0.22 + 0.78 * star), 0.05, -0.03)


def apple(ball: Ball, random: Random) -> Skin:
    """Red, with a blush over yellow, fine streaks from pole to pole and pale lenticels."""
    polar = ball.polar
    radius = 0.93 - 0.30 * np.exp(-((polar / 0.34) ** 2)) - 0.16 * np.exp(-(((np.pi - polar) / 0.3) ** 2)) + 0.05 * np.sin(polar) ** 2
    radius = radius * (1 + 0.05 * np.cos(polar)) + 0.014 * np.cos(5 * ball.turn) * step(polar, 1.9, 3.0) + lumps(ball, random, 0.014)
    colour = plain(ball, shifted(random, (214, 176, 78)))
    side = facing(ball, random.uniform(0, 6.3)) + 0.25 * ball.direction[..., 2]
    blush = step(side + 0.34 * noise(ball, random, 2.6), -1.15, 0.05)
    streaks = 0.5 + 0.5 * np.tanh(1.4 * noise(Ball(polar, ball.turn, ball.direction * np.array([9, 9, 1.2], np.float32)), random, 3.2))
    colour = paint(colour, shifted(random, (176, 26, 34)), np.clip(blush * (0.78 + 0.3 * streaks), 0, 1))
    colour = paint(colour, (120, 8, 24), 0.4 * blush * streaks)
    colour = paint(colour, (150, 120, 60), 0.75 * step(polar + 0.06 * noise(ball, random, 7), 0.4, 0.2))
    near, which = distance(ball, scattered(random, 300, 0.6), 0.03)
    sizes = random.uniform(0.007, 0.02, size=300).astype(np.float32)[which]
    dots = step(near / sizes, 1.3, 0.6)
    return Skin(radius, -0.002 * dots, paint(colour, (240, 206, 150), 0.75 * dots), 0.42, 38, 0.34, 9)


def orange(ball: Ball, random: Random) -> Skin:
    """A dimpled ball: two layers of pits, shallow and deep, and a green button."""
    radius = 0.95 - 0.035 * np.cos(ball.polar) ** 2 - 0.05 * np.exp(-((ball.polar / 0.16) ** 2)) + lumps(ball, random, 0.008)
    near, which = distance(ball, scattered(random, 900, 0.45), 0.06)
    depths = random.uniform(0.3, 1.0, size=900).astype(np.float32)[which]
    pits = step(near, 0.055, 0.012) * depths
    colour = plain(ball, shifted(random, (236, 128, 22)))
    colour = paint(colour, (250, 170, 50), 0.25 + 0.25 * np.tanh(noise(ball, random, 2.2)))
    colour = paint(colour, (196, 84, 8), 0.55 * pits)
    near, _ = distance(ball, scattered(random, 14), 0.2)
    colour = paint(colour, (168, 110, 50), 0.55 * step(near + 0.02 * noise(ball, random, 17), 0.09, 0.03))
    colour = paint(colour, (120, 134, 60), calyx(ball, random, 5, 0.16))
    return Skin(radius, -0.011 * pits, colour, 0.34, 30, 0.0, 14)


def pear(ball: Ball, random: Random) -> Skin:
    """Green and drawn out at the top, with brown dots all over and russet at the neck."""
    polar = ball.polar
    neck = 0.5 * (1 + np.cos(polar))
    radius = 0.70 + 0.34 * neck**5 - 0.155 * np.sin(polar * 1.0) ** 2 * np.exp(-(((polar - 0.85) / 0.45) ** 2))
    radius = radius - 0.10 * np.exp(-(((np.pi - polar) / 0.22) ** 2)) - 0.1 * np.exp(-((polar / 0.1) ** 2)) + lumps(ball, random, 0.012)
    colour = plain(ball, shifted(random, (142, 164, 58)))
    colour = paint(colour, (196, 190, 84), step(noise(ball, random, 1.6), -0.6, 1.6) * 0.8)
    near, which = distance(ball, scattered(random, 640), 0.04)
    sizes = random.uniform(0.008, 0.024, size=640).astype(np.float32)[which]
    dots = step(near / sizes, 1.4, 0.7)
    colour = paint(colour, (104, 84, 40), 0.7 * dots)
    russet = step(polar + 0.22 * noise(ball, random, 5) + 0.1 * noise(ball, random, 19), 0.75, 0.2)
    colour = paint(colour, (146, 108, 58), 0.85 * russet)
    return Skin(radius, 0.0035 * dots + 0.003 * russet * noise(ball, random, 30), colour, 0.2, 18, 0.36, 7)


def strawberry(ball: Ball, random: Random) -> Skin:
    """A red cone with yellow seeds, each in its dent, under a green star."""
    polar = ball.polar
    radius = 0.80 + 0.20 * np.exp(-(((np.pi - polar) / 0.75) ** 2)) - 0.12 * np.exp(-((polar / 0.5) ** 2))
    radius = radius - 0.05 * np.exp(-(((polar - 2.05) / 0.4) ** 2)) + lumps(ball, random, 0.022)
    colour = plain(ball, shifted(random, (190, 22, 30)))
    colour = paint(colour, (226, 60, 48), 0.5 * step(noise(ball, random, 2.4), -0.8, 1.2))
    pale = step(polar + 0.12 * noise(ball, random, 4), 1.0, 0.45)
    colour = paint(colour, (236, 190, 150), 0.7 * pale)
    near, which = distance(ball, scattered(random, 250, 0.18), 0.12)
    dents = step(near, 0.10, 0.03)
    sizes = random.uniform(0.024, 0.036, size=250).astype(np.float32)[which]
    seeds = step(near / sizes, 1.15, 0.8)
    colour = paint(paint(colour, (128, 6, 18), 0.45 * dents), (226, 178, 74), seeds)
    leaves = calyx(ball, random, 9, 0.82)
    colour = paint(colour, shifted(random, (74, 122, 40)), leaves)
    relief = (-0.02 * dents + 0.014 * seeds) * (1 - leaves) + leaves * (0.03 + 0.004 * noise(ball, random, 24))
    return Skin(radius, relief, colour, 0.36, 26, 0.2, 10)


def tomato(ball: Ball, random: Random) -> Skin:
    """Flat, ribbed at the shoulders, smooth and shining: a red without any texture of its own."""
    polar = ball.polar
    ribs = np.cos(6 * ball.turn + 0.5 * noise(ball, random, 1.5)) * step(polar, 1.7, 0.3)
    radius = 0.97 - 0.17 * np.cos(polar) ** 2 - 0.13 * np.exp(-((polar / 0.38) ** 2)) + 0.02 * ribs + lumps(ball, random, 0.014)
    colour = plain(ball, shifted(random, (198, 34, 24)))
    colour = paint(colour, (228, 92, 30), 0.6 * step(polar + 0.2 * noise(ball, random, 2.5), 1.2, 0.4))
    colour = paint(colour, (224, 70, 40), 0.3 + 0.3 * np.tanh(noise(ball, random, 1.8)))
    leaves = calyx(ball, random, 5, 0.62)
    colour = paint(colour, shifted(random, (66, 104, 44)), leaves)
    return Skin(radius, 0.02 * leaves, colour, 0.75, 90, 0.2, 10)


def watermelon(ball: Ball, random: Random) -> Skin:
    """Long and green, with ragged dark bands from pole to pole and a fine net between them."""
    polar = ball.polar
    radius = 1 / np.sqrt((np.cos(polar) / 0.99) ** 2 + (np.sin(polar) / 0.80) ** 2) + lumps(ball, random, 0.010)
    ragged = ball.turn * 10 + 0.7 * noise(ball, random, 4) + 0.55 * noise(ball, random, 13) + 0.35 * noise(ball, random, 30)
    bands = step(np.cos(ragged), -0.15, 0.35)
    colour = plain(ball, shifted(random, (150, 170, 92)))
    colour = paint(colour, (176, 190, 120), 0.4 * step(noise(ball, random, 3), -0.5, 1.5))
    veins = step(np.abs(noise(ball, random, 20)), 0.22, 0.05)
    colour = paint(colour, (84, 124, 56), 0.55 * veins)
    colour = paint(colour, shifted(random, (36, 74, 36)), 0.94 * bands)
    colour = paint(colour, (110, 136, 70), 0.35 * bands * step(noise(ball, random, 24), 0.9, 1.6))
    patch = facing(ball, random.uniform(0, 6.3))
    colour = paint(colour, (222, 206, 134), 0.75 * step(patch + 0.05 * noise(ball, random, 6), 0.86, 0.96))
    colour = paint(colour, (150, 120, 70), step(np.minimum(polar, np.pi - polar), 0.12, 0.06))
    return Skin(radius, 0.002 * noise(ball, random, 22), colour, 0.36, 34, 0.12, 16)


KINDS: dict[str, Callable[[Ball, Random], Skin]] = {
    "Apple": apple,
    "Orange": orange,
    "Pear": pear,
    "Strawberry": strawberry,
    "Tomato": tomato,
    "Watermelon": watermelon,
}
