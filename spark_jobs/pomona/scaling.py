"""Whether more machines would help: what a stage's tasks say about twice the cores, in figures and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

# Of 2 that are possible. A published prototype's extraction of descriptors reached 0.996 on twice the nodes.
_SCALES, _SCALES_IN_PART = 1.5, 1.2
STRAGGLER = 1.5


@dataclass(frozen=True)
class Scaling:
    """One stage.

    Attributes
    ----------
    busy : cores that worked, on average: CPU seconds by wall seconds; it counts the JVM's and the driver's own work too
    skew : the longest task by the median one, of the heaviest stage in Spark's sense; None without tasks
    alone_s : seconds in which no task ran: the driver's own work, the start of the session among it
    twice : how many times as fast the stage would be on twice the cores, at best
    why : what holds it back; empty where it scales
    """

    stage: str
    seconds: float
    cores: int | None
    busy: float
    tasks: int
    skew: float | None
    alone_s: float
    twice: float
    why: str

    @property
    def words(self) -> str:
        """`scales`, or how little and what holds it back."""
        if self.twice >= _SCALES:
            return "scales"
        return f"{'scales in part' if self.twice >= _SCALES_IN_PART else 'does not scale'}: {self.why}"


def scaling(stage: str, effort: Mapping[str, Any]) -> Scaling:
    """What the part `effort` of the stage's outcome says.

    With twice the cores the tasks of a stage go in fewer rounds, but none faster than its longest; the driver goes on as before.
    """
    seconds, cores, tasks = float(effort["seconds"]), effort["cores"], int(effort["tasks"])
    spans = [(float(each["first_task"]), float(each["last_task"])) for each in effort["spark_stages"]]
    alone_s = max(0.0, seconds - covered_s(spans))
    saved = sum(_saved_s(each, cores) for each in effort["spark_stages"])
    median = effort["task_median_s"]
    found = Scaling(
        stage=stage,
        seconds=seconds,
        cores=cores,
        busy=effort["cpu_s"] / seconds if seconds else 0.0,
        tasks=tasks,
        skew=effort["task_max_s"] / median if median else None,
        alone_s=alone_s,
        twice=seconds / max(seconds / 2, seconds - saved) if seconds else 1.0,
        why="",
    )
    return found if found.twice >= _SCALES else replace(found, why=_reason(found, effort))


def covered_s(spans: Sequence[tuple[float, float]]) -> float:
    """The seconds that lie in at least one of the spans (start, end)."""
    total, until = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def headline(stages: Sequence[Scaling]) -> str:
    """What twice the cores would do for the whole run, and which stages it would leave as they are, in one or two sentences."""
    before = sum(stage.seconds for stage in stages)
    after = sum(stage.seconds / stage.twice for stage in stages)
    if not before:
        return ""
    told = f"On twice the cores the {before:,.0f} s of this run would be {after:,.0f} s: {before / after:.2f} × as fast, of 2 × possible."
    idle = [stage for stage in stages if stage.twice < _SCALES_IN_PART]
    if not idle:
        return f"{told} Every stage would gain."
    worst = max(idle, key=lambda stage: stage.seconds)
    share = sum(stage.seconds for stage in idle) / before
    named = ", ".join(stage.stage for stage in idle)
    return f"{told} Not scaling: {named}, {100 * share:.0f} % of the time. Of {worst.stage}, the longest of them: {worst.why}."


def _saved_s(each: Mapping[str, Any], cores: int) -> float:
    span, longest = float(each["last_task"] - each["first_task"]), float(each["task_max_s"])
    rounds, fewer = (math.ceil(int(each["tasks"]) / n) for n in (cores, 2 * cores))
    return max(0.0, span - max(longest, span * fewer / max(1, rounds)))


def _reason(found: Scaling, effort: Mapping[str, Any]) -> str:
    """What holds the stage back most: the driver's own time, or the heaviest tasks, that are too few or too uneven."""
    if not found.tasks:
        return "it works on the driver alone"
    heaviest = max(effort["spark_stages"], key=lambda each: float(each["task_s"]))
    span = float(heaviest["last_task"]) - float(heaviest["first_task"])
    lost_in_tasks = span / 2 - _saved_s(heaviest, found.cores or 1)
    if found.alone_s / 2 >= lost_in_tasks:
        return f"no task runs in {found.alone_s:,.1f} of its {found.seconds:,.1f} s"
    if found.skew and found.skew > STRAGGLER and float(heaviest["task_max_s"]) > span / 2:
        return f"its longest task takes {heaviest['task_max_s']:,.1f} s, {found.skew:.1f} × the median"
    return f"it has {heaviest['tasks']} tasks for {found.cores} cores"
