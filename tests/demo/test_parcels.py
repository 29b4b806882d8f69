"""The parcels of `make demo`: which fruit is in which, and that the sixth kind comes late and is never the same fruit twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo import parcels
from demo.kinds import KINDS


def test_the_parcels_hold_what_the_scenes_tell() -> None:
    n_pictures: Counter[tuple[str, str]] = Counter()
    for fruit in parcels.specimens():
        n_pictures[fruit.parcel, "sixth" if fruit.kind == parcels.SIXTH else "known"] += fruit.frames
    # Five kinds of 2 and of 3 specimens with 16 pictures each; trays of 8 and of 12.
    assert n_pictures == {
        ("first", "known"): 160,
        ("more", "known"): 240,
        ("found", "known"): 40,
        ("found", "sixth"): 48,
        ("named", "sixth"): 16,
        ("later", "sixth"): 12,
    }


def test_no_fruit_is_in_two_parcels_or_on_both_sides_of_the_split() -> None:
    fruits = [(fruit.kind, fruit.rotation) for fruit in parcels.specimens()]
    assert len(set(fruits)) == len(fruits)
    sides = {(fruit.parcel, fruit.folder.split("/")[0]) for fruit in parcels.specimens() if fruit.parcel in ("first", "more")}
    assert sides == {("first", "Training"), ("first", "Test"), ("more", "Training"), ("more", "Test")}


def test_each_tray_has_one_fruit_and_its_name_does_not_say_which() -> None:
    trays = [fruit.folder for fruit in parcels.specimens() if fruit.parcel in ("found", "later")]
    assert trays == [f"tray-{number}" for number in range(1, 11)]
    told = parcels.truth()
    assert told["trays"] == {fruit.folder: fruit.kind for fruit in parcels.specimens() if fruit.folder in trays}
    assert (told["sixth"], sorted([*told["known"], told["sixth"]])) == (parcels.SIXTH, sorted(KINDS))


def test_what_is_drawn_lies_in_its_parcel_and_the_truth_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [fruit._replace(frames=2) for fruit in parcels.specimens() if fruit.parcel in ("named", "later")]
    monkeypatch.setattr(parcels, "specimens", lambda: some)
    assert parcels.main([str(tmp_path)]) == 0
    listed = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    named, later = (f"r{fruit.rotation}" for fruit in some)
    assert listed == [
        *(f"later/tray-10/{later}_{frame}_100.jpg" for frame in (0, 1)),
        *(f"named/Test/{parcels.SIXTH}/{named}_{frame}_100.jpg" for frame in (0, 1)),
        "truth.json",
    ]
    assert json.loads((tmp_path / "truth.json").read_text())["trays"] == {"tray-10": parcels.SIXTH}
    images = [cv2.imread(str(tmp_path / path)) for path in listed[:4]]
    assert {image.shape for image in images} == {(100, 100, 3)}
    assert not any(np.array_equal(images[0], other) for other in images[1:])
