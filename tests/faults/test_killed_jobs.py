"""A job killed in the middle of any stage is made good by running the stage again; two runs on one lake take turns."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pomona import command
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.stages import STAGES
from pomona_airflow.deployment import Deployment
from pomona_airflow.spark import leash, spark_home
from pomona_airflow.spark.engine_local import Engine
from tests.conftest import SMALL

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]
KNOBS = resolve({**SMALL, "folds": 2, "fold_images": 50})
# How long after the job took the lake it is killed; a later try is earlier, for a stage that was faster than the shot.
DELAYS_S = (1.0, 0.3, 0.05)


@pytest.fixture
def deployment(tmp_path: Path, landing: Path) -> Deployment:
    environment = {
        "POMONA_TRACKING": f"sqlite:///{tmp_path}/mlflow.db",
        "POMONA_LAKE": str(tmp_path / "lake"),
        "POMONA_LANDING": str(landing),
        "POMONA_NAME": "faults",
        "POMONA_SPARK_MEMORY": "1g",
    }
    made = Deployment.from_environment(environment)
    # The project's own state folder: Spark's class archive is made once for everybody.
    spark_home.rehearse(spark_home.prepared(made.state))
    return made


def words(deployment: Deployment, run: str, stage: str) -> list[str]:
    place = command.Place(run, deployment.name, deployment.lake, deployment.landing, deployment.tracking)
    return command.arguments(stage, place, KNOBS)


def submitted(deployment: Deployment, run: str, stage: str) -> int:
    return Engine(deployment).run(f"{run}-{stage}", words(deployment, run, stage))


def lake_of(deployment: Deployment) -> Lake:
    return Lake(deployment.lake, deployment.name, deployment.s3)


def is_at_work(lake: Lake, owner: str) -> bool:
    held = lake.entry("leases", lake.last_number("leases"))
    return held is not None and held["owner"] == owner and not held["released"]


def killed_in_the_middle(deployment: Deployment, run: str, stage: str) -> bool:
    """Whether a SIGKILL to the job's JVM came while it worked; then nothing of the job is left."""
    lake = lake_of(deployment)
    for delay_s in DELAYS_S:
        engine = Engine(deployment)
        codes: list[int] = []
        job = threading.Thread(target=lambda engine=engine, codes=codes: codes.append(engine.run("victim", words(deployment, run, stage))))
        job.start()
        while job.is_alive() and not is_at_work(lake, f"{stage} of run {run}"):
            time.sleep(0.02)
        time.sleep(delay_s)
        assert engine.hook is not None and engine.hook.process is not None
        session = engine.hook.process.pid
        shot = [pid for pid in leash.members(session) if psutil.Process(pid).name() == "java"]
        for pid in shot:
            psutil.Process(pid).kill()
        job.join(60)
        assert not job.is_alive()
        assert leash.members(session) == [], "a process of the killed job is still there"
        if shot and codes != [0]:
            assert lake.document(f"runs/{run}/manifests/{stage}.json") is None
            return True
    return False


def shas(lake: Lake, run: str) -> dict[str, str]:
    return {name: lake.files(run, name)[0].sha256 for name in ("vocabulary", "encoder", "model")}


def test_a_sigkill_in_the_middle_of_each_stage_changes_nothing_in_the_end(deployment, tmp_path):
    untouched = replace(deployment, lake=str(tmp_path / "reference"), tracking=f"sqlite:///{tmp_path}/reference.db")
    for stage in STAGES:
        assert submitted(untouched, "r", stage) == 0
        assert killed_in_the_middle(deployment, "r", stage), f"{stage} was never killed in the middle"
        assert submitted(deployment, "r", stage) == 0
    assert shas(lake_of(deployment), "r") == shas(lake_of(untouched), "r")
    ours, theirs = (lake_of(each).document("runs/r/summary.json") for each in (deployment, untouched))
    assert ours is not None and theirs is not None
    # It names the moment of the promotion.
    assert all(summary["model"].pop("outcome").startswith("It became the champion at ") for summary in (ours, theirs))
    for field in ("counts", "scores", "hashes", "verdict", "model", "knobs"):
        assert ours[field] == theirs[field], field
    rows = lake_of(deployment).read_rows(lake_of(deployment).files("r", "descriptors"), ["content"])
    assert len(set(rows["content"].to_pylist())) >= 60


def test_two_runs_at_once_take_turns_and_lose_nothing(deployment):
    codes: dict[str, list[int]] = {"a": [], "b": []}

    def chain(run: str) -> None:
        for stage in list(STAGES)[:3]:
            codes[run].append(submitted(deployment, run, stage))

    threads = [threading.Thread(target=chain, args=(run,)) for run in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert codes == {"a": [0, 0, 0], "b": [0, 0, 0]}
    lake = lake_of(deployment)
    assert lake.files("a", "vocabulary")[0].sha256 == lake.files("b", "vocabulary")[0].sha256
    described = [lake.manifest(run, "describe")["counts"]["described"] for run in codes]
    assert sorted(described) == [0, 60]
    parts = lake.read_rows(lake.files("a", "descriptors"), ["content"])
    assert parts.num_rows == len(set(parts["content"].to_pylist())) == 60


def test_a_bad_parameter_ends_with_code_2_before_spark_is_asked(deployment):
    bad = [word.replace("--max-gone-share=0.2", "--max-gone-share=7") for word in words(deployment, "r", "ingest")]
    assert Engine(deployment).run("bad", bad) == 2


def test_a_landing_zone_that_is_missing_ends_with_code_2_and_a_line_in_the_outcome(deployment):
    assert submitted(replace(deployment, landing="/nowhere"), "r", "ingest") == 2
    outcome = lake_of(deployment).outcome("r", "ingest")
    assert outcome is not None
    assert (outcome["status"], outcome["line"].split(":")[0]) == ("bad_input", "the landing zone /nowhere does not exist")
