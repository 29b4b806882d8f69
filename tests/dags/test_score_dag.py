"""The DAG `score`: when it runs, the command that the job accepts, that no cluster is made for nothing, and who hears of drift."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped
from airflow.sdk.execution_time.context import OutletEventAccessors

from pomona.command import Drift, Place, parse
from pomona.lake import Lake
from pomona.newness import answered
from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.score_operator import ScoreOperator
from pomona_airflow.started_by import started_by

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
        *("--drift-window=200", "--drift-groups=10", "--drift-rate=0.05", "--drift-rejects=0.01", "--drift-mix=any"),
    ]
    order = parse(words)
    assert (order.place.run, order.place.unlabelled, order.drift) == (RUN, "s3://bucket/unlabelled", Drift())


def test_the_deployments_numbers_reach_the_job_and_one_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"WINDOW": "0", "GROUPS": "3", "RATE": "0.1", "REJECTS": "0.02", "MIX": "training"}
    places = Deployment.from_environment({**PLACES, **{f"POMONA_DRIFT_{name}": value for name, value in given.items()}})
    words = task(dags(monkeypatch)).words(RUN, {}, places)
    assert parse(words).drift == Drift(window=0, groups=3, rate=0.1, rejects=0.02, mix="training")
    for wrong, said in (
        ("--drift-rate=1", "'1' must be a share above 0 and below 1, like 0.05"),
        ("--drift-groups=0", "'0' must be a whole number from 1"),
        ("--drift-mix=none", "invalid choice: 'none'"),
    ):
        with pytest.raises(SystemExit) as stop:
            parse([*words, wrong])
        assert stop.value.code == 2
        assert said in capsys.readouterr().err


def test_it_runs_every_hour_and_when_a_run_has_registered_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    found = dags(monkeypatch, **PLACES)
    score = found["score"]
    assert score.max_active_runs == 1 and score.is_paused_upon_creation
    assert isinstance(score.schedule, AssetOrTimeSchedule) and isinstance(score.schedule.timetable, CronTriggerTimetable)
    assert score.schedule.timetable.expression == "0 * * * *"
    assert [asset.name for asset in found["retrain"].task_dict["register"].outlets] == ["models_fruit"]
    assert [asset.name for asset in score.schedule.asset_condition.objects] == ["models_fruit"]  # type: ignore[attr-defined]


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
    assert set(tasks) == {"create_cluster", "score", "terminate_cluster", "notice"}
    assert tasks["create_cluster"].job == "score"
    # The cluster is not paid for while a document is read.
    assert tasks["terminate_cluster"].upstream_task_ids == {"create_cluster", "score"}
    assert tasks["notice"].upstream_task_ids == {"score"}


@pytest.mark.parametrize("settings", [{}, ON_EMR])
def test_where_nothing_is_new_nobody_looks_for_drift_and_a_cluster_is_ended(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    operator, context = task(dags(monkeypatch, **settings)), {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        operator._settle(0, {"status": "nothing_new", "line": "as before"}, context)
    assert skipped.value.tasks == ["notice"]


WINDOW = {"n_images": 200, "n_rejects": 0, "scores": {}, "from": "2026-01-02T03:04:05+00:00", "to": "2026-01-02T03:04:05+00:00"}
ALARM = {**WINDOW, "score": 3.04, "kind": "inputs", "symptoms": ["darker than in training: …", "warmer light than in training: …"]}
USUAL = {**WINDOW, "score": 0.4, "kind": "none", "symptoms": [], "phase": "calm", "began": False}


class Noticing:
    """The task `notice` over a lake in which the run's job has written this document."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *windows: dict[str, Any], **changed: Any) -> None:
        settings = {"POMONA_LAKE": str(folder), "POMONA_NAME": "fruit", "POMONA_LANDING": "s3://bucket/in"}
        self.operator: Any = dags(monkeypatch, **settings)["score"].task_dict["notice"]
        lake = Lake(str(folder), "fruit").open()
        watch = {"phase": windows[-1]["phase"] if windows else "calm", "alarms": [], "n_calm": 0, "n_pause": 0}
        document = {"number": 1, "run": RUN, "windows": list(windows), "watch": watch, "n_waiting": 0, "why": "", **changed}
        lake.append("health", 1, document)
        lake.append("health", 2, {**document, "number": 2, "run": "another", "windows": []})
        lake.write_manifest(RUN, "score", {"scored": [], "observations": []}, notes={"health": 1})
        self.told: dict[str, str] = {}
        self.events = OutletEventAccessors()

    def execute(self) -> None:
        task = SimpleNamespace(xcom_push=lambda key, value: self.told.update({key: value}))
        self.operator.execute({"run_id": RUN, "ti": task, "outlet_events": self.events})


def test_while_nothing_has_begun_the_second_task_is_skipped_with_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(AirflowSkipException, match="no drift has begun: looks as in training"):
        Noticing(monkeypatch, tmp_path / "a", USUAL).execute()
    with pytest.raises(AirflowSkipException, match="no drift has begun: 7 wait for a window"):
        Noticing(monkeypatch, tmp_path / "b", n_waiting=7).execute()
    with pytest.raises(AirflowSkipException, match="no drift has begun: not watched for drift: switched off"):
        Noticing(monkeypatch, tmp_path / "c", why="switched off").execute()
    goes_on = {**ALARM, "phase": "drift", "began": False}
    with pytest.raises(AirflowSkipException, match="no drift has begun: drift goes on"):
        Noticing(monkeypatch, tmp_path / "d", goes_on).execute()


def test_a_window_that_began_an_episode_is_told_in_words_and_to_whoever_waits_for_drift(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = Noticing(monkeypatch, tmp_path, USUAL, {**ALARM, "phase": "drift", "began": True})
    found.execute()
    words = (
        "drift began with 200 pictures, 3.0 times as far from training as is usual: the pictures themselves have changed "
        "(darker than in training: …; warmer light than in training: …)"
    )
    assert found.told == {"noticed": words}
    (asset,) = found.operator.outlets
    assert asset.name == "drift_fruit"
    extra = found.events[asset].extra
    run = SimpleNamespace(run_type="asset_triggered", consumed_asset_events=[SimpleNamespace(extra=extra, timestamp=0)])
    assert started_by(run) == "drift: darker than in training: …"


def test_a_run_whose_job_was_not_done_or_left_no_document_is_a_line_and_no_retry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = Noticing(monkeypatch, tmp_path, USUAL)
    lake = Lake(str(tmp_path), "fruit")
    lake.write_manifest(RUN, "score", {"scored": [], "observations": []}, notes={})
    with pytest.raises(AirflowFailException, match=f"notice: run {RUN} has no document of health: clear its task score"):
        found.execute()
    lake.forget_manifest(RUN, "score")
    with pytest.raises(AirflowFailException, match=f"notice: run {RUN} has no scored and observations yet: run its stage score first"):
        found.execute()


@pytest.mark.parametrize("schedule", ["", "0 3 * * *"])
@pytest.mark.parametrize(("wanted", "expected"), [("false", ["landing_fruit"]), ("true", ["landing_fruit", "drift_fruit"])])
def test_drift_starts_retrain_only_where_the_deployment_wants_it_and_then_without_new_pictures(
    monkeypatch: pytest.MonkeyPatch, schedule: str, wanted: str, expected: list[str]
) -> None:
    found = dags(monkeypatch, **PLACES, POMONA_DRIFT_RETRAIN=wanted, POMONA_SCHEDULE=schedule)
    condition = found["retrain"].timetable.asset_condition  # type: ignore[attr-defined]
    assert [asset.name for asset in condition.objects] == expected
    assert type(condition).__name__ == ("AssetAny" if wanted == "true" else "AssetAll")
    assert [asset.name for asset in found["score"].task_dict["notice"].outlets] == ["drift_fruit"]


def test_a_folder_without_pictures_is_told_before_anything_is_paid_for(tmp_path: Path) -> None:
    folder = tmp_path / "unlabelled"
    lake, landing, tracking = str(tmp_path / "lake"), str(tmp_path / "landing"), f"sqlite:///{tmp_path}/mlflow.db"
    place = Place("r", "fruit", lake, landing, tracking, unlabelled=str(folder))
    assert answered(place) == f"{folder} has no pictures"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    assert answered(place) == f"{folder} has no pictures"
    (folder / "a.jpg").write_bytes(b"x")
    assert answered(place) == "fruit has no champion yet: `retrain` makes the first one"
