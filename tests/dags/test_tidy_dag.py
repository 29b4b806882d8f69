"""The DAG `tidy`: its schedule, its form, and the command that the job accepts."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from pomona.command import Place, parse
from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.settings.checks import BadSetting
from pomona_airflow.tidy_operator import TidyOperator

RUN = "scheduled__2026-01-04T04-00-00-00-00"
PLACES = {"POMONA_NAME": "fruit", "POMONA_LANDING": "s3://bucket/in", "POMONA_LAKE": "s3://bucket/lake", "POMONA_STATE": "/state"}


def tidy(monkeypatch: pytest.MonkeyPatch, **settings: str) -> DAG:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bag = DagBag(str(PROJECT / "dags"))
    assert bag.import_errors == {}
    return bag.dags["tidy"]


def test_it_runs_on_sundays_unless_the_deployment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = tidy(monkeypatch)
    assert dag.timetable.expression == "0 4 * * 0"  # type: ignore[attr-defined]
    assert (dag.is_paused_upon_creation, dag.catchup, dag.max_active_runs) == (True, False, 1)
    assert tidy(monkeypatch, POMONA_TIDY_SCHEDULE="30 2 1 * *").timetable.expression == "30 2 1 * *"  # type: ignore[attr-defined]
    assert dag_never_runs(tidy(monkeypatch, POMONA_TIDY_SCHEDULE="none"))


def dag_never_runs(dag: DAG) -> bool:
    return type(dag.timetable).__name__ == "NullTimetable"


def test_the_command_is_the_golden_one_and_the_jobs_parser_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tidy(monkeypatch).task_dict["tidy"]
    assert isinstance(task, TidyOperator)
    deployment = Deployment.from_environment({**PLACES, "POMONA_KEEP_RUNS": "7"})
    words = task.words("scheduled__2026-01-04T04:00:00+00:00", {"keep_runs": None, "dry": True}, deployment)
    assert words == [
        *("tidy", "--run", RUN, "--name", "fruit", "--lake", "s3://bucket/lake", "--landing", "s3://bucket/in"),
        *("--tracking", "sqlite:////state/mlflow.db", "--s3", "{}", "--keep-runs=7", "--events=/state/events", "--dry"),
    ]
    order = parse(words)
    assert order.place == Place(RUN, "fruit", "s3://bucket/lake", "s3://bucket/in", "sqlite:////state/mlflow.db")
    assert (order.keep_runs, order.events, order.dry) == (7, "/state/events", True)
    assert not parse(task.words(RUN, {"keep_runs": 3, "dry": False}, deployment)).dry


def test_its_form_begins_with_the_deployments_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    params = tidy(monkeypatch, POMONA_KEEP_RUNS="5").params
    assert {name: params[name] for name in params} == {"keep_runs": 5, "dry": False}


def test_on_emr_it_has_its_own_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    on_emr = {"POMONA_ENGINE": "emr", "POMONA_TRACKING": "http://mlflow:5000"}
    tasks = tidy(monkeypatch, **{**PLACES, **on_emr}).task_dict
    assert set(tasks) == {"create_cluster", "tidy", "terminate_cluster"}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("POMONA_KEEP_RUNS", "0", "POMONA_KEEP_RUNS='0' must be a whole number from 1"),
        ("POMONA_TIDY_SCHEDULE", "weekly", "POMONA_TIDY_SCHEDULE='weekly' must be five cron fields"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(variable: str, value: str, said: str) -> None:
    with pytest.raises(BadSetting) as wrong:
        Deployment.from_environment({variable: value})
    assert str(wrong.value).startswith(said)
