"""Takes the pictures: a fruit is turned, hit by parallel rays, lit, and set down on a light ground with its shadow."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.kinds import KINDS, Array, Ball

Image = NDArray[Any]  # uint8, BGR

OVERSAMPLING = 2  # drawn at twice the side and averaged: soft edges without a special case
EYE = np.array([0, 0, 1], np.float32)


@dataclass(frozen=True)
class Specimen:
    """One fruit of a kind: its maps, one column repeated at either end so that a look-up crosses the seam.

    radius : (rows, columns) float32
    normal : (rows, columns, 3) float32, outward, length 1, in the fruit's own frame
    colour : (rows, columns, 3) float32, BGR, linear light in [0, 1]
    size : share of the picture's half that a radius of 1 fills; sun : direction of the light; roll : degrees, in the picture
    """

    radius: Array
    normal: Array
    colour: Array
    gloss: float
    sharpness: float
    stalk: float
    lean: float
    size: float
    sun: Array
    warmth: Array
    exposure: float
    roll: float


def fruit(kind: str, *, angle: float, tilt: float, seed: int, side: int = 100) -> Image:
    """A picture of a fruit, (side, side, 3) uint8 BGR; `angle` is its turn and `tilt` its lean towards us, in degrees.

    The seed is the specimen (spots, shape, a shade of colour) and the studio (light, exposure): two seeds, two fruits of a kind.
    """
    ground, picture, alpha = shoot(kind, angle=angle, tilt=tilt, seed=seed, side=side)
    grain = _random("grain", kind, seed, round(angle * 1000), side).normal(scale=1.3, size=(side, side, 1))
    lit = ground + (picture - ground) * alpha[..., None]
    return np.asarray(np.clip(255 * lit + grain + 0.5, 0, 255), dtype=np.uint8)


def shoot(kind: str, *, angle: float, tilt: float, seed: int, side: int) -> tuple[Array, Array, Array]:
    """Ground with shadow, fruit, and cover of the fruit: (side, side, 3), the same, (side, side) float32 in [0, 1]."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is none of {', '.join(KINDS)}")
    specimen = grown(kind, seed, 192 if side <= 160 else 320)
    pose = _pose(specimen, angle, tilt)
    view, depth, hit = _rays(specimen, pose, side * OVERSAMPLING)
    picture = _lit(specimen, pose, view, depth)
    _draw_stalk(specimen, pose, picture, hit, depth)
    cover = cv2.resize(hit.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    # Averaged over what is hit only, so that nothing from beside the outline bleeds into it.
    picture = cv2.resize(picture * hit[..., None], (side, side), interpolation=cv2.INTER_AREA) / np.maximum(cover, 1e-3)[..., None]
    return _ground(cover, specimen), _shown(np.clip(picture, 0, 1)), cover


@lru_cache(maxsize=16)
def grown(kind: str, seed: int, rows: int) -> Specimen:
    """The specimen that the seed grows; the same fruit at every size of map."""
    random = _random("fruit", kind, seed)
    ball = Ball.of(rows)
    skin = KINDS[kind](ball, random)
    sun = np.array([random.normal(-0.3, 0.4), random.normal(0.62, 0.15), 0.75], np.float32)
    warm = random.normal(scale=0.03)
    radius = skin.radius.astype(np.float32)
    return Specimen(
        radius=_wrapped(radius),
        normal=_wrapped(_normals(ball, radius + skin.relief.astype(np.float32))),
        colour=_wrapped(np.clip(skin.colour, 0, 1).astype(np.float32) ** 2.2),
        gloss=skin.gloss,
        sharpness=skin.sharpness,
        stalk=skin.stalk * random.uniform(0.7, 1.2),
        lean=skin.lean * random.uniform(0.5, 1.3),
        size=random.uniform(0.78, 0.88) / float(radius.max()),
        sun=sun / np.linalg.norm(sun),
        warmth=np.array([1 - warm, 1, 1 + warm], np.float32),
        exposure=random.uniform(0.72, 1.12),
        roll=random.normal(scale=8),
    )


def _random(*key: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def _wrapped(values: Array) -> Array:
    return np.ascontiguousarray(np.concatenate([values[:, -1:], values, values[:, :1]], axis=1))


def _normals(ball: Ball, radius: Array) -> Array:
    """Outward normals of the star-shaped body: the gradient of |p| − radius(direction of p)."""
    rows, columns = radius.shape
    by_polar = np.gradient(radius, np.pi / rows, axis=0)
    by_turn = (np.roll(radius, -1, axis=1) - np.roll(radius, 1, axis=1)) / np.float32(4 * np.pi / columns)
    ring = np.maximum(np.sin(ball.polar), 0.02)
    down = np.stack([np.cos(ball.polar) * np.cos(ball.turn), np.cos(ball.polar) * np.sin(ball.turn), -np.sin(ball.polar)], axis=-1)
    along = np.stack([-np.sin(ball.turn), np.cos(ball.turn), np.zeros_like(ball.turn)], axis=-1)
    normal = ball.direction - (by_polar / radius)[..., None] * down - (by_turn / (radius * ring))[..., None] * along
    return np.asarray(normal / np.linalg.norm(normal, axis=-1, keepdims=True), dtype=np.float32)


def _turned(axis: str, degrees: float) -> Array:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3, dtype=np.float32)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def _pose(specimen: Specimen, angle: float, tilt: float) -> Array:
    """(3, 3): from the fruit's frame (axis along z) to ours (x right, y up, z towards us)."""
    upright = _turned("x", -90)
    return _turned("z", specimen.roll) @ _turned("x", tilt) @ _turned("y", angle) @ _turned("z", specimen.lean) @ upright


@dataclass(frozen=True)
class View:
    """The plane of a picture: x and y of its points in our frame, and the same turned into the fruit's; all (side, side)."""

    x: Array
    y: Array
    own: tuple[Array, Array, Array]
    away: tuple[float, float, float]

    @classmethod
    def of(cls, specimen: Specimen, pose: Array, side: int) -> View:
        axis = ((np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1) / np.float32(specimen.size)
        x, y = np.meshgrid(axis, -axis)
        own = pose.T.astype(np.float32)
        a, b, c = (row[0] * x + row[1] * y for row in own)
        return cls(x, y, (a, b, c), (float(own[0, 2]), float(own[1, 2]), float(own[2, 2])))

    def place(self, depth: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Column and row in a map of this shape, for the directions of the plane's points at this depth."""
        a, b, c = (flat + away * depth for flat, away in zip(self.own, self.away, strict=True))
        ring, turn = cv2.cartToPolar(a, b)
        rows, columns = shape[0], shape[1] - 2
        return turn * np.float32(columns / (2 * np.pi)) + np.float32(0.5), cv2.phase(c, ring) * np.float32(rows / np.pi) - np.float32(0.5)


def _looked_up(field: Array, column: Array, row: Array) -> Array:
    return cv2.remap(field, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _rays(specimen: Specimen, pose: Array, side: int) -> tuple[View, Array, NDArray[np.bool_]]:
    """The plane, the depth of the first hit, and whether there is one; traced coarsely, then refined."""
    small = View.of(specimen, pose, side // 2)
    ball = np.sqrt(np.maximum(float(specimen.radius.max()) ** 2 - small.x**2 - small.y**2, 0))
    coarse, _ = _traced(specimen, small, ball, 9)
    view = View.of(specimen, pose, side)
    depth, miss = _traced(specimen, view, cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), 3)
    return view, depth, miss < 0.012


def _traced(specimen: Specimen, view: View, depth: Array, steps: int) -> tuple[Array, Array]:
    """The depth after some damped Newton steps from a first guess, and how far from the surface that still is."""
    flat = view.x * view.x + view.y * view.y
    for left in reversed(range(steps + 1)):
        length = cv2.sqrt(flat + depth * depth)
        gap = length - _looked_up(specimen.radius, *view.place(depth, specimen.radius.shape))
        if left:
            depth = np.maximum(depth - gap * np.minimum(length / np.maximum(np.abs(depth), 1e-3), 1.6) * np.float32(0.8), -1)
    return depth, gap


def _lit(specimen: Specimen, pose: Array, view: View, depth: Array) -> Array:
    """(side, side, 3) linear light: Lambert from the sun and from a bright room, and Blinn's highlight (1977)."""
    half = specimen.sun + EYE
    lamps = np.stack([EYE, specimen.sun, half / np.linalg.norm(half), [0, 1, 0]]).astype(np.float32) @ pose
    column, row = view.place(depth, specimen.normal.shape)
    normal = _looked_up(specimen.normal, column, row)
    facing, direct, mirror, up = cv2.split(cv2.transform(normal, lamps.astype(np.float32)))
    facing = np.clip(facing, 0, 1)
    light = (0.92 * np.maximum(direct, 0) + 0.36 + 0.16 * up) * np.clip(0.55 + 0.75 * facing, 0, 1)
    shine = specimen.gloss * (cv2.pow(np.maximum(mirror, 0), specimen.sharpness) + 0.05 * (1 - facing) ** 3)
    colour = _looked_up(specimen.colour, column, row)
    return np.asarray((colour * light[..., None] + shine[..., None]) * (specimen.warmth * np.float32(specimen.exposure)))


def _shown(linear: Array) -> Array:
    return cv2.pow(linear, 1 / 2.2)


def _draw_stalk(specimen: Specimen, pose: Array, picture: Array, hit: NDArray[np.bool_], depth: Array) -> None:
    """Draws the stalk, a bent row of discs, into picture and cover where the fruit does not hide it."""
    if not specimen.stalk:
        return
    side = len(hit)
    foot = float(specimen.radius[0].mean()) - 0.06
    bend = np.linspace(0, 1, max(14, side // 14), dtype=np.float32)
    own = np.stack([0.10 * bend**2, 0.04 * bend**2, foot + (specimen.stalk + 0.06) * bend], axis=1)
    for share, (x, y, z) in zip(bend, own @ pose.T, strict=True):
        column, row = ((v * specimen.size + 1) * side / 2 for v in (x, -y))
        reach = side * (0.011 + 0.008 * abs(2 * share - 1) ** 3)
        edges = [int(min(max(v, 0), side)) for v in (row - reach, row + reach + 2, column - reach, column + reach + 2)]
        window = np.s_[edges[0] : edges[1], edges[2] : edges[3]]
        rows, columns = np.ogrid[window]
        seen = (np.hypot(rows - row, columns - column) <= reach) & (~hit[window] | (depth[window] < z + 0.02))
        tone = 0.55 + 0.6 * np.clip((column - columns) / reach + 0.3, 0, 1) + 0 * rows
        picture[window][seen] = np.array([0.03, 0.065, 0.10], np.float32) * tone[seen][:, None]
        hit[window] |= seen


def _ground(cover: Array, specimen: Specimen) -> Array:
    """A light ground, brighter towards the sun, with the fruit's blurred shadow on it."""
    side = len(cover)
    across, down = np.meshgrid(np.linspace(-1, 1, side, dtype=np.float32), np.linspace(-1, 1, side, dtype=np.float32))
    light = 0.972 + 0.018 * (across * specimen.sun[0] - down * specimen.sun[1]) - 0.012 * (across**2 + down**2)
    rows = np.flatnonzero(cover.max(axis=1) > 0.5)
    columns = np.flatnonzero(cover.max(axis=0) > 0.5)
    bottom, middle, half = rows[-1] / side * 2 - 1, columns.mean() / side * 2 - 1, len(columns) / side
    away = middle - 0.25 * specimen.sun[0]
    spot = ((across - away) / (0.95 * half)) ** 2 + ((down - bottom + 0.10) / 0.16) ** 2
    contact = ((across - middle) / (0.55 * half)) ** 2 + ((down - bottom + 0.03) / 0.07) ** 2
    dark = 0.26 * np.exp(-spot) + 0.30 * np.exp(-contact)
    # Without a tint: the hue of a near-white ground would say which rotation a frame is from.
    return np.repeat((light * (1 - dark))[..., None], 3, axis=2).astype(np.float32)
