"""What the scenes of `make demo` do and ask for: parcels that arrive, runs that are waited for, commands as `make` gives them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pomona.command import run_key
from pomona.stages import STAGES
from pomona_airflow.deployment import PROJECT, Deployment
from run.rest import Rest
from run.screen import Failed, Screen

if TYPE_CHECKING:
    from pomona.lake import Lake

# A machine that is busy with something else takes many times the minute of one that is not.
START_S, RUN_S, COMMAND_S = 300.0, 1800.0, 300.0
ANNOTATOR = "demo"
# Airflow's words for what started a run.
ARRIVAL, PERSON = "asset_triggered", "manual"
Run = dict[str, Any]
"""A run of a DAG, as Airflow's API tells of it."""


@dataclass(frozen=True)
class Life:
    """A model's life: where it takes place, and where it is shown.

    `drawn` holds the parcels that have not arrived yet, `logs` those of Airflow's tasks, `services` those of its services.
    """

    deployment: Deployment
    airflow: Rest
    screen: Screen
    drawn: Path
    logs: Path
    services: Path

    @cached_property
    def lake(self) -> Lake:
        from pomona.lake import Lake

        return Lake(self.deployment.lake, self.deployment.name, self.deployment.s3)

    @cached_property
    def truth(self) -> dict[str, Any]:
        """What was drawn: `sixth`, the kind that is kept back; `known`, the others; `trays`, the kind on each."""
        return dict(json.loads((self.drawn / "truth.json").read_text()))

    def pictures(self, parcel: str) -> int:
        """How many there are in a parcel that has not arrived."""
        return sum(path.is_file() for path in (self.drawn / parcel).rglob("*"))

    def run_of(self, dag: str, number: int, started: str = ARRIVAL) -> Run:
        """The DAG's run of this number (the first is 1) among those that were started so, once it has succeeded.

        Raises
        ------
        Failed
            When it does not come, does not end, or fails; the text names the stage and what to read.
        """
        self.screen.until(_patient(lambda: self._run(dag, number, started)), limit_s=START_S, log=self.services)
        run = self.screen.until(_patient(lambda: self._ended(dag, number, started)), limit_s=RUN_S, log=self.logs)
        if run["state"] != "success":
            raise Failed(self._fault(dag, run))
        return run

    def _run(self, dag: str, number: int, started: str) -> Run | str:
        runs = [run for run in self.airflow.runs(dag) if run["run_type"] == started]
        return runs[number - 1] if len(runs) >= number else f"{dag}: no run yet"

    def _ended(self, dag: str, number: int, started: str) -> Run | str:
        run = self._run(dag, number, started)
        if isinstance(run, str) or run["state"] in ("success", "failed"):
            return run
        states = self.airflow.tasks(dag, run["dag_run_id"])
        done = sum(state in ("success", "skipped") for state in states.values())
        named = {"running": "", "up_for_retry": " failed and is tried again"}
        at_work = next((f"{task}{named[state]}" for task, state in states.items() if state in named), "")
        return f"{dag}: {at_work} ({done} of {len(states)} tasks done)" if at_work else f"{dag}: the next task starts"

    def _fault(self, dag: str, run: Run) -> str:
        key, folder = run_key(run["dag_run_id"]), self.logs / f"dag_id={dag}" / f"run_id={run['dag_run_id']}"
        for stage in STAGES if dag == "retrain" else (dag,):
            outcome = self.lake.outcome(key, stage)
            if outcome is None or outcome["status"] in ("bad_input", "fault"):
                return f"{stage} failed: {outcome['line'] if outcome else 'it left no outcome'}; see {folder}"
        return f"the run {run['dag_run_id']} of {dag} failed: see {folder}"

    def summary(self, run: Run) -> dict[str, Any]:
        """The run's `summary.json`.

        Raises
        ------
        Failed
            When it found nothing new, and so has none.
        """
        key = run_key(run["dag_run_id"])
        found = self.lake.document(f"runs/{key}/summary.json")
        if found is None:
            raise Failed(f"the run {key} made no model: {(self.lake.outcome(key, 'ingest') or {}).get('line', 'it left no outcome')}")
        return found

    def check(self, run: Run, name: str) -> str:
        """What the gate says by its check of this name; empty when the verdict did not ask it."""
        (file,) = self.lake.files(run_key(run["dag_run_id"]), "verdict")
        checks = json.loads(self.lake.get(file.path))["checks"]
        return next((str(check["line"]) for check in checks if check["check"] == name), "")

    def scored(self, run: Run) -> list[dict[str, str]]:
        """The rows of `scored.csv`, as the run of `score` wrote it."""
        return list(csv.DictReader(io.StringIO(Path(self.csv_of(run)).read_text(encoding="utf-8"), newline="")))

    def csv_of(self, run: Run) -> str:
        """Where that file lies."""
        return self.lake.location(f"runs/{run_key(run['dag_run_id'])}/scored.csv")

    def make(self, target: str, module: str, *words: str) -> None:
        """Runs what `make TARGET` runs, and shows the command and the last line that it prints.

        Raises
        ------
        Failed
            When it does not end with 0.
        """
        self.screen.say(f"$ make {target}", indent="     ", hanging="       ")
        log = self.deployment.state / f"make-{target.split()[0]}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

        def ended() -> int | str:
            return f"make {target} is at work" if process.poll() is None else process.returncode

        try:
            code = self.screen.until(ended, limit_s=COMMAND_S, log=log, silent=True)
        finally:
            process.kill()
            said = process.communicate()[0]
        if code:
            raise Failed(f"make {target} ended with {code}: {_last_line(log.read_text(errors='replace'))}")
        self.screen.say(_last_line(said), indent="       ", hanging="       ")


def deliver(parcel: Path, to: Path) -> int:
    """How many files of the parcel now lie below `to`, each moved there whole."""
    files = [path for path in sorted(parcel.rglob("*")) if path.is_file()]
    for file in files:
        place = to / file.relative_to(parcel)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
    return len(files)


def answered(queue: str, kind_of: Callable[[str], str], *, columns: Sequence[str], at: str) -> tuple[str, list[str]]:
    """The CSV that the labelling page would save for somebody who answers everything, and the answers.

    Parameters
    ----------
    queue : `queue.csv`
    kind_of : what the picture of a path shows
    columns : of the CSV
    at : the time, ISO 8601
    """
    out = io.StringIO(newline="")
    rows = csv.DictWriter(out, columns, extrasaction="ignore")
    rows.writeheader()
    labels = []
    for question in csv.DictReader(io.StringIO(queue, newline="")):
        label = kind_of(question["path"])
        rows.writerow({**question, "label": label, "annotator": ANNOTATOR, "at": at, "note": ""})
        labels.append(label)
    return out.getvalue(), labels


def _patient(look: Callable[[], Run | str]) -> Callable[[], Run | str]:
    """The same look, which takes an Airflow that does not answer for one that will."""

    def patient() -> Run | str:
        try:
            return look()
        except OSError as error:
            return f"Airflow does not answer ({error})"

    return patient


def _last_line(text: str) -> str:
    return (text.strip() or "it said nothing").splitlines()[-1]
