"""`make demo` for real: what it leaves in lake and registry, and that nothing of it runs on, however it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pomona import reigns, tracking
from pomona.lake import Lake
from pomona_airflow.deployment import PROJECT
from run.demo import NAME
from tests.waiting import wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(3600)]
# Of a machine that is busy with something else: a minute of one that is not.
START_S = 900


class Demo:
    """The command as `make demo DEMO=folder` gives it, in a group of its own as a terminal gives it one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder.with_suffix(".txt")
        # A suite in the background ignores Ctrl-C, and so would what it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.out.open("w") as out:
            command = [sys.executable, "-m", "run.demo", "--folder", str(folder)]
            self.process = subprocess.Popen(
                command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, process_group=0
            )

    @property
    def said(self) -> str:
        return self.out.read_text(encoding="utf-8")

    def until(self, words: str, timeout_s: float) -> None:
        wait_until(lambda: words in self.said or self.process.poll() is not None, timeout_s, f"{words!r}")
        assert words in self.said, self.said

    def left(self) -> list[psutil.Process]:
        """The processes that have the demo's settings."""
        return [process for process in psutil.process_iter() if _lake_of(process) == str(self.folder / "lake")]


def _lake_of(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("POMONA_LAKE", ""))
    except psutil.Error:
        return ""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    played = Demo(tmp_path / "life")
    yield played
    if played.process.poll() is None:
        played.process.send_signal(signal.SIGINT)
        played.process.wait(timeout=60)


def test_a_whole_life_happens_and_its_traces_say_the_same_as_its_words(demo: Demo) -> None:
    code = demo.process.wait(timeout=3000)
    print(demo.said)
    assert code == 0
    assert demo.left() == []
    lake, uri = Lake(str(demo.folder / "lake"), NAME), f"sqlite:///{demo.folder}/mlflow.db"
    truth = json.loads((demo.folder / "drawn" / "truth.json").read_text())

    # Three runs by arrival, each a version and each better than the champion before it.
    summaries = [lake.document(f"runs/{entry['run']}/summary.json") or {} for entry in lake.entries("judged")]
    arrived = ["160 images", "240 images", "16 images and 1 file of labels"]
    assert [document["started_by"].rpartition(",")[0] for document in summaries] == [f"arrival of {what}" for what in arrived]
    assert tracking.versions(uri, NAME) == {number: document["run"] for number, document in enumerate(summaries, start=1)}
    assert [document["verdict"]["decision"] for document in summaries] == ["promote"] * 3
    assert [document["counts"]["labels"] for document in summaries] == [5, 5, 6]

    # The champion's word on unlabelled pictures: version 2 did not know the sixth kind, version 3 does.
    runs = {document["champion"]: document["run"] for document in lake.entries("scored")}
    before, after = (scored(lake, runs[version]) for version in (2, 3))
    of_sixth = [row["unknown"] == "true" for row in before if kind(row, truth) == truth["sixth"]]
    of_known = [row["unknown"] == "true" for row in before if kind(row, truth) != truth["sixth"]]
    assert (len(of_sixth), len(of_known)) == (48, 40)
    assert sum(of_sixth) / 48 >= 0.5 > 2 * sum(of_known) / 40
    fresh = [row for row in after if row["path"].startswith("tray-10/")]
    assert len(fresh) == 12
    assert sum(row["label"] == truth["sixth"] for row in fresh) > 6
    assert sum(row["unknown"] == "true" for row in fresh) <= 6

    # Monitoring compared them with training, in two windows, which were strange together.
    (document, *later) = lake.entries("health")
    assert (document["champion"], document["n_new"], document["n_unknown"]) == (2, 88, sum(of_sixth) + sum(of_known))
    assert [(entry["n_images"], entry["began"]) for entry in document["windows"]] == [(44, False), (44, True)]
    assert [(entry["champion"], entry["n_new"], entry["n_waiting"]) for entry in later] == [(3, 12, 12)]

    # The labels that came back were obeyed.
    (saved,) = (demo.folder / "labels").glob("*.csv")
    answers = list(csv.DictReader(saved.open(newline="")))
    added = [row for row in answers if row["path"].startswith("unlabelled/")]
    assert summaries[2]["labels"]["by"] == {"demo": len(answers)}
    assert (summaries[2]["counts"]["added"], summaries[2]["counts"]["relabelled"]) == (len(added), 0)
    assert {row["label"] for row in added} >= {truth["sixth"]}

    # The champions, the rollback, and that nothing is held any more.
    ledger = lake.entries("promotions")
    assert [(change.version, change.kind) for change in reigns.changes(ledger)] == [
        *((version, "promotion") for version in (1, 2, 3)),
        (2, "rollback"),
    ]
    assert reigns.held(ledger) is None
    assert tracking.champion_version(uri, NAME) == 2


def scored(lake: Lake, run: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lake.get(f"runs/{run}/scored.csv").decode(), newline="")))


def kind(row: dict[str, str], truth: dict[str, Any]) -> str:
    return str(truth["trays"][row["path"].split("/")[0]])


def test_stopped_in_the_middle_of_a_run_it_leaves_no_process(demo: Demo) -> None:
    demo.until("retrain: ingest", START_S)
    assert len(demo.left()) > 5
    # As a terminal does it, to the whole group.
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(timeout=60) == 130
    assert demo.left() == []
    assert demo.said.endswith("stopped; nothing is left running\n")
    assert "Traceback" not in demo.said


def test_killed_it_leaves_no_process_and_the_next_begins_afresh_in_its_folder(demo: Demo) -> None:
    demo.until("retrain: ingest", START_S)
    command = [sys.executable, "-m", "run.demo", "--folder", str(demo.folder)]
    other = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert other.stderr.startswith("another make demo is at work in ")
    demo.process.kill()
    demo.process.wait()
    wait_until(lambda: not demo.left(), 60, "end of what the demo started")
    again = Demo(demo.folder)
    try:
        # By then ingest has made the lake.
        again.until("retrain: describe", START_S)
        assert "What the last demo left is removed." in again.said
        (run,) = (demo.folder / "lake" / NAME / "runs").iterdir()
    finally:
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(timeout=60) == 130
    assert run.name.startswith("asset_triggered__")
    assert again.left() == []
