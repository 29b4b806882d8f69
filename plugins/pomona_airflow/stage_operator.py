"""One task, one stage: knobs from the trigger form become the job's arguments, its outcome becomes the task's state."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, DownstreamTasksSkipped

from pomona.command import Place, arguments, run_key
from pomona.knobs import BadKnob, resolve
from pomona.stages import STAGES
from pomona_airflow.deployment import Deployment, NotReady
from pomona_airflow.links import OutcomeLink, ReportLink
from pomona_airflow.started_by import started_by


class StageOperator(BaseOperator):
    """Runs the stage of this name with the engine of the deployment.

    A task that another one needs passes nothing through XCom: places follow from the run's id, so that any task can be cleared.
    """

    ui_color = "#e8f4e5"

    def __init__(self, *, stage: str, **options: Any) -> None:
        declared = STAGES[stage]
        self.stage = stage
        self.engine: Any = None
        options.setdefault("task_id", stage)
        options.setdefault("execution_timeout", timedelta(minutes=declared.timeout_minutes))
        options.setdefault("doc_md", _doc(stage))
        super().__init__(do_xcom_push=False, **options)

    operator_extra_links = (OutcomeLink(), ReportLink())

    def execute(self, context: Any) -> None:
        """Runs the stage to its end.

        Raises
        ------
        AirflowFailException
            Bad knobs, bad input, or an engine that is not ready: nothing that a retry would mend.
        AirflowException
            A fault, or a job that left no outcome.
        DownstreamTasksSkipped
            When there is nothing new.
        """
        deployment = Deployment.from_environment()
        words = self.words(context["run_id"], context["params"], deployment, started_by=started_by(context["dag_run"]))
        run = run_key(context["run_id"])
        before = _outcome(deployment, run, self.stage)
        self.engine = importlib.import_module(f"pomona_airflow.engine_{deployment.engine}").Engine(deployment)
        try:
            code = self.engine.run(f"pomona-{deployment.name}-{self.stage}-{run}", words)
        except NotReady as error:
            raise AirflowFailException(f"{self.stage}: {error}") from None
        after = _outcome(deployment, run, self.stage)
        self._settle(code, None if after == before else after, context)

    def words(self, run_id: str, given: Mapping[str, Any], deployment: Deployment, *, started_by: str = "person") -> list[str]:
        """The arguments of `run_stage.py` for this stage of the run."""
        try:
            knobs = resolve(dict(given))
        except BadKnob as error:
            raise AirflowFailException(str(error)) from None
        place = Place(run_key(run_id), deployment.name, deployment.lake, deployment.landing, deployment.tracking, deployment.s3.text)
        return arguments(self.stage, place, knobs, started_by=started_by)

    def on_kill(self) -> None:
        """Ends the job with all its processes."""
        if self.engine is not None:
            self.engine.kill()

    def _settle(self, code: int, outcome: Mapping[str, Any] | None, context: Any) -> None:
        """Turns exit code and outcome into the task's state."""
        if outcome is None:
            line = f"{self.stage} ended with exit code {code} and left no outcome: its last lines stand above"
            raise AirflowFailException(line) if code == 2 else AirflowException(line)
        line = f"{self.stage}: {outcome['line']}"
        context["ti"].xcom_push(key="outcome", value=line)
        if outcome["status"] == "bad_input":
            raise AirflowFailException(line)
        if code or outcome["status"] == "fault":
            raise AirflowException(line)
        self.log.info("%s: %s", outcome["status"].replace("_", " "), line)
        if outcome["status"] == "nothing_new" and not STAGES[self.stage].reads:
            self.log.info("all later stages are skipped")
            raise DownstreamTasksSkipped(tasks=sorted(self.get_flat_relative_ids(upstream=False)))  # type: ignore[no-untyped-call]


def _outcome(deployment: Deployment, run: str, stage: str) -> dict[str, Any] | None:
    from pomona.lake import Lake
    from pomona.outcome import BadInput

    try:
        return Lake(deployment.lake, deployment.name, deployment.s3).outcome(run, stage)
    except BadInput as fault:
        raise AirflowFailException(f"{stage}: {fault}") from None


def _doc(stage: str) -> str:
    """The task's page: what the stage does, reads and writes, and the knobs it obeys."""
    declared = STAGES[stage]
    rows = {
        "Reads": ", ".join(declared.reads) or "the landing zone",
        "Writes": ", ".join(declared.writes),
        "Knobs": ", ".join(declared.knobs) or "none",
    }
    return f"**{stage}** {declared.help}.\n\n" + "\n".join(f"- {name}: {text}" for name, text in rows.items())
