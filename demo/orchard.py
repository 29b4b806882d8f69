"""Draws the orchard: the folder of pictures that `make run` works on, six kinds of fruit that turn, with some bad files among them.

    python -m demo.orchard FOLDER [--seed 0] [--frames 48] [--rotations 2]

A rotation is one specimen on its turntable, so its frames are a video, a group. The last rotation of each kind is in Test, the others are
in Training: no group is on both sides, and the fruit in Test were never seen in Training. Same seed and versions, same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from demo.kinds import KINDS
from demo.market import photograph
from demo.studio import fruit

__all__ = ["KINDS", "draw", "fruit", "main", "photograph"]

LEDGER = ".orchard.json"  # a dotfile, so that the pipeline ignores it
JPEG_QUALITY = 92


def draw(
    folder: str | Path, *, seed: int = 0, frames: int = 48, kinds: Sequence[str] = tuple(KINDS), rotations: int = 2, bad: bool = True
) -> dict[str, int]:
    """What the folder holds, in the words of the pipeline's own counts, and `drawn`, the files that had to be written for it.

    listed = rejected + ignored + kept + duplicate + conflict, and kept = train + test. Files that are there with the size they were
    drawn with are left alone; other files in the folder are never touched. `bad=False` leaves the bad files out.

    Raises
    ------
    ValueError
        For an unknown kind, less than two kinds or rotations, less than one frame, or a folder drawn with other settings.
    """
    folder = Path(folder)
    settings = {"seed": seed, "frames": frames, "kinds": list(kinds), "rotations": rotations, "bad": bad}
    _check(settings)
    known = _ledger(folder)
    if known and known["settings"] != settings:
        raise ValueError(f"{folder} was drawn with {known['settings']}, not with {settings}: give another folder, or remove it")
    sizes: dict[str, int] = known.get("sizes", {})
    missing = {path for path, size in sizes.items() if not (folder / path).is_file() or (folder / path).stat().st_size != size}
    drawn = 0
    if not sizes or missing:
        for path, content in _files(seed, frames, kinds, rotations, bad, missing or None):
            sizes[path] = len(content)
            drawn += _write(folder / path, content)
        drawn += _write(folder / LEDGER, json.dumps({"settings": settings, "sizes": sizes}, indent=1).encode())
    return _counts(frames, len(kinds), rotations, bad) | {"drawn": drawn}


def _check(settings: dict[str, object]) -> None:
    kinds, frames, rotations = settings["kinds"], settings["frames"], settings["rotations"]
    assert isinstance(kinds, list) and isinstance(frames, int) and isinstance(rotations, int)
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} is none of {', '.join(KINDS)}")
    if len(set(kinds)) < 2 or len(set(kinds)) < len(kinds):
        raise ValueError(f"kinds={kinds}: at least two, each once")
    if rotations < 2:
        raise ValueError(f"rotations={rotations}: at least 2, one of them for Test")
    if frames < 1:
        raise ValueError(f"frames={frames}: at least 1")


def _ledger(folder: Path) -> dict[str, dict[str, int]]:
    try:
        return dict(json.loads((folder / LEDGER).read_text()))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise ValueError(f"{folder / LEDGER} is no JSON: remove it, and the orchard is drawn again") from None


def _files(seed: int, frames: int, kinds: Sequence[str], rotations: int, bad: bool, only: set[str] | None) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of every file, or of those in `only`."""
    for kind in kinds:
        for rotation in range(rotations):
            for frame in range(frames):
                path = _path(kind, rotation, frame, rotations)
                if only is None or path in only:
                    yield path, picture(kind, rotation, frame, seed=seed, frames=frames)
    if bad:
        for path, content in _bad(seed, frames, kinds, rotations):
            if only is None or path in only:
                yield path, content


def _path(kind: str, rotation: int, frame: int, rotations: int) -> str:
    return f"{'Test' if rotation == rotations - 1 else 'Training'}/{kind}/r{rotation}_{frame}_100.jpg"


def picture(kind: str, rotation: int, frame: int, *, seed: int, frames: int) -> bytes:
    """One frame as a JPEG: the rotation has its own specimen, light and tilt, the frame its share of a full turn.

    The tilt sways once a turn, further in some rotations than in others: now the stalk shows, now the underside, as when
    Fruits-360 turns its fruit about a second axis.
    """
    random = np.random.default_rng([seed, rotation, list(KINDS).index(kind)])
    start, phase = random.uniform(0, 360, size=2)
    tilt, sway = random.uniform(0, 36), random.uniform(5, 45)
    angle = start + 360 * frame / frames
    tilt += sway * np.sin(np.radians(angle + phase))
    image = fruit(kind, angle=angle, tilt=tilt, seed=seed * 1000 + rotation)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _bad(seed: int, frames: int, kinds: Sequence[str], rotations: int) -> Iterator[tuple[str, bytes]]:
    """What a real landing zone has too. New frames are numbered from `frames` on, and lie half a step behind the first."""
    first, second = kinds[0], kinds[1]
    whole = picture(second, 0, 0, seed=seed, frames=frames)
    between = picture(second, 0, 1, seed=seed, frames=2 * frames) if frames > 1 else picture(second, 0, 1, seed=seed, frames=7)
    yield f"Training/{first}/r0_{frames + 1}_100.jpg", b""
    yield f"Training/{first}/r0_{frames + 2}_100.jpg", whole[: len(whole) // 2]
    yield f"Training/{second}/r0_{frames + 3}_100.jpg", b"<html><body>404 Not Found</body></html>\n"
    yield "notes.txt", b"Drawn by `python -m demo.orchard`: no photographs, no licence to mind.\n"
    yield "Training/.DS_Store", b"\0\0\0\1Bud1\0\0"
    # The leak: a training picture, byte for byte, among the test pictures.
    yield f"Test/{first}/copy_of_r0_0_100.jpg", picture(first, 0, 0, seed=seed, frames=frames)
    # The conflict: one picture under two labels.
    yield f"Training/{first}/r0_{frames}_100.jpg", between
    yield f"Training/{second}/r0_{frames}_100.jpg", between
    # The duplicate: one picture twice under the same label.
    yield f"Training/{second}/copy_of_r0_0_100.jpg", whole


def _counts(frames: int, kinds: int, rotations: int, bad: bool) -> dict[str, int]:
    test = kinds * frames + bad
    train = kinds * frames * (rotations - 1) - bad
    counts = {"rejected": 3 * bad, "ignored": 1 + 2 * bad, "duplicate": 2 * bad, "conflict": 2 * bad, "kept": train + test}
    return {"listed": sum(counts.values()), **counts, "train": train, "test": test}


def _write(path: Path, content: bytes) -> int:
    """1; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
    return 1


def main(words: Sequence[str] | None = None) -> int:
    """0, or 2 with one line on standard error for settings that do not do."""
    parser = argparse.ArgumentParser(prog="python -m demo.orchard", description="Draws the pictures that `make run` works on.")
    parser.add_argument("folder", type=Path, help="the landing folder; created where it is missing")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes")
    parser.add_argument("--frames", type=int, default=48, help="of each rotation")
    parser.add_argument("--rotations", type=int, default=2, help="specimens of each kind; the last is for Test")
    given = parser.parse_args(words)
    cv2.setNumThreads(1)
    try:
        counts = draw(given.folder, seed=given.seed, frames=given.frames, rotations=given.rotations)
    except ValueError as error:
        print(f"demo.orchard: {error}", file=sys.stderr)
        return 2
    print(f"{given.folder}: " + ", ".join(f"{number} {name}" for name, number in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
