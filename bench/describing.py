"""describe against a plain OpenCV loop, on the same images and with the same settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.measure import Row, Usage
from bench.stand import PROJECT, Stand, linked, pictures
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.vision.describe import HISTOGRAM_BINS

GOAL = 1.15
FEW = 3
# The plain loop is OpenCV's SIFT.
_KNOBS = {"preset": "fast"}


def measure(at: Stand) -> Iterable[Row]:
    """One row with the ratio, one with what Spark's start costs, which the ratio leaves out."""
    landing, name = pictures("fruits10", at)
    at.set_up()
    few = _few(landing, at.folder / "few")
    start = _described(at, "few", few)
    whole = _described(at, "all", landing)
    loop = _loop(at, "all", landing)
    loop_few = _loop(at, "few", few)
    work, plain = whole.cpu_s - start.cpu_s, loop["cpu_s"] - loop_few["cpu_s"]
    ratio = work / plain
    counts = (Lake(str(at.lake), "all").outcome("bench", "describe") or {})["counts"]
    note = f"{work:.1f} against {plain:.1f} CPU seconds"
    if counts["keypoints"] != loop["keypoints"]:
        note += f"; NOT THE SAME WORK: {counts['keypoints']:,.0f} keypoints against {loop['keypoints']:,.0f}"
    yield Row(f"describe against a plain OpenCV loop, {name}", f"{ratio:.2f} ×", f"≤ {GOAL} × its CPU", ratio <= GOAL, note)
    images = f"{counts['images']:,} images, {counts['keypoints']:,} keypoints"
    yield Row(
        "the same, Spark's start included",
        f"{whole.cpu_s / loop['cpu_s']:.2f} ×",
        note=f"the start costs {start.cpu_s:.1f} CPU seconds; {images}",
    )
    yield Row(
        "describe, wall",
        f"{whole.seconds:.1f} s",
        note=f"Spark's start included, on {len(os.sched_getaffinity(0))} cores; the loop alone {loop['cpu_s']:.1f} s",
    )


def _few(landing: Path, target: Path) -> Path:
    """A landing zone with three images of each label: what describing it costs is Spark's start."""
    for folder in sorted(path for path in landing.glob("*/*") if path.is_dir()):
        for file in sorted(folder.rglob("*.jpg"))[:FEW]:
            linked(file, target / file.relative_to(landing))
    return target


def _described(at: Stand, name: str, landing: Path) -> Usage:
    at.stage("ingest", name, landing, _KNOBS)
    return at.stage("describe", name, landing, _KNOBS)


def _loop(at: Stand, name: str, landing: Path) -> dict[str, float]:
    """The loop over the same images: those of the run's roster."""
    lake, knobs = Lake(str(at.lake), name), resolve(_KNOBS)
    paths = lake.read_rows(lake.files("bench", "roster"), ["path"])["path"].to_pylist()
    listing = at.folder / f"{name}.paths"
    listing.write_text("\n".join(str(landing / path) for path in paths))
    settings = [str(knobs[knob]) for knob in ("side_px", "max_keypoints", "contrast_threshold", "edge_threshold")]
    command = [sys.executable, "-m", "bench.plain_loop", str(listing), *settings, json.dumps(HISTOGRAM_BINS)]
    return dict(json.loads(subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout))
