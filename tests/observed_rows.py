"""Observations as rows of the dataset `observations`, each with a file of its own: what the tests of the watch share."""

from __future__ import annotations

import hashlib
from typing import Any

from pomona.formats import arrow_schema
from pomona.vision.observe import Observations

_NOTHING = {field.name: None for field in arrow_schema("observations")}


def rows(seen: Observations, *, first: int = 0) -> list[dict[str, Any]]:
    """A row for each picture, numbered from `first`, as a task of `score` tells them."""
    found = []
    for place in range(len(seen.quantisation)):
        numbers = {name: float(getattr(seen, name)[place]) for name in ("quantisation", "reconstruction", "brightness", "blur")}
        red, blue = seen.cast[place].tolist()
        told = {"probabilities": seen.probabilities[place].tolist(), "words": seen.words[place].astype("float16").tobytes()}
        found.append(
            {**_file(f"{first + place:04d}.jpg"), **numbers, **told, "n_keypoints": int(seen.n_keypoints[place]), "red": red, "blue": blue}
        )
    return found


def rejects(n: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Files that are no pictures."""
    return [{**_file(f"bad-{first + number:04d}.jpg"), "reason": "no picture"} for number in range(n)]


def _file(path: str) -> dict[str, Any]:
    return {**_NOTHING, "path": path, "size": 1, "version": "1", "content": hashlib.sha256(path.encode()).hexdigest()}
