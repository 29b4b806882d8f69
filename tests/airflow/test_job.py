"""What commands share that submit a job of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pomona.command import parse, tidy_arguments
from pomona.lake import Lake
from pomona_airflow.deployment import PROJECT, Deployment
from run import job
from tests.waiting import wait_until

# In the place of a command that waits for its job; the one below takes a moment to end it.
JOB = """
import sys, time
open(sys.argv[1], "w").close()
try:
    time.sleep(300)
except KeyboardInterrupt:
    time.sleep(1)
    open(sys.argv[1] + ".ended", "w").close()
"""
COMMAND = """
import signal, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
from run import job
signal.signal(signal.SIGINT, signal.default_int_handler)
job._waited(subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]]), Path("log"))
"""


def test_ctrl_c_waits_until_the_job_is_ended_and_says_so_without_a_traceback(tmp_path: Path) -> None:
    mark = tmp_path / "began"
    command = [sys.executable, "-c", COMMAND, JOB, str(mark)]
    process = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(mark.exists, 60, "job")
    os.killpg(process.pid, signal.SIGINT)
    assert (process.communicate(timeout=60)[1], process.returncode) == ("stopped; its job ends too\n", 130)
    assert mark.with_name("began.ended").exists()


def test_on_aws_the_job_of_a_command_has_a_name_by_which_it_can_be_asked_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("run.job.subprocess", SimpleNamespace(Popen=lambda command, **_: seen.append(command), DEVNULL=None))
    monkeypatch.setattr("run.job._waited", lambda process, log: 0)
    monkeypatch.setattr(Lake, "outcome", lambda *_: {"status": "done", "line": "tidied"})
    on_aws = {"LANDING": "s3://bucket/in", "LAKE": "s3://bucket/lake", "TRACKING": "http://mlflow:5000", "ENGINE": "emr-serverless"}
    for places in (on_aws, {}):
        settings = {"NAME": "fruit", "STATE": str(tmp_path), **places}
        deployment = Deployment.from_environment({f"POMONA_{name}": text for name, text in settings.items()})
        words = tidy_arguments(deployment.place("r"), keep_runs=3, events="", dry=False)
        assert job.ended(deployment, "tidy", words, first="") == (0, "tidied")
    named, unnamed = (parse(command[command.index("run.job") + 2 :]) for command in seen)
    assert (named.job, named.keep_runs, unnamed.job, unnamed.keep_runs) == ("pomona-fruit-r", 3, "", 3)
