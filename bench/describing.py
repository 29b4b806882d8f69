"""describe on one core against a plain loop, and on two against one: by turns over the same images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.loops import Loop, Orders, plain
from bench.measure import Row, in_turn
from bench.runs import Ran, differing
from bench.stand import Stand, linked
from pomona.knobs import resolve
from pomona.lake import Lake

_FAST = {"preset": "fast"}
_TIMES, _EVERY = 3, 4
_GOAL, _GOAL_FASTER = 1.08, 1.7


class Described(NamedTuple):
    """One describe: CPU seconds of its work, and wall seconds from its first task to its last."""

    cpu_s: float
    tasks_s: float
    keypoints: int
    said: str


def measure(at: Stand, files: Sequence[Path], source: Path) -> Iterator[Row]:
    """Every fourth picture: the plain loop, describe on one core, describe on two, and all of that three times."""
    landing, lake = at.folder / "quarter", Lake(str(at.lake), "quarter")
    pictures = [linked(path, landing / path.relative_to(source)) for path in files[::_EVERY]]
    at.stage("ingest", "quarter", landing, _FAST)
    orders = Orders(lake, "bench", landing, resolve(_FAST), at.folder / "plain-quarter")
    rounds = in_turn(_TIMES, lambda: _loop(orders), lambda: described(at, lake, landing, 1), lambda: described(at, lake, landing, 2))
    yield from rows([loop for loop, _, _ in rounds], [one for _, one, _ in rounds], [two for _, _, two in rounds], len(pictures))


def rows(loops: Sequence[Loop], one: Sequence[Described], two: Sequence[Described], n_pictures: int) -> Iterator[Row]:
    """The rows of what was found, round by round."""
    ratio = median(ours.cpu_s / loop.cpu_s for ours, loop in zip(one, loops, strict=True))
    ours_s, theirs_s = median(ours.cpu_s for ours in one), median(loop.cpu_s for loop in loops)
    note = f"{ours_s:.1f} against {theirs_s:.1f} CPU seconds on one core, {n_pictures:,} images, {len(loops)} times in turn; {one[-1].said}"
    note += differing({"keypoints": (one[-1].keypoints, loops[-1].found["keypoints"])})
    yield Row("describe against a plain loop", f"{ratio:.2f} ×", f"≤ {_GOAL} × its CPU", ratio <= _GOAL, note)
    faster, enough = median(a.tasks_s / b.tasks_s for a, b in zip(one, two, strict=True)), len(os.sched_getaffinity(0)) > 1
    note = f"{median(each.tasks_s for each in one):.1f} s on one core, {median(each.tasks_s for each in two):.1f} s on two, " + (
        f"{len(one)} times in turn" if enough else "of which this machine has one"
    )
    what = "describe on two cores, first to last task"
    yield Row(what, f"{faster:.2f} × faster", f"≥ {_GOAL_FASTER} ×", faster >= _GOAL_FASTER if enough else None, note)


def _loop(orders: Orders) -> Loop:
    order = orders.describe()
    shutil.rmtree(order["target"], ignore_errors=True)
    return plain("describe", order)


def described(at: Stand, lake: Lake, landing: Path, cores: int) -> Described:
    """One describe of all images on so many cores; what it wrote is gone afterwards.

    Raises
    ------
    RuntimeError
        When its outcome does not tell its first and last task.
    """
    usage = at.stage("describe", "quarter", landing, _FAST, cores=str(cores), memory=False)
    done = Ran("bench", usage, lake)
    found = done.spans["describe"]
    if found.first_task is None or found.last_task is None:
        raise RuntimeError("the outcome of describe does not tell its first and last task")
    shutil.rmtree(lake.location("parts/descriptors"))
    keypoints = (lake.outcome("bench", "describe") or {})["counts"]["keypoints"]
    return Described(done.cpu_s("describe"), found.last_task - found.first_task, keypoints, found.said)
