"""Observed pictures in windows: their order, where a window ends, what waits, and the verdict on each. No I/O.

A picture is a row of the dataset `observations`; one with a `reason` cannot be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pomona.command import Drift
from pomona.monitoring.drift import Verdict, complete, judged
from pomona.monitoring.panel import Panel, calibrated
from pomona.monitoring.profile import Profile
from pomona.vision.observe import Floats, Observations

Row = dict[str, Any]

# The most windows that are watched at once: some 4,000 pictures, whose observations take a few megabytes.
MOST = 20
# Two groups in a window, two to compare them with: with less, chance makes any difference.
_LEAST_GROUPS = 4


class Gauge:
    """A version's profile, with the panels for windows of it as the deployment wants them; one panel for each size of window."""

    def __init__(self, profile: Profile, drift: Drift) -> None:
        self.profile, self.drift = profile, drift
        self.n_groups = min(drift.groups, profile.members()[1] // 2)
        self._mix = _shares(profile) if drift.mix == "training" else None
        self.panel: Callable[[int], Panel] = cache(self._calibrated)

    def closes(self, n_images: int, n_rejects: int) -> bool:
        """Whether a window with so many readable pictures and rejects is whole."""
        size = self.drift.window
        # A panel takes a second, and most runs have few new pictures.
        return n_images >= size or (n_rejects > 0 and complete(self.panel(size), n_images=n_images, n_rejects=n_rejects))

    def verdict(self, window: Sequence[Row]) -> Verdict:
        """What is said of a window that `cut` gave."""
        images = [row for row in window if row["reason"] is None]
        n_rejects = len(window) - len(images)
        size = self.drift.window if self.closes(len(images), n_rejects) else len(images)
        return judged(self.profile, self.panel(size), observations(images) if images else None, n_rejects=n_rejects)

    def _calibrated(self, n_images: int) -> Panel:
        return calibrated(
            self.profile,
            n_images=n_images,
            n_groups=self.n_groups,
            rate=self.drift.rate,
            reject_rate=self.drift.rejects,
            mix=self._mix,
        )


def too_few(profile: Profile) -> str:
    """Why the profile cannot tell what is usual; empty when it can."""
    n_groups = profile.members()[1]
    if n_groups >= _LEAST_GROUPS:
        return ""
    return f"its training images come from {n_groups} groups, and what is usual shows from {_LEAST_GROUPS} on"


def in_order(rows: Iterable[Row], *, draw: int) -> list[Row]:
    """The rows in the order in which windows are cut: by a hash of the content and the number of the draw, then by path.

    By the content alone the same pictures would come last in each draw, and wait for ever.
    """
    return sorted(rows, key=lambda row: (hashlib.sha256(f"{draw}/{row['content']}".encode()).hexdigest(), row["path"]))


def cut(rows: Sequence[Row], *, size: int, closes: Callable[[int, int], bool], most: int = MOST) -> tuple[list[list[Row]], list[Row]]:
    """At most so many windows of rows in their order, and what is left to wait.

    A window ends where it `closes`, told its readable pictures and its rejects. A rest of at least half a window's pictures is a window of
    its own. Behind the last of the most nothing waits.
    """
    windows: list[list[Row]] = []
    begin = n_images = n_rejects = 0
    for end, row in enumerate(rows, start=1):
        n_images, n_rejects = n_images + (row["reason"] is None), n_rejects + (row["reason"] is not None)
        if closes(n_images, n_rejects):
            windows.append(list(rows[begin:end]))
            begin, n_images, n_rejects = end, 0, 0
            if len(windows) == most:
                return windows, []
    rest = list(rows[begin:])
    return ([*windows, rest], []) if n_images and 2 * n_images >= size else (windows, rest)


def within(rows: Sequence[Row], n_images: int) -> list[Row]:
    """The first of the rows that hold so many readable pictures, with the rejects between them."""
    n_read = np.cumsum([row["reason"] is None for row in rows])
    return list(rows[: int(np.searchsorted(n_read, n_images, side="right"))])


def observations(rows: Sequence[Row]) -> Observations:
    """What was observed of readable pictures, one or more, as arrays."""
    numbers = {name: np.array([row[name] for row in rows], np.float64) for name in ("quantisation", "reconstruction", "brightness", "blur")}
    return Observations(
        probabilities=np.array([row["probabilities"] for row in rows], np.float64),
        words=np.array([np.frombuffer(row["words"], np.float16) for row in rows], np.float32),
        n_keypoints=np.array([row["n_keypoints"] for row in rows], np.int64),
        cast=np.array([(row["red"], row["blue"]) for row in rows], np.float64),
        **numbers,
    )


def _shares(profile: Profile) -> Floats:
    """The share of each class among the profile's images, (n_classes,)."""
    codes: NDArray[np.int64] = profile.label_codes()
    return np.asarray(np.bincount(codes, minlength=len(profile.classes)) / len(codes), dtype=np.float64)
