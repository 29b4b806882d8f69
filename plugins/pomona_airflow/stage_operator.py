"""One task, one stage: knobs from the trigger form become the job's arguments, its outcome becomes the task's state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout, DownstreamTasksSkipped, TaskDeferred

from pomona.command import arguments, run_key
from pomona.knobs import BadKnob, resolve
from pomona.outcome import BadInput
from pomona.stages import JOBS
from pomona_airflow.deployment import ON_AWS, Deployment, NotReady
from pomona_airflow.engines import engine_of
from pomona_airflow.links import JobLink, OutcomeLink, ReportLink
from pomona_airflow.remote import Errand, RemoteJob, job_name, not_ready
from pomona_airflow.started_by import started_by


class StageOperator(BaseOperator):
    """Runs the stage of this name with the engine of the deployment.

    A task that another one needs passes nothing through XCom: places follow from the run's id, so that any task can be cleared.
    """

    ui_color = "#e8f4e5"

    def __init__(self, *, stage: str, **options: Any) -> None:
        declared = JOBS[stage]
        self.stage = stage
        self.job_page = ""
        self._kill: Callable[[], None] | None = None
        options.setdefault("task_id", stage)
        options.setdefault("execution_timeout", timedelta(minutes=declared.timeout_minutes))
        options.setdefault("doc_md", _doc(stage))
        super().__init__(do_xcom_push=False, **options)

    operator_extra_links = (OutcomeLink(), ReportLink(), JobLink())

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
        TaskDeferred
            When the triggerer waits for a job on AWS.
        """
        deployment = Deployment.from_environment()
        with self._refusals():
            (self._on_aws if deployment.engine in ON_AWS else self._here)(deployment, context)

    def words(
        self, run_id: str, given: Mapping[str, Any], deployment: Deployment, *, started_by: str = "person", job: str = "", asked: int = 0
    ) -> list[str]:
        """The arguments of `run_stage.py` for this stage of the run."""
        try:
            knobs = resolve(dict(given))
        except BadKnob as error:
            raise AirflowFailException(str(error)) from None
        place = deployment.place(run_key(run_id))
        return arguments(
            self.stage, place, knobs, job=job, asked=asked, started_by=started_by, require_approval=deployment.require_approval
        )

    def on_kill(self) -> None:
        """Ends the job with all its processes, once."""
        kill, self._kill = self._kill, None
        if kill is not None:
            kill()

    def _here(self, deployment: Deployment, context: Any) -> None:
        """The job is this task's own child."""
        words = self.words(context["run_id"], context["params"], deployment, started_by=started_by(context["dag_run"]))
        run = run_key(context["run_id"])
        before = _outcome(deployment, run, self.stage)
        engine = engine_of(deployment)
        self._kill = engine.kill
        code = engine.run(f"pomona-{deployment.name}-{self.stage}-{run}", words)
        after = _outcome(deployment, run, self.stage)
        self._settle(code, None if after == before else after, context)

    def _on_aws(self, deployment: Deployment, context: Any) -> None:
        """The job is found by its name or submitted; whatever ends this task but a SIGKILL ends the job too."""
        errand = self._errand(deployment, context)
        if (left := errand.settled()) is not None:
            self.log.info("%s was done before this try began", errand.name)
            return self._settle(0, left, context)

        def words(asked: int) -> list[str]:
            cause = started_by(context["dag_run"])
            return self.words(context["run_id"], context["params"], deployment, started_by=cause, job=errand.name, asked=asked)

        words(0)  # Bad knobs are told before anything is asked of AWS.
        job = self._started(errand, words)
        self._kill = lambda: errand.end(job)
        try:
            self._show(errand, job)
            if deployment.deferrable and job.live:
                self.defer(trigger=self._trigger(errand, job), method_name="resume")
            ended = errand.wait(job)
        except TaskDeferred:
            raise
        except BaseException:
            self.on_kill()
            raise
        return self._finish(errand, ended, context)

    def resume(self, context: Any, event: Mapping[str, Any]) -> None:
        """What `execute` leaves to be done once the triggerer has seen the job end."""
        errand, job = self._errand(Deployment.from_environment(), context), RemoteJob(**event["job"])
        self._show(errand, job)
        if event["late"]:
            errand.end(job)
            raise AirflowTaskTimeout(f"{self.stage}: {job.id} has not ended within {self.execution_timeout}")
        with self._refusals():
            errand.tell(event["told"])
            self._finish(errand, job, context)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Whatever no retry mends ends the task at once, in its own line."""
        try:
            yield
        except (NotReady, BadInput) as fault:
            raise AirflowFailException(f"{self.stage}: {fault}") from None

    def _errand(self, deployment: Deployment, context: Any) -> Errand:
        """The errand under the name that every try of this task has until somebody clears it."""
        ti, dag_run, run = context["ti"], context["dag_run"], run_key(context["run_id"])
        clears = ti.max_tries - (self.retries or 0)
        # `airflow dags test` makes the run of a date anew and counts from the start again.
        anew = ti.id if dag_run.triggering_user_name == "dag_test" else ""
        name = job_name(deployment, self.stage, run, dag_run.start_date, clears, anew)
        return Errand(engine_of(deployment), run, self.stage, name, ti.try_number)

    def _started(self, errand: Errand, words: Callable[[int], list[str]]) -> RemoteJob:
        try:
            return errand.start(words)
        except Exception as error:
            refusal = not_ready(error, f"{errand.engine.deployment.engine} refuses the job")
            if refusal is not None:
                raise refusal from None
            raise

    def _trigger(self, errand: Errand, job: RemoteJob) -> Any:
        from pomona_airflow.job_trigger import JobTrigger

        deadline = datetime.now(UTC) + (self.execution_timeout or timedelta(hours=12))
        return JobTrigger(job=asdict(job), run=errand.run, stage=self.stage, deadline=deadline.isoformat())

    def _show(self, errand: Errand, job: RemoteJob) -> None:
        for what, address in errand.pages(job).items():
            self.job_page = self.job_page or address
            self.log.info("%s: %s", what, address)

    def _finish(self, errand: Errand, job: RemoteJob, context: Any) -> None:
        self._kill = None
        self._settle(0 if job.state == "succeeded" else 1, errand.closed(job), context)

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
        if outcome["status"] == "nothing_new" and not JOBS[self.stage].reads:
            self.log.info("all later stages are skipped")
            # What tears a cluster down is no stage: it runs all the same.
            later = sorted(task.task_id for task in self.get_flat_relatives() if not task.is_teardown)
            raise DownstreamTasksSkipped(tasks=later)  # type: ignore[no-untyped-call]


def _outcome(deployment: Deployment, run: str, stage: str) -> dict[str, Any] | None:
    from pomona.lake import Lake

    return Lake(deployment.lake, deployment.name, deployment.s3).outcome(run, stage)


def _doc(stage: str) -> str:
    """The task's page: what the stage does, reads and writes, and the knobs it obeys."""
    declared = JOBS[stage]
    rows = {
        "Reads": ", ".join(declared.reads) or "the landing zone",
        "Writes": ", ".join(declared.writes),
        "Knobs": ", ".join(declared.knobs) or "none",
    }
    return f"**{stage}** {declared.help}.\n\n" + "\n".join(f"- {name}: {text}" for name, text in rows.items())
