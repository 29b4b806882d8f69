"""A stage of a finished run once more, and its plain loop, by turns and on one core: what slows the machine for a while slows both."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.loops import Loop, plain
from bench.measure import Row, in_turn, on_one_core
from bench.runs import Ran
from bench.stand import Stand
from pomona.lake import Lake

_TIMES = 3
# A lake of its own, so that ingest has everything to take in.
_EMPTY = "turn"


class Turn(NamedTuple):
    """CPU seconds of the stage's work, where its time went, and the loop."""

    cpu_s: float
    said: str
    loop: Loop


def turns(at: Stand, whole: Ran, stage: str, order: Mapping[str, Any], *, landing: Path, knobs: Mapping[str, Any]) -> list[Turn]:
    """Three times the loop with this order, then the stage of that run: `ingest` over an empty lake, another where the run left it."""
    rounds = in_turn(_TIMES, lambda: _loop(stage, order), lambda: _stage(at, whole, stage, landing, knobs))
    return [Turn(cpu_s, said, loop) for loop, (cpu_s, said) in rounds]


def against(what: str, found: Sequence[Turn], goal: float, *, same: str) -> Row:
    """The row of a stage's CPU from its first task on, and the loop's."""
    ratio = median(turn.cpu_s / turn.loop.cpu_s for turn in found)
    ours, theirs = median(turn.cpu_s for turn in found), median(turn.loop.cpu_s for turn in found)
    note = f"{ours:.1f} against {theirs:.1f} CPU seconds on one core, {len(found)} times in turn; {found[-1].said}{same}"
    return Row(what, f"{ratio:.2f} ×", f"≤ {goal} × its CPU", ratio <= goal, note)


def seconds(found: Sequence[Turn]) -> float:
    """The loop's wall time."""
    return median(turn.loop.seconds for turn in found)


def _loop(stage: str, order: Mapping[str, Any]) -> Loop:
    if target := order.get("target"):
        shutil.rmtree(target, ignore_errors=True)
    return plain(stage, order, held=on_one_core)


def _stage(at: Stand, whole: Ran, stage: str, landing: Path, knobs: Mapping[str, Any]) -> tuple[float, str]:
    name, run = (_EMPTY, "bench") if stage == "ingest" else (whole.lake.name, whole.run)
    again = Ran(run, at.stage(stage, name, landing, knobs, run=run, held=on_one_core, memory=False), Lake(str(at.lake), name))
    found = again.cpu_s(stage), again.spans[stage].said
    if name == _EMPTY:
        shutil.rmtree(at.lake / _EMPTY)
    return found
