"""The task that asks a person before a better model becomes champion. Its answer goes through the lake, where `register` reads it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pomona.command import run_key
from pomona.outcome import BadInput
from pomona.stages import STAGES
from pomona_airflow.deployment import Deployment
from pomona_airflow.links import OutcomeLink

if TYPE_CHECKING:
    from pomona.lake import Lake

APPROVE, REJECT = "Approve", "Reject"


def before_register(tasks: dict[str, Any], deployment: Deployment) -> None:
    """Puts the question between the verdict and its registration, which goes on whether somebody was asked or not."""
    judged = next(stage.name for stage in STAGES.values() if "verdict" in stage.writes)
    register = tasks["register"]
    register.trigger_rule = "none_failed_min_one_success"
    tasks[judged] >> Approval(hours=deployment.approval_hours) >> register


class Approval(HITLOperator):
    """Asks whether the model of the run may become champion, if its verdict says *promote*; skipped if not.

    Not the provider's ApprovalOperator: a refusal there skips what comes next, while a refused model is registered all the same. And
    no branch before it: that one would tell it by XCom whether to ask.
    """

    ui_color = "#f4efe5"
    operator_extra_links = (OutcomeLink(),)

    def __init__(self, *, hours: int, **options: Any) -> None:
        options.setdefault("task_id", "approve")
        options.setdefault("doc_md", _DOC)
        self.hours = hours
        # The wait is bounded by `response_timeout`; a bound on the execution would become it, with a warning.
        super().__init__(
            subject="Shall this model become champion?",
            options=[APPROVE, REJECT],
            response_timeout=timedelta(hours=hours),
            do_xcom_push=False,
            **options,
        )

    def execute(self, context: Any) -> None:
        """Asks, and leaves the task waiting without a worker.

        Raises
        ------
        AirflowSkipException
            When there is nothing to ask, or nobody to be asked.
        TaskAwaitingInput
            Airflow's own: the question stands among the required actions.
        """
        from pomona import approval

        lake, run = _lake(), run_key(context["run_id"])
        try:
            verdict = approval.verdict_of(lake, run)
        except BadInput as fault:
            raise AirflowFailException(f"{self.task_id}: {fault}") from None
        if verdict["decision"] != "promote":
            raise AirflowSkipException(f"nobody is asked: {verdict['reason']}")
        if context["dag_run"].triggering_user_name == "dag_test":
            # `airflow dags test` waits in its own process for an answer that it cannot get, deaf to SIGTERM.
            raise AirflowSkipException(approval.keep(lake, run, "unasked").line)
        champion = verdict["champion"]
        self.subject = f"Shall the model of run {run} become champion{f' in place of version {champion}' if champion else ''}?"
        self.body = f"{verdict['words']}\n\nWithout an answer within {self.hours} hours the champion stays."
        self.log.info("%s", self.subject)
        super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:
        """Writes the answer into the lake."""
        from pomona import approval

        lake, run = _lake(), run_key(context["run_id"])
        if "error" in event:
            if event["error_type"] != "timeout":
                self.process_trigger_event_error(event)
            self.log.info("%s", approval.keep(lake, run, "unanswered").line)
            return
        (chosen,) = event["chosen_options"]
        self.validate_chosen_options([chosen])
        user = event["responded_by_user"] or {}
        given = approval.keep(lake, run, "approved" if chosen == APPROVE else "rejected", by=str(user.get("name") or user.get("id") or ""))
        self.log.info("%s", given.line)


def _lake() -> Lake:
    from pomona.lake import Lake

    deployment = Deployment.from_environment()
    return Lake(deployment.lake, deployment.name, deployment.s3)


_DOC = """**approve** asks a person whether the better model may become champion: under *Required Actions* of the run.

- It is skipped when the verdict keeps the champion, and in a run of `airflow dags test`, where nobody can be asked: the champion stays.
- *Reject* keeps the champion; the model is registered as a version all the same.
- Without an answer in POMONA_APPROVAL_HOURS the champion stays, and the next run that finds a better model asks again."""
