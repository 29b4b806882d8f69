"""What `make demo` plays with: its own settings, its own folder, parcels, answers to the queue, and the words of monitoring."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pomona.labels.annotations import COLUMNS, parse
from pomona.labels.queue import Question, as_csv
from pomona_airflow.deployment import PROJECT, Deployment
from run import demo, services
from run.chain import Refused
from run.life import answered, deliver
from run.screen import Screen

NOW = datetime(2026, 11, 22, 13, 30, tzinfo=UTC)
PORTS = (4001, 4002, 4003, 4004)


def test_nothing_of_the_users_settings_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = {"POMONA_ENGINE": "emr", "POMONA_SCHEDULE": "0 3 * * *", "POMONA_LANDING": "s3://theirs/in", "AWS_PROFILE": "theirs"}
    monkeypatch.setattr(demo, "dotenv", lambda path: users)
    own = demo.settings(tmp_path, ports=PORTS, now=NOW)
    there = Deployment.from_environment({**users, **own})
    assert there == Deployment.from_environment({name: value for name, value in own.items() if name not in users or value})
    assert (there.name, there.engine, there.schedule, there.labels) == ("demo", "local", "", str(tmp_path / "labels"))
    assert (there.airflow_port, there.mlflow_port, there.serve_port, there.history_port) == PORTS
    # Half a day away, whenever the demo begins.
    assert there.score_schedule == "0 1 * * *"
    assert all(str(tmp_path) in place for place in (there.landing, there.unlabelled, there.lake, there.tracking, str(there.state)))


def test_its_ports_are_free_ones_and_no_two_the_same() -> None:
    ports = services.free_ports(4)
    assert len(set(ports)) == 4
    assert [services.taken_by("POMONA_AIRFLOW_PORT", port) for port in ports] == [""] * 4


def test_variables_of_another_pomona_and_another_airflow_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {
        "POMONA_SPARK_CORES": "1",
        "POMONA_NAME": "theirs",
        "AIRFLOW_HOME": "/theirs",
        "AIRFLOW__CORE__PARALLELISM": "1",
        "PATH": "/bin",
    }
    monkeypatch.setattr(os, "environ", theirs)
    demo.use({"POMONA_NAME": "demo"})
    assert os.environ == {"POMONA_NAME": "demo", "PATH": "/bin"}


def test_a_folder_that_no_demo_made_is_refused_in_one_line_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    command = [sys.executable, "-m", "run.demo", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    line = f"DEMO={tmp_path} is no folder that a demo made: give an empty or a new one, for all in it would be removed\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_demos_do_not_play_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "life"
    with demo.claimed(folder), pytest.raises(Refused, match="another make demo is at work in"), demo.claimed(folder):
        pass
    with demo.claimed(folder):
        pass


def test_what_the_last_demo_left_is_removed_but_not_what_it_only_pointed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared, folder = tmp_path / "spark", tmp_path / "it's life"
    shared.mkdir()
    (shared / "classes.jsa").touch()
    monkeypatch.setattr(os, "environ", dict(os.environ))
    demo.use(demo.settings(folder, ports=PORTS, now=NOW))
    with demo.claimed(folder):
        first = demo.fresh(folder, Deployment.from_environment(os.environ), Screen(sys.stdout), shared=shared)
        assert capsys.readouterr().out == ""
        (folder / "lake").mkdir()
        (folder / "mlflow.db").touch()
        again = demo.fresh(folder, Deployment.from_environment(os.environ), Screen(sys.stdout), shared=shared)
    assert first == again
    assert "is removed" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == [demo.MARK, demo.SETTINGS, "state"]
    assert (folder / "state" / "spark" / "classes.jsa").exists()
    # People read it into their shell.
    script = 'set -a; . "$1"; env'
    shown = subprocess.run(["bash", "-c", script, "bash", folder / demo.SETTINGS], env={}, capture_output=True, text=True, check=True)
    assert f"POMONA_LANDING={folder}/landing" in shown.stdout.splitlines()


def test_a_parcel_arrives_whole_and_leaves_what_was_there(tmp_path: Path) -> None:
    for name in ("Training/Apple/one.jpg", "Test/Apple/two.jpg"):
        (tmp_path / "parcel" / name).parent.mkdir(parents=True)
        (tmp_path / "parcel" / name).write_text(name)
    landing = tmp_path / "landing"
    (landing / "Training" / "Apple").mkdir(parents=True)
    (landing / "Training" / "Apple" / "earlier.jpg").touch()
    assert deliver(tmp_path / "parcel", landing) == 2
    assert (landing / "Test/Apple/two.jpg").read_text() == "Test/Apple/two.jpg"
    assert sorted(path.name for path in landing.rglob("*.jpg")) == ["earlier.jpg", "one.jpg", "two.jpg"]
    assert deliver(tmp_path / "parcel", landing) == 0


def test_the_answers_to_a_queue_are_what_labels_takes() -> None:
    questions = [
        Question("a" * 64, "unlabelled/tray-6/r0_1_100.jpg", "uncertain", None, (("Apple", 0.6), ("Pear", 0.4))),
        Question("b" * 64, 'Training/Pear, "green"/r1_1_100.jpg', "suspect", "Pear", (("Apple", 0.9),)),
    ]
    kinds = {questions[0].path: "Orange", questions[1].path: 'Pear, "green"'}
    text, given = answered(as_csv(questions).decode("utf-8-sig"), kinds.__getitem__, columns=COLUMNS, at="2026-11-22T13:30:00+00:00")
    assert given == ["Orange", 'Pear, "green"']
    history = parse("labels-demo.csv", text.encode(), modified=NOW)
    assert history.spoiled == ()
    assert [(said.content, said.path, said.label, said.annotator, said.at[:16]) for said in history.annotations] == [
        ("a" * 64, questions[0].path, "Orange", "demo", "2026-11-22T13:30"),
        ("b" * 64, questions[1].path, 'Pear, "green"', "demo", "2026-11-22T13:30"),
    ]
