"""The DAG `retrain`: it parses fast, keeps the house's policy, and every task's command is one that the job accepts."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

from pomona.command import parse, parser
from pomona.datasets import DATASETS
from pomona.knobs import KNOBS, BadKnob
from pomona.stages import STAGES
from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.stage_operator import StageOperator

FOLDER = PROJECT / "dags"
GOLDEN = Path(__file__).with_name("golden_commands.json")
PLACES = Deployment.from_environment(
    {"POMONA_NAME": "fruit", "POMONA_LANDING": "s3://bucket/in", "POMONA_LAKE": "s3://bucket/lake", "POMONA_TRACKING": "http://mlflow:5000"}
)
RUN_ID = "manual__2026-01-02T03:04:05.678901+00:00"


ON_EMR = {
    "POMONA_ENGINE": "emr",
    "POMONA_LANDING": "s3://bucket/in",
    "POMONA_LAKE": "s3://bucket/lake",
    "POMONA_TRACKING": "http://mlflow:5000",
}
CLUSTER = ["create_cluster", "terminate_cluster"]


@pytest.fixture(scope="module", params=["local", "emr"])
def bag(request: pytest.FixtureRequest) -> DagBag:
    """The DAGs as they are with this engine."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ON_EMR.items() if request.param == "emr" else ():
            environment.setenv(name, value)
        return DagBag(str(FOLDER))


@pytest.fixture(scope="module")
def retrain(bag: DagBag) -> DAG:
    return bag.dags["retrain"]


def stages(dag: DAG) -> list[StageOperator]:
    return [task for task in dag.topological_sort() if isinstance(task, StageOperator)]


def on_emr(monkeypatch: pytest.MonkeyPatch, **settings: str) -> DAG:
    """The DAG as the file makes it on EMR with these settings."""
    for name, value in {**ON_EMR, **settings}.items():
        monkeypatch.setenv(name, value)
    return DagBag(str(FOLDER)).dags["retrain"]


def tasks(bag: DagBag) -> list[BaseOperator]:
    return [task for dag in bag.dags.values() for task in dag.tasks]


def test_every_dag_file_is_read_without_an_error(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == {path.stem for path in FOLDER.glob("*.py")}


def test_a_dag_file_is_read_in_under_half_a_second_beyond_airflows_own_import() -> None:
    # A process of its own, and CPU seconds: a busy machine says nothing about the file.
    program = (
        "import sys, time, airflow.sdk, airflow.dag_processing.dagbag as d\n"
        "import airflow.timetables.assets\n"
        "d.DagBag('/nowhere', collect_dags=False)\n"
        "started = time.process_time(); bag = d.DagBag(sys.argv[1]); print(time.process_time() - started, len(bag.dags))"
    )
    said = subprocess.run([sys.executable, "-c", program, str(FOLDER)], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    seconds, n_dags = said.split()
    assert int(n_dags) == len(list(FOLDER.glob("*.py")))
    assert float(seconds) < 0.5 * int(n_dags)


def test_reading_the_dags_imports_neither_spark_nor_opencv_nor_mlflow() -> None:
    program = (
        "import sys, airflow.dag_processing.dagbag as d; d.DagBag(sys.argv[1])\n"
        "print(sorted({'pyspark', 'cv2', 'mlflow', 'numpy'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", program, str(FOLDER)], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    # Airflow itself brings numpy along where it finds it.
    assert set(ast.literal_eval(said)) <= {"numpy"}


def test_every_task_has_an_owner_a_short_retry_a_time_limit_and_a_page(bag: DagBag) -> None:
    for task in tasks(bag):
        assert task.owner == "pomona", task.task_id
        assert task.retries >= 1, task.task_id
        assert task.retry_delay.total_seconds() <= 60, task.task_id
        assert task.execution_timeout is not None, task.task_id
        assert task.doc_md, task.task_id


def test_every_dag_starts_paused_runs_once_at_a_time_and_does_not_catch_up(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert dag.is_paused_upon_creation
        assert dag.max_active_runs == 1
        assert not dag.catchup
        assert dag.doc_md
        assert "pomona" in dag.tags


def test_the_chain_has_a_task_a_stage_and_an_edge_where_data_flow(retrain: DAG) -> None:
    assert [task.task_id for task in stages(retrain)] == [
        "ingest",
        "describe",
        "learn_vocabulary",
        "encode",
        "train",
        "evaluate",
        "register",
    ]
    for task in stages(retrain):
        before = task.get_flat_relative_ids(upstream=True)
        for dataset in STAGES[task.task_id].reads:
            writer = next(stage.name for stage in STAGES.values() if dataset in stage.writes)
            assert writer in before, f"{task.task_id} reads {dataset} and does not wait for {writer}"
    assert all(dataset in DATASETS for stage in STAGES.values() for dataset in (*stage.reads, *stage.writes))


def test_a_task_takes_as_long_as_the_contract_allows(retrain: DAG) -> None:
    for task in stages(retrain):
        assert task.execution_timeout is not None
        assert task.execution_timeout.total_seconds() == 60 * STAGES[task.task_id].timeout_minutes


def test_on_emr_the_chain_stands_between_a_clusters_setup_and_its_teardown(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = on_emr(monkeypatch)
    create, terminate = (dag.task_dict[name] for name in CLUSTER)
    chain = {task.task_id for task in stages(dag)}
    assert len(chain) == len(STAGES) == len(dag.tasks) - 2
    assert (create.is_setup, create.upstream_task_ids) == (True, set())
    assert create.get_flat_relative_ids() == {*chain, "terminate_cluster"}
    assert (terminate.is_teardown, terminate.downstream_task_ids) == (True, set())
    assert terminate.upstream_task_ids == {"create_cluster", "register"}
    # The run is what its stages are: a cluster that could not be ended makes no success a failure.
    assert terminate.on_failure_fail_dagrun is False


def test_nothing_new_at_ingest_skips_the_stages_and_not_the_end_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = on_emr(monkeypatch).task_dict["ingest"]
    assert isinstance(ingest, StageOperator)
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        ingest._settle(0, {"status": "nothing_new", "line": "as before"}, {"ti": Mock()})
    assert set(skipped.value.tasks) == set(STAGES) - {"ingest"}


@pytest.mark.parametrize("settings", [{"POMONA_EMR_CLUSTER": "j-1"}, {"POMONA_ENGINE": "emr-serverless"}, {"POMONA_ENGINE": "spark"}])
def test_no_cluster_is_made_where_one_is_given_or_none_is_needed(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    serverless = {"POMONA_EMR_APPLICATION": "00f1", "POMONA_EMR_JOB_ROLE": "arn:aws:iam::1:role/pomona"}
    assert not set(CLUSTER) & set(on_emr(monkeypatch, **serverless, **settings).task_dict)


def test_no_task_hands_another_one_anything_through_xcom(retrain: DAG) -> None:
    assert not any(task.do_xcom_push for task in retrain.tasks)


def commands(retrain: DAG) -> dict[str, list[str]]:
    """Every task's argument list, for a run with two knobs set."""
    given = {**dict.fromkeys(KNOBS), "preset": "classic", "n_words": 200, "labels": "Apple Red 1,Cherry"}
    return {task.task_id: task.words(RUN_ID, given, PLACES) for task in stages(retrain)}


def test_every_command_is_the_golden_one(retrain: DAG) -> None:
    """To renew the file after a change of the contract: python tests/dags/test_retrain.py."""
    assert commands(retrain) == json.loads(GOLDEN.read_text())


def test_the_golden_commands_are_accepted_by_the_jobs_own_parser() -> None:
    for stage, words in json.loads(GOLDEN.read_text()).items():
        order = parse(words)
        assert order.stage.name == stage
        assert order.place.run == "manual__2026-01-02T03-04-05.678901-00-00"
        assert order.place.lake == "s3://bucket/lake"
        assert set(order.knobs) == set(STAGES[stage].knobs)
        if "n_words" in order.knobs:
            assert order.knobs["n_words"] == 200
        if "colour_weight" in order.knobs:
            assert order.knobs["colour_weight"] == 0.0, "left empty: as in the preset classic"
    assert parse(json.loads(GOLDEN.read_text())["ingest"]).resolved["encoding"] == "counts"


def test_the_form_has_a_field_a_knob_with_the_command_lines_own_bounds(retrain: DAG) -> None:
    said = {name: retrain.params.get_param(name).schema for name in retrain.params}
    assert set(said) == set(KNOBS)
    helped = parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr,index]
    flags = {name: command.format_help() for name, command in helped.items()}  # type: ignore[attr-defined]
    for knob in KNOBS.values():
        schema = said[knob.name]
        assert schema["title"]
        assert schema["section"] == knob.section
        if knob.name == "preset":
            continue
        assert (schema.get("minimum"), schema.get("maximum")) == (knob.minimum, knob.maximum)
        assert list(knob.choices) == (schema["enum"][1:] if knob.choices else [])
        assert f"Allowed: {knob.bounds}." in (retrain.params.get_param(knob.name).description or "")
        for stage in STAGES.values():
            if knob.name in stage.knobs:
                text = " ".join(flags[stage.name].split())
                assert f"({knob.bounds})" in text, f"{stage.name} --{knob.name}"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"n_words": 99_999}, "n_words=99999 is out of bounds (0 to 20,000)"),
        ({"extractor": "surf"}, "extractor='surf' is none of dense | sift | orb"),
        ({"nwords": 200}, "unknown knob 'nwords'"),
        ({"root": "perhaps"}, "root='perhaps' is not true or false (true | false)"),
    ],
)
def test_a_bad_knob_fails_without_a_retry_and_in_the_command_lines_words(retrain: DAG, given: dict[str, object], text: str) -> None:
    task = retrain.task_dict["ingest"]
    assert isinstance(task, StageOperator)
    with pytest.raises(AirflowFailException, match=r".") as failed:
        task.words(RUN_ID, given, PLACES)
    assert text in str(failed.value)
    if next(iter(given)) in KNOBS:
        with pytest.raises(BadKnob) as bad:
            KNOBS[next(iter(given))].parse(next(iter(given.values())))
        assert str(bad.value) == str(failed.value)


def test_true_and_false_may_be_said_as_words_of_the_form_or_as_json(retrain: DAG) -> None:
    for said in ("false", False):
        param = retrain.params.get_param("root")
        assert param.resolve(said) == said
    for wrong in ("maybe", 3):
        with pytest.raises(ValueError, match=r"."):
            retrain.params.get_param("root").resolve(wrong)


def test_a_cron_of_the_deployment_comes_beside_the_landing_asset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    monkeypatch.setenv("POMONA_SCHEDULE", "0 3 * * *")
    monkeypatch.setenv("POMONA_LANDING", str(tmp_path / "new fruit"))
    dag = DagBag(str(FOLDER)).dags["retrain"]
    assert type(dag.timetable).__name__ == "AssetOrTimeSchedule"
    said = json.dumps(DagSerialization.serialize_dag(dag))
    assert "0 3 * * *" in said
    assert "new%20fruit" in said
    assert "landing_new-fruit" in said


def watchers(monkeypatch: pytest.MonkeyPatch, **settings: str) -> list[object]:
    """The watchers of the landing asset, as the DAG file makes them with these settings."""
    for name, value in settings.items():
        monkeypatch.setenv(f"POMONA_{name}", value)
    (asset,) = DagBag(str(FOLDER)).dags["retrain"].timetable.asset_condition.objects
    return list(asset.watchers)


def test_the_landing_zone_is_watched_with_the_deployments_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"NAME": "fruit", "LANDING": "s3://bucket/in", "LAKE": "s3://bucket/lake", "S3_REGION": "eu-west-1"}
    numbers = {
        "MIN_NEW_IMAGES": "7",
        "SETTLE_S": "8",
        "MAX_WAIT_S": "9",
        "POLL_S": "10",
        "SQS_QUEUE": "https://sqs.eu-west-1.amazonaws.com/1/q",
    }
    (watcher,) = watchers(monkeypatch, **given, **numbers)
    path, arguments = watcher.trigger.serialize()  # type: ignore[attr-defined]
    assert path == "pomona_airflow.landing_trigger.LandingTrigger"
    assert arguments == {
        "dag_id": "retrain",
        "landing": "s3://bucket/in",
        "labels": "s3://bucket/labels",
        "lake": "s3://bucket/lake",
        "name": "fruit",
        "s3": '{"region": "eu-west-1"}',
        "min_new_images": 7,
        "settle_s": 8,
        "max_wait_s": 9,
        "poll_s": 10,
        "sqs_queue": "https://sqs.eu-west-1.amazonaws.com/1/q",
    }


def test_nobody_watches_where_the_deployment_wants_no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watchers(monkeypatch, POLL_S="0") == []


if __name__ == "__main__":
    started = time.monotonic()
    GOLDEN.write_text(json.dumps(commands(DagBag(str(FOLDER)).dags["retrain"]), indent=1) + "\n")
    print(f"{GOLDEN} written in {time.monotonic() - started:.1f} s")
