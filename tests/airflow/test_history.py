"""`make history`: the server looks where stages write, on loopback, and shows what they left."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pomona_airflow.deployment import PROJECT, Deployment, NotReady
from pomona_airflow.spark.s3a import events_in
from pomona_airflow.spark.spark_home import CONF, LOOPBACK, home_of
from run.history import main, options


def test_the_server_looks_where_the_stages_write(tmp_path: Path) -> None:
    told = options(Deployment.from_environment({"POMONA_STATE": str(tmp_path), "POMONA_HISTORY_PORT": "18123"}))
    assert f"-Dspark.history.fs.logDirectory=file://{tmp_path}/events " in told["SPARK_HISTORY_OPTS"]
    assert "-Dspark.history.ui.port=18123 " in told["SPARK_HISTORY_OPTS"]
    assert (tmp_path / "events").is_dir()


def test_without_event_logs_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="set POMONA_SPARK_EVENTS to a folder"):
        options(Deployment.from_environment({"POMONA_STATE": str(tmp_path), "POMONA_SPARK_EVENTS": "none"}))


def test_a_port_that_is_taken_is_named_and_no_other_one_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *command: pytest.fail("the server was started"))
    monkeypatch.setenv("POMONA_STATE", str(tmp_path))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("POMONA_HISTORY_PORT", str(listener.getsockname()[1]))
        with pytest.raises(SystemExit, match=r"^port \d+ is taken by .*: set POMONA_HISTORY_PORT to another one$"):
            main()


@pytest.mark.heavy
def test_a_stage_s_event_log_opens_in_the_history_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"POMONA_STATE": str(tmp_path), "POMONA_HISTORY_PORT": str(port)}
    deployment = Deployment.from_environment(settings)
    home, log = home_of(deployment), tmp_path / "log"
    application = tmp_path / "few.py"
    application.write_text(
        "from pyspark.sql import SparkSession\n"
        "SparkSession.builder.appName('pomona describe run-1').getOrCreate().range(0, 9, 1, 3).rdd.foreach(print)\n"
    )
    (tmp_path / "events").mkdir()
    conf = [
        word for name, value in (CONF | LOOPBACK | events_in(str(tmp_path / "events"))).items() for word in ("--conf", f"{name}={value}")
    ]
    command = [str(home.submit), "--master", "local[1]", *conf, str(application)]
    with log.open("wb") as said:
        subprocess.run(command, env={**os.environ, **home.environment()}, stdout=said, stderr=said, check=True)
        server = subprocess.Popen(
            [sys.executable, "-m", "run.history"],
            env={**os.environ, **settings},
            cwd=PROJECT,
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
        )
    try:
        shown = listed(port)
    finally:
        server.terminate()
        server.wait(30)
    assert "http://127.0.0.1" in log.read_text()
    assert [each["name"] for each in shown] == ["pomona describe run-1"], log.read_text()


def listed(port: int) -> list[dict[str, str]]:
    """The applications that the server shows; none when it showed none in a minute and a half."""
    for _ in range(90):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/applications", timeout=10) as answer:
                found = json.load(answer)
            if found:
                return list(found)
        except OSError:
            pass
        time.sleep(1)
    return []
