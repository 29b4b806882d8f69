"""The DAG `rollback` and the question before a promotion: what the graph is, and the commands that the job accepts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from pomona import approval
from pomona.command import Place, parse
from pomona.lake import Lake
from pomona.stages import STAGES
from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.rollback_operator import RollbackOperator
from pomona_airflow.settings.checks import BadSetting

FOLDER = PROJECT / "dags"
RUN = "manual__2026-01-02T03-04-05-00-00"
ON_EMR = {
    "POMONA_ENGINE": "emr",
    "POMONA_LANDING": "s3://bucket/in",
    "POMONA_LAKE": "s3://bucket/lake",
    "POMONA_TRACKING": "http://mlflow:5000",
}


def dags(monkeypatch: pytest.MonkeyPatch, **settings: str) -> dict[str, DAG]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bag = DagBag(str(FOLDER))
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> RollbackOperator:
    found = dags(monkeypatch)["rollback"].task_dict["rollback"]
    assert isinstance(found, RollbackOperator)
    return found


PLACES = Deployment.from_environment({"POMONA_NAME": "fruit", "POMONA_LANDING": "s3://bucket/in", "POMONA_LAKE": "s3://bucket/lake"})


def test_the_command_of_a_rollback_is_the_golden_one_and_the_jobs_parser_takes_it(task: RollbackOperator) -> None:
    given = {"version": 3, "reason": " --lemons are 'limes' ", "release": False}
    words = task.words("manual__2026-01-02T03:04:05+00:00", given, PLACES, started_by="person (ann)")
    assert words == [
        *("rollback", "--run", RUN, "--name", "fruit", "--lake", "s3://bucket/lake", "--landing", "s3://bucket/in"),
        *("--tracking", PLACES.tracking, "--s3", "{}", "--version=3", "--reason=--lemons are 'limes'", "--started-by=person (ann)"),
    ]
    order = parse(words)
    assert (order.place, order.version, order.release) == (
        Place(RUN, "fruit", "s3://bucket/lake", "s3://bucket/in", PLACES.tracking),
        3,
        False,
    )
    assert (order.reason, order.started_by) == ("--lemons are 'limes'", "person (ann)")


def test_a_release_needs_no_reason_and_a_rollback_does(task: RollbackOperator) -> None:
    given = {"version": 0, "reason": None, "release": True}
    assert parse(task.words(RUN, given, PLACES)).release
    with pytest.raises(AirflowFailException, match="reason is empty: say why"):
        task.words(RUN, {**given, "release": False}, PLACES)


def test_on_emr_a_rollback_has_its_own_cluster_without_a_look_at_the_landing_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = dags(monkeypatch, **ON_EMR)
    rollback = found["rollback"].task_dict
    assert set(rollback) == {"create_cluster", "rollback", "terminate_cluster"}
    assert rollback["rollback"].upstream_task_ids == {"create_cluster"}
    assert rollback["terminate_cluster"].upstream_task_ids == {"create_cluster", "rollback"}
    made, of_chain = rollback["create_cluster"], found["retrain"].task_dict["create_cluster"]
    assert (made.job, of_chain.job) == ("rollback", "ingest")
    assert ("landing zone" in made.doc_md, "landing zone" in of_chain.doc_md) == (False, True)


def test_where_nobody_is_to_be_asked_the_graph_is_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = dags(monkeypatch)["retrain"].task_dict
    assert set(chain) == set(STAGES)
    assert chain["register"].trigger_rule == "all_success"


def test_where_approval_is_required_the_question_stands_between_verdict_and_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = dags(monkeypatch, POMONA_REQUIRE_APPROVAL="true", POMONA_APPROVAL_HOURS="5")["retrain"].task_dict
    assert set(chain) == {*STAGES, "approve"}
    asked = chain["approve"]
    assert (asked.upstream_task_ids, asked.downstream_task_ids) == ({"evaluate"}, {"register"})
    assert chain["register"].upstream_task_ids == {"evaluate", "approve"}
    # A question that is skipped, for the verdict keeps, must not skip the registration of the version.
    assert chain["register"].trigger_rule == "none_failed_min_one_success"
    assert (asked.owner, asked.retries, asked.response_timeout.total_seconds()) == ("pomona", 1, 5 * 3600)
    assert asked.doc_md and not asked.do_xcom_push


@pytest.mark.parametrize(("said", "asked"), [("true", True), ("false", False), ("", False)])
def test_register_is_told_to_require_an_answer_exactly_where_the_deployment_does(
    monkeypatch: pytest.MonkeyPatch, said: str, asked: bool
) -> None:
    chain = dags(monkeypatch, POMONA_REQUIRE_APPROVAL=said)["retrain"].task_dict
    words = {stage: chain[stage].words(RUN, {}, Deployment.from_environment()) for stage in STAGES}  # type: ignore[attr-defined]
    assert [stage for stage, given in words.items() if "--require-approval" in given] == (["register"] if asked else [])
    assert parse(words["register"]).require_approval is asked


def test_a_cluster_of_the_runs_own_waits_for_nobody() -> None:
    required = {**ON_EMR, "POMONA_REQUIRE_APPROVAL": "true"}
    with pytest.raises(BadSetting, match="POMONA_REQUIRE_APPROVAL='true' would keep a run's own cluster waiting for a person"):
        Deployment.from_environment(required)
    assert Deployment.from_environment({**required, "POMONA_EMR_CLUSTER": "j-1"}).require_approval


class Task:
    """The task `approve` of the DAG over a lake whose run has a verdict."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, decision: str) -> None:
        settings = {"POMONA_LAKE": str(folder), "POMONA_NAME": "fruit", "POMONA_REQUIRE_APPROVAL": "true"}
        self.operator: Any = dags(monkeypatch, **settings)["retrain"].task_dict["approve"]
        self.lake = Lake(str(folder), "fruit").open()
        document = {"decision": decision, "reason": "worse on lemons", "words": "It is better.", "champion": 2}
        rest: dict[str, Any] = {"rule": "", "checks": [], "figures": {}, "per_class": [], "baselines": {}, "examples": {}}
        file = self.lake.write_document(f"runs/{RUN}/verdict", "verdict", {**document, **rest})
        self.lake.write_manifest(RUN, "evaluate", {"metrics": [], "predictions": [], "verdict": [file]})

    def context(self, user: str = "ann") -> dict[str, Any]:
        return {"run_id": RUN, "dag_run": SimpleNamespace(triggering_user_name=user)}

    def answered(self, chosen: str, user: dict[str, str] | None) -> approval.Answer | None:
        self.operator.execute_complete(self.context(), {"chosen_options": [chosen], "params_input": {}, "responded_by_user": user})
        return approval.answer_of(self.lake, RUN)


def test_nobody_is_asked_about_a_verdict_that_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = Task(monkeypatch, tmp_path, "keep")
    with pytest.raises(AirflowSkipException, match="nobody is asked: worse on lemons"):
        task.operator.execute(task.context())
    assert approval.answer_of(task.lake, RUN) is None


def test_nobody_can_be_asked_in_a_run_of_dags_test_and_that_is_written_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = Task(monkeypatch, tmp_path, "promote")
    with pytest.raises(AirflowSkipException, match="nobody can be asked in a run of `make run` or `airflow dags test`"):
        task.operator.execute(task.context("dag_test"))
    answer = approval.answer_of(task.lake, RUN)
    assert answer is not None and not answer.approved and not answer.given


def test_yes_no_and_silence_reach_the_lake_with_who_said_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = Task(monkeypatch, tmp_path, "promote")
    yes = task.answered("Approve", {"id": "1", "name": "ann"})
    assert yes is not None and yes.approved and yes.line.startswith("approved by ann on 20")
    no = task.answered("Reject", {"id": "1", "name": "bob"})
    assert no is not None and not no.approved and no.line.startswith("not approved by bob on 20")
    task.operator.execute_complete(task.context(), {"error": "late", "error_type": "timeout"})
    silence = approval.answer_of(task.lake, RUN)
    assert silence is not None and not silence.given and silence.line.startswith("not approved, for nobody has answered by 20")
    assert json.loads((tmp_path / "fruit" / "runs" / RUN / "approval.json").read_text())["answer"] == "unanswered"


def test_an_answer_that_was_never_offered_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = Task(monkeypatch, tmp_path, "promote")
    with pytest.raises(ValueError, match="Perhaps"):
        task.answered("Perhaps", None)
    assert approval.answer_of(task.lake, RUN) is None
