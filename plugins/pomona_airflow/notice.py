"""The task behind `score` that tells when an episode of drift has begun: a look at the run's document of `health`, without Spark."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pomona.command import run_key
from pomona.outcome import BadInput
from pomona.stages import SCORE
from pomona_airflow.deployment import Deployment
from pomona_airflow.links import OutcomeLink

# What the listener of `run_note` looks for, to write it into the run's note.
TASK, NOTED = "notice", "noticed"


class Notice(BaseOperator):
    """Succeeds when a window of this run began an episode of drift, and its outlet tells whoever waits for that; else it is skipped."""

    ui_color = "#f4e5e5"
    operator_extra_links = (OutcomeLink(),)

    def __init__(self, *, drifted: Asset, **options: Any) -> None:
        options.setdefault("task_id", TASK)
        options.setdefault("doc_md", _DOC)
        options.setdefault("execution_timeout", timedelta(minutes=5))
        self.drifted = drifted
        super().__init__(do_xcom_push=False, outlets=[drifted], **options)

    def execute(self, context: Any) -> None:
        """Reads the document that the run's job has written.

        Raises
        ------
        AirflowSkipException
            When no episode began.
        AirflowFailException
            When the lake cannot be read, or the run has no document.
        """
        from pomona.monitoring import record

        document = self._document(run_key(context["run_id"]))
        if not record.began(document):
            raise AirflowSkipException(f"no drift has begun: {record.line(document) or 'no picture is new'}")
        words = record.words(document)
        self.log.info("%s", words)
        context["ti"].xcom_push(key=NOTED, value=words)
        context["outlet_events"][self.drifted].extra = {"payload": {"started_by": f"drift: {record.first_symptom(document)}"}}

    def _document(self, run: str) -> dict[str, Any]:
        from pomona.lake import Lake
        from pomona.monitoring import record

        deployment = Deployment.from_environment()
        lake = Lake(deployment.lake, deployment.name, deployment.s3)
        try:
            document = record.numbered(lake, lake.manifest(run, SCORE.name)["notes"].get("health"))
        except BadInput as fault:
            raise AirflowFailException(f"{self.task_id}: {fault}") from None
        if document is None:
            raise AirflowFailException(f"{self.task_id}: run {run} has no document of {record.RECORD}: clear its task {SCORE.name}")
        return document


_DOC = """**notice** says when new pictures no longer look as those of training did.

- It is skipped while nothing has begun. An episode begins with the second alarm among three windows of pictures.
- Its log and the run's note give verdict and symptoms: darker, blurrier, warmer light, other labels, pictures that cannot be read.
- It changes the asset `drift_<name>`, which starts a run of `retrain` where POMONA_DRIFT_RETRAIN is true."""
