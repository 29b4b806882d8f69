"""The local engine on real Spark: exit codes, quiet logs, and nothing left behind however a job ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.spark import java, leash, spark_home
from pomona_airflow.spark.engine_local import Engine
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

WORKING = """
import sys, time
from pathlib import Path
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
sign = sys.argv[1]
def slow(batches):
    Path(sign).touch()
    time.sleep(100)
    yield from batches
spark.range(2).mapInArrow(slow, "id long").count()
"""


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    """The project's own state folder: its class archive is made once for everybody."""
    made = Deployment.from_environment({"POMONA_SPARK_CORES": "2", "POMONA_SPARK_MEMORY": "1g"})
    spark_home.rehearse(spark_home.prepared(made.state))
    return made


def at_work(deployment: Deployment, folder: Path) -> tuple[Engine, threading.Thread, list[int]]:
    """An engine whose job has a worker in the middle of a batch, the thread it runs in, and a list for the exit code."""
    script, sign, codes = folder / "slow.py", folder / "sign", []
    script.write_text(WORKING)
    engine = Engine(deployment)
    thread = threading.Thread(target=lambda: codes.append(engine.run("slow", [str(sign)], application=script)))
    thread.start()
    wait_until(sign.exists, 60, "batch of the job")
    return engine, thread, codes


def session_of(engine: Engine) -> int:
    assert engine.hook is not None
    assert engine.hook.process is not None
    return engine.hook.process.pid


def named(session: int, name: str) -> list[int]:
    return [pid for pid in leash.members(session) if name in psutil.Process(pid).name()]


def test_exit_code_and_lines_come_through_and_spark_itself_is_quiet(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "exits.py"
    script.write_text(
        "import sys\nfrom pyspark.sql import SparkSession\n"
        "print(SparkSession.builder.getOrCreate().range(7).count(), 'rows, Äpfel 🍎', sys.argv[1])\nsys.exit(2)\n"
    )
    assert Engine(deployment).run("exits", ["a b=%"], application=script) == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len([line for line in lines if "7 rows, Äpfel 🍎 a b=%" in line]) == 1
    # The command, the line, and at most two things that Airflow says about itself; Spark alone would say eighty.
    assert len(lines) <= 4, lines


@pytest.mark.heavy
def test_a_killed_jvm_takes_driver_daemon_and_workers_along(deployment: Deployment, tmp_path: Path) -> None:
    engine, thread, codes = at_work(deployment, tmp_path)
    session = session_of(engine)
    assert len(named(session, "python")) >= 3, "driver, daemon, worker"
    for pid in named(session, "java"):
        os.kill(pid, signal.SIGKILL)
    thread.join(timeout=30)
    assert codes == [137]
    assert leash.members(session) == []


def test_killing_the_task_kills_the_job(deployment: Deployment, tmp_path: Path) -> None:
    engine, thread, codes = at_work(deployment, tmp_path)
    session = session_of(engine)
    engine.kill()
    assert leash.members(session) == []
    thread.join(timeout=30)
    assert codes
    assert codes[0] != 0


@pytest.mark.heavy
def test_a_task_that_is_itself_killed_leaves_no_job_behind(deployment: Deployment, tmp_path: Path) -> None:
    script, sign = tmp_path / "slow.py", tmp_path / "sign"
    script.write_text(WORKING)
    program = (
        "import sys; from pathlib import Path; from pomona_airflow.deployment import Deployment\n"
        "from pomona_airflow.spark.engine_local import Engine\n"
        "Engine(Deployment.from_environment()).run('slow', [sys.argv[2]], application=Path(sys.argv[1]))"
    )
    task = subprocess.Popen([sys.executable, "-c", program, str(script), str(sign)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(sign.exists, 60, "batch of the job")
    below = psutil.Process(task.pid).children(recursive=True)
    assert len(below) >= 4
    task.kill()
    task.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert alive == []


@pytest.mark.heavy
def test_an_archive_that_does_not_fit_does_not_keep_spark_from_starting(deployment: Deployment, tmp_path: Path) -> None:
    state = tmp_path / "state"
    home = spark_home.prepared(state)
    home.archive.write_bytes(b"no archive at all")
    script = tmp_path / "counts.py"
    script.write_text("from pyspark.sql import SparkSession\nassert SparkSession.builder.getOrCreate().range(3).count() == 3\n")
    assert Engine(Deployment.from_environment({"POMONA_STATE": str(state)})).run("counts", [], application=script) == 0


def test_the_archive_is_used(deployment: Deployment, tmp_path: Path) -> None:
    home = spark_home.prepared(deployment.state)
    seen = tmp_path / "classes.txt"
    variables = home.environment()
    variables["SPARK_SUBMIT_OPTS"] += f" -Xlog:class+load:file={seen}"
    script = tmp_path / "nothing.py"
    script.write_text("from pyspark import SparkContext\nSparkContext.getOrCreate().parallelize(range(3)).mapPartitions(iter).collect()\n")
    subprocess.run([home.submit, "--master", "local[1]", script], env={**os.environ, **variables}, check=True, capture_output=True)
    lines = seen.read_text().splitlines()
    assert sum("shared objects file (top)" in line for line in lines) > 0.5 * len(lines)


def test_spark_home_says_which_java_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(java.NoJava, match="openjdk-17-jre-headless"):
        java.java_home()


def test_the_project_ships_a_quiet_log_file() -> None:
    assert "rootLogger.level = warn" in (PROJECT / "conf" / "log4j2.properties").read_text()
