"""One run of the DAG as `make run` does it after its set-up, and what of each stage's time is work and what is its start."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Usage, used
from bench.stand import Stand
from pomona.lake import Lake
from pomona.stages import STAGES
from pomona_airflow.deployment import Deployment
from run.airflow_home import AirflowHome
from run.chain import prepare, run

# train fits the model before it asks Spark for its folds' descriptors, evaluate scores it before it asks the champion.
_FROM_FIRST_LINE = ("train", "evaluate")


@dataclass(frozen=True)
class Span:
    """A stage's time, in epoch seconds: its first line, its first and last Spark task (None without Spark), its outcome."""

    began: float
    first_task: float | None
    last_task: float | None
    ended: float

    @property
    def work_from(self) -> float:
        """Where its start ends: at the first task; at the first line where it works before or without Spark."""
        return self.began if self.first_task is None else self.first_task

    @property
    def seconds(self) -> float:
        """Its time without its start."""
        return self.ended - self.work_from

    @property
    def said(self) -> str:
        """Where its time goes, in words."""
        if self.first_task is None or self.last_task is None:
            return f"{self.ended - self.began:.1f} s from its first line"
        return (
            f"{self.first_task - self.began:.1f} s from its first line to the first task, {self.last_task - self.first_task:.1f} s to the "
            f"last task, {self.ended - self.last_task:.1f} s behind it"
        )


@dataclass(frozen=True)
class Ran:
    """One run: its key, what it used, its lake."""

    run: str
    usage: Usage
    lake: Lake

    @property
    def summary(self) -> Mapping[str, Any]:
        return self.lake.document(f"runs/{self.run}/summary.json") or {}

    @property
    def spans(self) -> dict[str, Span]:
        return {stage: found for stage in STAGES if (found := span(self.lake, self.run, stage))}

    def cpu_s(self, stage: str) -> float:
        """CPU seconds of the whole tree while the stage worked."""
        found = self.spans[stage]
        return self.usage.cpu_until(found.ended) - self.usage.cpu_until(found.work_from)


def span(lake: Lake, run: str, stage: str) -> Span | None:
    """The stage's time from its outcome; None when it has none. The file's own time is finer than the `ended` in it."""
    outcome = lake.outcome(run, stage)
    if outcome is None:
        return None
    ended = Path(lake.location(f"runs/{run}/outcomes/{stage}.json")).stat().st_mtime
    effort = outcome.get("effort") or {}
    began = ended - outcome["seconds"]
    tasks = (None, None) if stage in _FROM_FIRST_LINE else (effort.get("first_task"), effort.get("last_task"))
    return Span(began, *tasks, ended)


def ran(at: Stand, name: str, landing: Path, knobs: Mapping[str, Any]) -> Ran:
    """One run over the landing zone, after a set-up that does not count; its lines go to the terminal's error stream.

    Raises
    ------
    RuntimeError
        When it fails.
    """
    at.set_up()
    deployment = Deployment.from_environment(at.settings(name, landing))
    home = AirflowHome.of(at.state / "run" / name, deployment, logging__json_logs="True")
    lake = Lake(str(at.lake), name)
    before = set(lake.folders("runs"))
    with contextlib.redirect_stdout(sys.stderr):
        prepare(home, deployment, demo=False)
        with used() as usage:
            code = run(home, deployment, knobs)
    new = sorted(set(lake.folders("runs")) - before)
    if code or len(new) != 1:
        raise RuntimeError(f"the chain over {landing} with {dict(knobs)} ended with {code} and {len(new)} runs")
    return Ran(new[0], usage, lake)


def differing(pairs: Mapping[str, tuple[float, float]], *, within: float = 0.0) -> str:
    """Words for the note where ours and the loop's counts are not the same; empty where they are."""
    unlike = [f"{what} {ours:,.6g} against {theirs:,.6g}" for what, (ours, theirs) in pairs.items() if abs(ours - theirs) > within * ours]
    return f"; NOT THE SAME WORK: {', '.join(unlike)}" if unlike else ""
