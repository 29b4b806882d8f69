"""`make queue`: its line, its exit code, and page and CSV in the lake."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pomona import tracking
from pomona.care import forgotten
from pomona.labels import questions
from pomona.lake import Lake
from run import queue
from tests.drawn_model import chain, knobs, picture, pictures, trained_on
from tests.traces import traces


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A deployment with two images without a label, and its tracking URI."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    places = {"LAKE": tmp_path / "lake", "LANDING": tmp_path / "landing", "STATE": tmp_path, "TRACKING": uri, "NAME": "fruit"}
    for name, value in places.items():
        monkeypatch.setenv(f"POMONA_{name}", str(value))
    Lake(str(tmp_path / "lake"), "fruit").open()
    (tmp_path / "unlabelled").mkdir()
    for seed in (70, 71):
        (tmp_path / "unlabelled" / f"{seed}.jpg").write_bytes(picture("lime", seed))
    return uri


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = queue.main(words)
    printed = capsys.readouterr()
    return code, (printed.err if code else printed.out).strip().splitlines()[-1]


def crown(uri: str) -> None:
    """Makes a drawn chain champion."""
    probes = [data for _, data in pictures(1)]
    facts = {"params": knobs(), "metrics": {}, "tags": {}}
    tracking.register(uri, "fruit", "r", chain=chain(), probes=probes, trained_on=trained_on(), **facts)
    tracking.connect(uri).set_registered_model_alias("fruit", "champion", "1")


def test_without_a_champion_one_line_says_what_to_do(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == (2, "fruit has no champion to ask yet: train a first model (make run)")
    assert said(capsys, "--images=many") == (2, "IMAGES='many' must be a whole number from 1 to 2,000")


def test_an_mlflow_that_does_not_answer_is_one_line(
    environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POMONA_TRACKING", "http://127.0.0.1:9")
    code, line = said(capsys)
    assert code == 2 and line.startswith("MLflow at http://127.0.0.1:9 does not answer (")


def test_page_and_csv_are_in_the_lake_and_once_all_is_answered_there_is_nothing_to_ask(
    environment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crown(environment)
    code, line = said(capsys)
    folder = tmp_path / "lake" / "fruit" / "queue"
    assert (code, line) == (
        0,
        f"2 images, 0 of them like nothing that version 1 knows and 0 for a doubtful label: open {folder}/queue.html "
        f"(or fill in queue.csv beside it) and drop the saved CSV into {tmp_path}/labels",
    )
    assert "unlabelled/70.jpg" in (folder / "queue.html").read_text()
    rows = (folder / "queue.csv").read_text(encoding="utf-8-sig").splitlines()
    assert {row.split(",")[1] for row in rows[1:]} == {"unlabelled/70.jpg", "unlabelled/71.jpg"}
    filled = "\n".join([rows[0], *(row.replace(".jpg,,", ".jpg,lime,") for row in rows[1:])])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "anna.csv").write_text(filled)
    assert said(capsys) == (0, f"nothing to ask: no label of the last judged run is in doubt, and {tmp_path}/unlabelled has no new image")


def test_what_is_forgotten_while_the_champion_is_asked_is_not_asked_about(
    environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crown(environment)
    image, asking = picture("lime", 70), questions.to_ask

    def meanwhile(lake: Lake, *given: Any, **named: Any) -> questions.Asked:
        found = asking(lake, *given, **named)
        forgotten.record(lake, hashlib.sha256(image).hexdigest(), by="", reason="", learnt={})
        return found

    monkeypatch.setattr(questions, "to_ask", meanwhile)
    assert said(capsys)[1].startswith("1 images, ")
    assert traces(image, tmp_path / "lake") == {"fruit/forgotten/000001.json": {"name"}}
