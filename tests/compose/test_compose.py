"""docker-compose.yaml brought up from nothing: a model made on the cluster, a prediction, a run by arrival, and nothing lost or shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import orchard
from tests.compose import base_images, process_list
from tests.compose.docker_engine import NoDocker, compose_command, docker, engine
from tests.compose.stack import PROJECT, SERVICES, Stack, eventually

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]
NAME = "pomona-test-compose"
STAGES = ["ingest", "describe", "learn_vocabulary", "encode", "train", "evaluate", "register"]
_RUN_S = 1500.0
# Prints every file of a folder; Spark packs its event logs.
_PLAIN = """
import pathlib, sys, zstandard
for path in pathlib.Path(sys.argv[1]).rglob("*"):
    if path.is_file():
        with path.open("rb") as file:
            packed = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) if path.suffix == ".zstd" else file
            sys.stdout.buffer.write(packed.read())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, dict[str, str]]]:
    """The services, up, and what the process list showed of their secrets since."""
    scratch = tmp_path_factory.mktemp("compose")
    env = scratch / ".env"
    subprocess.run([sys.executable, str(PROJECT / "docker" / "compose_env.py"), str(env)], check=True)
    try:
        with engine(scratch):
            compose_command()
            print("images made here:", ", ".join(base_images.provide(scratch)) or "none")
            stack = Stack.of(NAME, env, POMONA_SETTLE_S="5", POMONA_POLL_S="5", POMONA_NAME="orchard")
            with process_list.watched(stack.secrets) as shown:
                try:
                    stack.compose("down", "--volumes", "--remove-orphans")
                    stack.compose("build")
                    stack.compose("up", "-d")
                    yield stack, shown
                finally:
                    keep_logs(stack, scratch)
                    stack.compose("down", "--volumes", "--remove-orphans")
                    print(f"the image pomona:{NAME} stays here, for the next time")
    except NoDocker as error:
        print(f"left out: {error}", file=sys.stderr)
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def stack(made: tuple[Stack, dict[str, str]]) -> Stack:
    return made[0]


def keep_logs(stack: Stack, folder: Path) -> None:
    """The services' logs, for whoever has to find out why a test failed."""
    for service in SERVICES:
        try:
            (folder / f"{service}.log").write_text(stack.logs(service))
        except (RuntimeError, IndexError):
            continue


def succeeded(stack: Stack, run: str) -> dict[str, Any]:
    """The run, once it has ended well.

    Raises
    ------
    AssertionError
        With the state of each task, when it ended otherwise or not in time.
    """

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = stack.airflow(f"/dags/retrain/dagRuns/{run}")
        return found if found["state"] in ("success", "failed") else None

    found: dict[str, Any] = eventually(f"the end of {run}", ended, within_s=_RUN_S)
    assert found["state"] == "success", stack.outcomes(run)
    return found


def champion(stack: Stack) -> int:
    """The version number of the champion, from MLflow's own API."""
    found = stack.ask("POMONA_MLFLOW_PORT", "/api/2.0/mlflow/registered-models/alias?name=orchard&alias=champion")
    return int(found["model_version"]["version"])


def picture(stack: Stack) -> bytes:
    """The bytes of one test picture of a banana, from the bucket."""
    key = next(key for key in stack.keys("pictures", "landing/Test/Strawberry/") if key.endswith(".jpg"))
    return bytes(stack.s3().get_object(Bucket="pictures", Key=key)["Body"].read())


def test_every_service_is_healthy_runs_as_an_ordinary_user_and_is_reached_from_this_machine_only(stack: Stack) -> None:
    for service in SERVICES:
        eventually(f"{service} healthy", lambda name=service: stack.inspected(name)["State"]["Health"]["Status"] == "healthy", within_s=300)
        state = stack.inspected(service)
        assert docker("exec", stack.container(service), "id", "-u").stdout.strip() != "0", service
        assert not state["HostConfig"]["Privileged"], service
        bound = [one["HostIp"] for ports in (state["HostConfig"]["PortBindings"] or {}).values() for one in ports]
        assert set(bound) <= {"127.0.0.1"}, service
    assert stack.inspected("setup")["State"]["ExitCode"] == 0
    assert {bucket["Name"] for bucket in stack.s3().list_buckets()["Buckets"]} == {"pictures", "lake", "mlflow"}


def test_a_run_started_over_the_api_makes_a_champion_on_the_cluster_that_answers(stack: Stack) -> None:
    stack.compose("run", "--rm", "setup", "python", "docker/upload.py")
    stack.airflow("/dags/retrain", {"is_paused": False}, method="PATCH")
    run = stack.airflow("/dags/retrain/dagRuns", {"logical_date": None, "conf": {"preset": "fast"}})["dag_run_id"]
    succeeded(stack, run)
    assert stack.outcomes(run) == dict.fromkeys(STAGES, "success")
    applications = stack.ask("SPARK_MASTER_PAGE_PORT", "/json/")["completedapps"]
    assert [sum(f" {stage} " in application["name"] for application in applications) for stage in ("ingest", "describe", "encode")] == [
        1,
        1,
        1,
    ]
    assert champion(stack) == 1
    assert stack.keys("lake", "orchard/snapshots/0") == ["orchard/snapshots/000001.json"]
    assert any(key.endswith("/MLmodel") for key in stack.keys("mlflow"))
    # The service looks for its first champion every few seconds; its health check may have looked just before.
    answer = eventually("the service", lambda: stack.ask("POMONA_SERVE_PORT", "/predict", picture(stack)), within_s=60)
    assert (answer["label"], answer["model"]) == ("Strawberry", {"name": "orchard", "version": 1})
    listed = {application["name"] for application in stack.ask("SPARK_HISTORY_PORT", "/api/v1/applications")}
    assert any(" describe " in name for name in listed)


def test_new_pictures_in_the_bucket_start_one_run_which_outlives_a_killed_worker(stack: Stack, tmp_path: Path) -> None:
    before = {run["dag_run_id"] for run in stack.runs()}
    orchard.draw(tmp_path, seed=7, frames=3, bad=False)
    for path in tmp_path.rglob("r*_100.jpg"):
        # The rotations r0 and r1 are there already; these are others.
        key = path.relative_to(tmp_path).with_name(path.name.replace("r", "r9", 1)).as_posix()
        stack.s3().put_object(Bucket="pictures", Key=f"landing/{key}", Body=path.read_bytes())
    run = eventually("a run", lambda: [run for run in stack.runs() if run["dag_run_id"] not in before], within_s=180)[0]["dag_run_id"]

    def described() -> bool:
        active = stack.ask("SPARK_MASTER_PAGE_PORT", "/json/")["activeapps"]
        return any(" describe " in application["name"] and application["cores"] == 2 for application in active)

    eventually("describe on both workers", described, within_s=_RUN_S)
    docker("kill", stack.container("spark-worker-2"))
    ended = succeeded(stack, run)
    assert ended["run_type"] == "asset_triggered"
    assert "arrival" in ended["note"]
    assert stack.outcomes(run) == dict.fromkeys(STAGES, "success")
    assert len(stack.runs()) == len(before) + 1
    assert stack.airflow(f"/dags/retrain/dagRuns/{run}/taskInstances/describe")["try_number"] == 1
    stack.compose("up", "-d", "spark-worker-2")
    # If the run made another champion, nobody restarts the service for it.
    eventually("the champion's answers", lambda: stack.ask("POMONA_SERVE_PORT", "/version")["version"] == champion(stack), within_s=30)


def test_no_secret_is_in_a_log_the_process_list_or_what_the_runs_left(made: tuple[Stack, dict[str, str]]) -> None:
    stack, shown = made
    assert shown == {}
    texts = {service: stack.logs(service) for service in (*SERVICES, "setup")}
    for bucket in ("lake", "mlflow"):
        for key in stack.keys(bucket):
            texts[f"{bucket}/{key}"] = stack.s3().get_object(Bucket=bucket, Key=key)["Body"].read().decode(errors="replace")
    for place in ("logs", "events"):
        texts[place] = docker("exec", stack.container("airflow-scheduler"), "python", "-c", _PLAIN, f"/var/lib/pomona/{place}").stdout
        assert "describe" in texts[place]
    assert [(name, place) for name, secret in stack.secrets.items() for place, text in texts.items() if secret in text] == []


def test_what_was_made_is_there_after_down_and_up(stack: Stack) -> None:
    runs, keys, version = len(stack.runs()), stack.keys("lake"), champion(stack)
    stack.compose("down")
    stack.compose("up", "-d")
    assert eventually("Airflow", lambda: len(stack.runs()), within_s=300) == runs
    assert stack.keys("lake") == keys
    assert champion(stack) == version
    answer = eventually("the service", lambda: stack.ask("POMONA_SERVE_PORT", "/predict", picture(stack)), within_s=120)
    assert (answer["label"], answer["model"]["version"]) == ("Strawberry", version)
