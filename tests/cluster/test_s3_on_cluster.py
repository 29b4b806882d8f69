"""Lake and landing zone on S3, a worker killed in the middle, a champion to beat: the same model, and no secret anywhere."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pomona.stages import STAGES
from pomona_airflow.deployment import Deployment
from pomona_airflow.spark import leash, s3_jars
from tests.cluster.conftest import KNOBS, Chain
from tests.s3_server import Server, free_port
from tests.secret_watch import Passersby, holders
from tests.spark_cluster import Cluster

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]
SECRETS = ("recognisable-secret-of-the-s3-server", "recognisable-password-of-mlflow")


@pytest.fixture
def machine(s3: Server) -> dict[str, str]:
    """What driver and executors have in their environment: everything secret."""
    return {**s3.environment, "MLFLOW_TRACKING_USERNAME": "pomona", "MLFLOW_TRACKING_PASSWORD": SECRETS[1]}


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[str]:
    """The address of an MLflow server with its files below the test's folder."""
    folder, port = tmp_path / "mlflow", free_port()
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield f"http://127.0.0.1:{port}"
    leash.end(process.pid)
    process.wait(20)


def until(true: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
    """Returns once it is true; the run must not have ended before."""
    while not true():
        assert process.poll() is None, f"the run ended before {what}: {process.communicate()[0]}"
        time.sleep(0.05)


def has_python_at_work(cluster: Cluster) -> bool:
    """Whether the last worker's executor has a Python worker beside its daemon: a batch of images is in its hands."""
    pythons = 0
    for process in psutil.Process(cluster.daemons[-1].pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            pythons += "pyspark.daemon" in process.cmdline()
    return pythons >= 2


def test_a_killed_worker_changes_nothing_and_no_secret_shows(cluster, machine, s3, mlflow, reference, pictures, logs, tmp_path):
    s3_jars.fetch(Deployment.from_environment({}).s3_jars)
    shutil.copytree(pictures, s3.make_bucket("landing") / "orchard")
    lake = s3.make_bucket("lake")
    events = tmp_path / "events"
    settings = {
        "POMONA_LAKE": "s3://lake/lakes",
        "POMONA_S3_ENDPOINT": s3.endpoint,
        "POMONA_S3_REGION": s3.region,
        "POMONA_TRACKING": mlflow,
        "POMONA_SPARK_EVENTS": str(events),
    }
    chain = Chain(tmp_path, {**cluster.environment, **machine, **settings})
    with pytest.MonkeyPatch.context() as patched, Passersby() as passersby:
        for name, value in machine.items():
            patched.setenv(name, value)
        process = chain.begin("s3://landing/orchard")
        until(lambda: any("describe" in name for name in cluster.applications()), process, "describe")
        until(lambda: has_python_at_work(cluster), process, "a worker had a batch of describe")
        assert cluster.kill_worker() >= 4, "worker, executor, Python daemon, Python worker"
        assert chain.lake.outcome(chain.runs()[0], "describe") is None, "it was over before the kill"
        said, _ = process.communicate()
        assert process.returncode == 0, said
        assert cluster.workers() == 1
        first = chain.runs()[0]
        assert chain.hashes(first) == reference.hashes(reference.runs()[0])

        # Once more with more words: the champion is asked on the cluster.
        cluster.add_worker()
        cluster.await_workers(2)
        process = chain.begin("s3://landing/orchard", {**KNOBS, "n_words": 25})
        said, _ = process.communicate()
        assert process.returncode == 0, said
        assert "asking the champion about" in said
        verdict = chain.lake.document(chain.lake.files(chain.runs()[-1], "verdict")[0].path)
        assert verdict is not None and verdict["champion"] == 1

    assert any(b"run_stage.py" in line for line in passersby.seen)
    assert [line for line in passersby.seen if any(secret.encode() in line for secret in SECRETS)] == []
    assert len(list(events.iterdir())) >= len(STAGES)
    assert (lake / "lakes" / "cluster" / "runs" / first / "report.html").is_file()
    places = (logs, lake, events, tmp_path / "mlflow", tmp_path / "cluster")
    assert [holder for place in places for holder in holders(place, SECRETS)] == []
