"""Draws what `make demo` is about, in parcels that arrive one after the other; each is a folder, for whoever puts it where it arrives.

    python -m demo.parcels FOLDER

- `first`: five kinds of fruit for the landing zone, of each one specimen to learn from and one for the test.
- `more`: further specimens of the same kinds.
- `found`: pictures without a label, each specimen on a tray of its own: the five kinds, and a sixth that was in no parcel before.
- `named`: a specimen of the sixth kind for the test.
- `later`: one more of it, without a label.

`truth.json` says what the sixth kind is, and what lies on each tray.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2

from demo.kinds import KINDS
from demo.orchard import picture

SIXTH = "Orange"
KNOWN = tuple(kind for kind in KINDS if kind != SIXTH)
TRUTH = "truth.json"
# A specimen has a rotation's number of its own kind: no two parcels show the same fruit.
_LANDING = {"first": ("Training", "Test"), "more": ("Training", "Training", "Test")}
_FRAMES, _KNOWN_TRAY, _SIXTH_TRAY = 16, 8, 12
_SIXTH_TRAYS = 4


class Specimen(NamedTuple):
    """A fruit on its turntable: the folder in its parcel, kind, rotation, and how many pictures are taken of a full turn."""

    parcel: str
    folder: str
    kind: str
    rotation: int
    frames: int


def specimens() -> list[Specimen]:
    """Every fruit of the demo, parcel by parcel."""
    sides = [(parcel, side) for parcel, each in _LANDING.items() for side in each]
    landing = [
        Specimen(parcel, f"{side}/{kind}", kind, rotation, _FRAMES) for rotation, (parcel, side) in enumerate(sides) for kind in KNOWN
    ]
    trays = [(kind, len(sides), _KNOWN_TRAY) for kind in KNOWN]
    trays += [(SIXTH, rotation, _SIXTH_TRAY) for rotation in range(_SIXTH_TRAYS)]
    found = [Specimen("found", f"tray-{number}", *tray) for number, tray in enumerate(trays, start=1)]
    named = Specimen("named", f"Test/{SIXTH}", SIXTH, _SIXTH_TRAYS, _FRAMES)
    later = Specimen("later", f"tray-{len(trays) + 1}", SIXTH, _SIXTH_TRAYS + 1, _SIXTH_TRAY)
    return [*landing, *found, named, later]


def truth() -> dict[str, object]:
    """The sixth kind, the others, and the kind on each tray."""
    trays = {fruit.folder: fruit.kind for fruit in specimens() if fruit.parcel in ("found", "later")}
    return {"sixth": SIXTH, "known": list(KNOWN), "trays": trays}


def pictures(fruit: Specimen) -> Iterator[tuple[str, bytes]]:
    """Path below the folder of all parcels, and JPEG, of each picture of the specimen."""
    for frame in range(fruit.frames):
        data = picture(fruit.kind, fruit.rotation, frame, seed=0, frames=fruit.frames)
        yield f"{fruit.parcel}/{fruit.folder}/r{fruit.rotation}_{frame}_100.jpg", data


def main(words: list[str]) -> int:
    """0; the parcels are drawn into the folder that the one argument names."""
    folder = Path(words[0])
    cv2.setNumThreads(1)
    for fruit in specimens():
        for path, data in pictures(fruit):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    # Behind the pictures: where it lies, all of them do.
    (folder / TRUTH).write_text(json.dumps(truth(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
