"""The DAG `score`: when it runs, the command that the job accepts, and that no cluster is made for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException

from pomona.command import Place, parse
from pomona.newness import answered
from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.score_operator import ScoreOperator

RUN = "manual__2026-01-02T03-04-05-00-00"
PLACES = {"POMONA_NAME": "fruit", "POMONA_LANDING": "s3://bucket/in", "POMONA_LAKE": "s3://bucket/lake"}
ON_EMR = {**PLACES, "POMONA_ENGINE": "emr", "POMONA_TRACKING": "http://mlflow:5000"}


def dags(monkeypatch: pytest.MonkeyPatch, **settings: str) -> dict[str, DAG]:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bag = DagBag(str(PROJECT / "dags"))
    assert bag.import_errors == {}
    return dict(bag.dags)


def task(found: dict[str, DAG]) -> ScoreOperator:
    operator = found["score"].task_dict["score"]
    assert isinstance(operator, ScoreOperator)
    return operator


def test_the_command_is_the_golden_one_and_the_jobs_parser_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Deployment.from_environment(PLACES)
    words = task(dags(monkeypatch)).words("manual__2026-01-02T03:04:05+00:00", {}, places)
    assert words == [
        *("score", "--run", RUN, "--name", "fruit", "--lake", "s3://bucket/lake", "--landing", "s3://bucket/in"),
        *("--tracking", places.tracking, "--s3", "{}", "--unlabelled", "s3://bucket/unlabelled"),
    ]
    order = parse(words)
    assert (order.place.run, order.unlabelled) == (RUN, "s3://bucket/unlabelled")


def test_it_runs_every_hour_and_when_a_run_has_registered_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    found = dags(monkeypatch, **PLACES)
    score = found["score"]
    assert score.max_active_runs == 1 and score.is_paused_upon_creation
    assert isinstance(score.schedule, AssetOrTimeSchedule) and isinstance(score.schedule.timetable, CronTriggerTimetable)
    assert score.schedule.timetable.expression == "0 * * * *"
    assert [asset.name for asset in found["retrain"].task_dict["register"].outlets] == ["models_fruit"]
    assert [asset.name for asset in score.schedule.asset_condition.objects] == ["models_fruit"]


@pytest.mark.parametrize(
    ("landing", "given", "unlabelled"),
    [
        ("/data/pictures", "", "/data/unlabelled"),
        ("s3://bucket/a/in/", "", "s3://bucket/a/unlabelled"),
        ("s3://bucket", "", ""),
        ("s3://bucket", "s3://other/new", "s3://other/new"),
    ],
)
def test_unlabelled_pictures_lie_beside_the_landing_zone_unless_a_setting_says_where(landing: str, given: str, unlabelled: str) -> None:
    assert Deployment.from_environment({"POMONA_LANDING": landing, "POMONA_UNLABELLED": given}).unlabelled == unlabelled


def test_beside_a_whole_bucket_there_is_no_place_and_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException, match="POMONA_UNLABELLED is not set, and beside s3://bucket there is no place"):
        task(dags(monkeypatch)).words(RUN, {}, Deployment.from_environment({**PLACES, "POMONA_LANDING": "s3://bucket"}))


def test_on_emr_its_own_cluster_is_made_for_its_own_job(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = dags(monkeypatch, **ON_EMR)["score"].task_dict
    assert set(tasks) == {"create_cluster", "score", "terminate_cluster"}
    assert tasks["create_cluster"].job == "score"


def test_a_folder_without_pictures_is_told_before_anything_is_paid_for(tmp_path: Path) -> None:
    place = Place("r", "fruit", str(tmp_path / "lake"), str(tmp_path / "landing"), f"sqlite:///{tmp_path}/mlflow.db")
    folder: Any = tmp_path / "unlabelled"
    assert answered(place, str(folder)) == f"{folder} has no pictures"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    assert answered(place, str(folder)) == f"{folder} has no pictures"
    (folder / "a.jpg").write_bytes(b"x")
    assert answered(place, str(folder)) == "fruit has no champion yet: `retrain` makes the first one"
