"""A task that is killed leaves nothing on the cluster; `make check-settings` asks the same cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import PROJECT
from tests.spark_cluster import Cluster
from tests.waiting import wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]
SLOW = """
import sys, time
from pathlib import Path
from pyspark.sql import SparkSession
def slow_with(sign):
    def slow(batches):
        Path(sign).touch()
        time.sleep(600)
        yield from batches
    return slow
SparkSession.builder.appName("slow").getOrCreate().range(2).mapInArrow(slow_with(sys.argv[1]), "id long").count()
"""
SUBMIT = """
import sys; from pathlib import Path; from pomona_airflow.deployment import Deployment
from pomona_airflow.spark.engine_spark import Engine
Engine(Deployment.from_environment()).run('slow', [sys.argv[2]], application=Path(sys.argv[1]))
"""


def executors(cluster: Cluster) -> list[psutil.Process]:
    """What the workers have started: executors, and their Python."""
    return [process for daemon in cluster.daemons for process in psutil.Process(daemon.pid).children(recursive=True)]


def test_a_task_killed_outright_leaves_no_application_and_no_executor(cluster, tmp_path: Path) -> None:
    script, sign = tmp_path / "slow.py", tmp_path / "sign"
    script.write_text(SLOW)
    environment = {**os.environ, **cluster.environment, "POMONA_STATE": str(PROJECT / ".pomona"), "POMONA_SPARK_EXECUTOR_MEMORY": "700m"}
    with (tmp_path / "task.log").open("wb") as log:
        task = subprocess.Popen([sys.executable, "-c", SUBMIT, str(script), str(sign)], env=environment, stdout=log, stderr=log)
    wait_until(sign.exists, 120, "executor at its batch")
    assert len(cluster.applications()) == 1
    at_work = executors(cluster)
    assert len(at_work) >= 3, "an executor, its Python daemon, its Python worker"
    below = psutil.Process(task.pid).children(recursive=True)
    task.kill()
    task.wait()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert alive == []
    wait_until(lambda: cluster.applications() == [], 60, "end of the application at the master")
    _, alive = psutil.wait_procs(at_work, timeout=60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_check_settings_runs_its_job_on_the_cluster_and_leaves_nothing_in_the_lake(cluster, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    places = {f"POMONA_{name.upper()}": str(tmp_path / name) for name in ("landing", "lake", "state")}
    environment = {**os.environ, **cluster.environment, **places, "POMONA_NAME": "checked", "POMONA_SPARK_EXECUTOR_MEMORY": "700m"}
    done = subprocess.run(
        [sys.executable, "-m", "run.check_settings"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tasks on" in done.stdout.splitlines()[-1]
    assert next(app["name"] for app in cluster.state()["completedapps"]).startswith("pomona probe")
    assert [path for path in (tmp_path / "lake").rglob("*") if path.is_file()] == []
