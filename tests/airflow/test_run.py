"""`make run`, `make up`, `make down`: what they refuse, what they print, and whom they name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pomona_airflow.deployment import PROJECT, Deployment
from run.airflow_home import AirflowHome
from run.chain import _JOB_LINE, Refused, alone, checked_images, checked_knobs, chosen, run
from run.services import taken_by
from run.table import table

SUMMARY = {
    "counts": {"in": 1583, "kept": 1576, "rejected": 3, "ignored": 4, "duplicate": 2, "conflict": 2, "unselected": 0, "gone": 0}
    | {"train": 1287, "test": 289, "labels": 6, "groups": 14},
    "scores": {
        "official": {"accuracy": 0.9931, "accuracy_interval": [0.985, 1.0], "macro_f1": 0.99, "macro_f1_interval": [0.872, 1.0]}
        | {"n_images": 289, "n_groups": 7},
        "group_safe": {"accuracy": 0.5, "accuracy_interval": [None, None], "macro_f1": 0.4, "macro_f1_interval": [None, None]}
        | {"n_images": 12, "n_groups": 1},
    },
    "model": {"name": "orchard", "version": 3, "champion": True},
    "verdict": {"decision": "promote", "reason": "the first model"},
    "files": {"report": "report.html"},
}


def test_the_table_says_what_came_out() -> None:
    lines = table(SUMMARY, {"ingest": {"seconds": 1.25}, "train": {"seconds": 3.0}}, "/lake/orchard/runs/x", 61.04).splitlines()
    assert [line.strip() for line in lines] == [
        "",
        "images    1,583 in, 1,576 kept, 3 rejected, 4 ignored (2 duplicate, 2 conflict)",
        "1,287 train, 289 test, 6 labels, 14 groups",
        "accuracy  0.993 (95 %: 0.985 to 1.000), 289 images of 7 groups",
        "0.500 (no interval: too few groups), 12 images of 1 groups group-safe",
        "macro-F1  0.990 (95 %: 0.872 to 1.000), 289 images of 7 groups",
        "0.400 (no interval: too few groups), 12 images of 1 groups group-safe",
        "seconds   ingest 1.2, train 3.0",
        "61.0 in all, Spark's and Airflow's own start included",
        "model     orchard version 3, now champion",
        "verdict   promote: the first model",
        "report    /lake/orchard/runs/x/report.html",
        "next      POMONA_NAME=orchard make serve",
    ]


def test_the_table_names_the_cost_of_a_run_on_aws() -> None:
    cost = {"usd": 0.4381, "complete": True, "prices": "us-east-1, on demand, 2026-11-20"}
    lines = table({**SUMMARY, "cost": cost}, {}, "/lake", 1.0).splitlines()
    said = "  cost      about 0.44 dollars (prices of us-east-1, on demand, 2026-11-20); the report says what is not in it"
    assert said in lines
    assert "about 0.44 dollars, and what is not known (" in table({**SUMMARY, "cost": {**cost, "complete": False}}, {}, "/lake", 1.0)


@pytest.mark.parametrize(
    ("settings", "landing", "name"),
    [
        ({}, "{state}/demo/orchard", "orchard"),
        ({"POMONA_NAME": "mine"}, "{state}/demo/orchard", "mine"),
        ({"POMONA_LANDING": "s3://bucket/My Fruit"}, "s3://bucket/My Fruit", "my-fruit"),
        ({"POMONA_LANDING": "s3://bucket/in", "POMONA_NAME": "mine"}, "s3://bucket/in", "mine"),
    ],
)
def test_without_images_a_run_is_over_the_landing_zone_that_is_set_and_else_over_drawn_pictures(
    settings: dict[str, str], landing: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("run.chain.dotenv", lambda path: {"POMONA_STATE": str(tmp_path)})
    for variable in ("POMONA_NAME", "POMONA_LANDING"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    found = chosen("")
    assert (found.landing, found.name) == (landing.format(state=tmp_path), name)


def test_images_win_over_the_landing_zone_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apple").mkdir()
    (tmp_path / "apple" / "one.jpg").write_bytes(b"")
    monkeypatch.setenv("POMONA_LANDING", "s3://bucket/in")
    assert chosen(str(tmp_path)).landing == str(tmp_path)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path / "none", "there is no such folder"),
        (lambda path: path, "is empty"),
        (lambda path: Path(sys.executable), "is a file"),
    ],
)
def test_a_useless_folder_of_pictures_is_refused_in_one_line(make, text: str, tmp_path: Path) -> None:
    (tmp_path / "apple").mkdir()
    with pytest.raises(Refused) as refused:
        checked_images(str(make(tmp_path)))
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, to whom everything is readable.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(Refused, match="cannot be read"):
        checked_images(str(tmp_path))


def test_a_folder_with_one_picture_is_taken_with_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "apple").mkdir(parents=True)
    (tmp_path / "in" / "apple" / "one.jpg").touch()
    monkeypatch.chdir(tmp_path)
    assert checked_images("in") == str(tmp_path / "in")
    assert checked_images("s3://bucket/in") == "s3://bucket/in"


@pytest.mark.parametrize(
    ("text", "line"), [("{n}", "is not a JSON object"), ("[1]", "is not a JSON object"), ('{"n_words": -1}', "out of bounds")]
)
def test_bad_knobs_are_refused_before_anything_starts(text: str, line: str) -> None:
    with pytest.raises(Refused, match=line):
        checked_knobs(text)


def test_no_knobs_are_fine() -> None:
    assert checked_knobs("") == {}
    assert checked_knobs('{"n_words": 200}') == {"n_words": 200}


def test_make_run_answers_a_missing_folder_with_exit_code_2_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "run.chain", "--images", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"IMAGES={tmp_path / 'none'}: there is no such folder\n"


def test_the_second_run_of_a_name_says_for_whom_it_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entered = threading.Event()

    def second() -> None:
        with alone(tmp_path / "lock", "orchard"):
            entered.set()

    with alone(tmp_path / "lock", "orchard"):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.5)
    thread.join(timeout=10)
    assert entered.is_set()
    assert capsys.readouterr().out == f"another make run of 'orchard' is at work (process {os.getpid()}): waiting for it\n"


@pytest.mark.parametrize(("engine", "said"), [("emr", "the run's cluster ends when it was idle for 15 minutes"), ("emr-serverless", "")])
def test_ctrl_c_says_of_a_cluster_that_it_is_still_there(
    engine: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(process: subprocess.Popen[str], log: Path) -> str:
        raise KeyboardInterrupt

    places = {"LANDING": "s3://bucket/in", "LAKE": "s3://bucket/lake", "TRACKING": "http://mlflow:5000", "ENGINE": engine}
    deployment = Deployment.from_environment({"POMONA_STATE": str(tmp_path), **{f"POMONA_{name}": text for name, text in places.items()}})
    monkeypatch.setattr("run.chain.follow", interrupted)
    monkeypatch.setattr("run.chain.BIN", Path("/bin"))
    with pytest.raises(KeyboardInterrupt):
        run(AirflowHome.of(tmp_path / "airflow", deployment), deployment, {})
    told = capsys.readouterr().err
    assert told.startswith(said) and bool(told) == bool(said)


def test_a_taken_port_is_named_with_its_holder_and_the_variable() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        line = taken_by("POMONA_AIRFLOW_PORT", port)
        assert line.startswith(f"port {port} is taken by ")
        assert f"(process {os.getpid()})" in line
        assert line.endswith("set POMONA_AIRFLOW_PORT to another one")
    assert taken_by("POMONA_AIRFLOW_PORT", port) == ""


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("13:17:07 describe: 386 of 576 images, 39/s, 5 s left", True),
        ("13:17:07 describe of run manual__x: side_px=512", False),
        ("Traceback (most recent call last):", False),
    ],
)
def test_of_a_job_progress_and_end_are_shown_and_no_traceback(line: str, shown: bool) -> None:
    assert bool(_JOB_LINE.match(line)) is shown


def test_the_check_of_the_machine_names_the_package_that_is_missing(tmp_path: Path) -> None:
    check = [sys.executable, str(PROJECT / "run" / "check.py")]
    bare = {"PATH": str(tmp_path)}
    done = subprocess.run(check, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "Java 17 or newer is needed, there is none: install openjdk-17-jre-headless\n"
    old = tmp_path / "jdk-11"
    (old / "bin").mkdir(parents=True)
    (old / "bin" / "java").touch(mode=0o755)
    (old / "release").write_text('JAVA_VERSION="11.0.2"\n')
    done = subprocess.run(check, env={**bare, "JAVA_HOME": str(old)}, capture_output=True, text=True, check=False)
    assert "this is 11: install openjdk-17-jre-headless" in done.stderr
    (old / "release").write_text('JAVA_VERSION="21.0.1"\n')
    assert subprocess.run(check, env={**bare, "JAVA_HOME": str(old)}, check=False).returncode == 0
