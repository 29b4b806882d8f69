"""Whether a run would tell anything new, asked without a Spark session: the answer that ingest gives, before a cluster is paid for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from pomona import newness, tracking
from pomona.knobs import resolve
from pomona.outcome import BadInput
from tests.conftest import Runs


def asked(runs: Runs, run: str = "next", **knobs: Any) -> str:
    """The answer before the run, from the same places and knobs as its ingest has."""
    order = runs.work(run, "ingest", **knobs).order
    return newness.foreseen(order.place, order.resolved)


@pytest.fixture(scope="module")
def first(spark: Any, orchard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose ingest is done and that has reached a verdict by which version 3 is champion."""
    folder = tmp_path_factory.mktemp("first")
    runs = Runs(folder, Path(shutil.copytree(orchard, folder / "landing")))
    result = runs.stage("first", "ingest")
    runs.lake.append("judged", 1, {"run": "first", "state": {**result.notes["state"], "champion": 3}})
    return folder


@pytest.fixture
def judged(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """A copy of that folder, which the test may change."""
    monkeypatch.setattr(tracking, "champion_version", lambda *_: 3)
    copied = Path(shutil.copytree(first, tmp_path / "copied"))
    return Runs(copied, copied / "landing")


def test_the_same_pictures_knobs_code_and_champion_are_nothing_new_as_ingest_itself_says(judged: Runs) -> None:
    said = asked(judged)
    assert said == "pictures, knobs, code and champion (version 3) are those of run first, which reached its verdict"
    assert judged.stage("next", "ingest").line == f"nothing new: {said}"


def test_to_ask_writes_nothing(judged: Runs) -> None:
    before = {path: path.stat().st_mtime_ns for path in (judged.folder / "lake").rglob("*")}
    asked(judged)
    assert {path: path.stat().st_mtime_ns for path in (judged.folder / "lake").rglob("*")} == before


def test_one_picture_more_is_new(judged: Runs) -> None:
    some = next(judged.landing.glob("Training/*/*.jpg"))
    shutil.copy(some, some.with_name("r7_1_100.jpg"))
    assert asked(judged) == ""


def test_a_relabelled_and_a_deleted_picture_are_new(judged: Runs) -> None:
    next(judged.landing.glob("Training/*/*.jpg")).unlink()
    assert asked(judged) == ""


def test_another_knob_another_code_and_another_champion_are_new(judged: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(judged, n_words=21) == ""
    with monkeypatch.context() as changed:
        changed.setattr(newness, "code_hash", lambda: "0" * 64)
        assert asked(judged) == ""
    monkeypatch.setattr(tracking, "champion_version", lambda *_: 4)
    assert asked(judged) == ""


def test_where_mlflow_cannot_be_asked_only_the_job_can_tell(judged: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> int:
        raise MlflowException("no answer")

    monkeypatch.setattr(tracking, "champion_version", away)
    assert asked(judged) == ""


def test_a_run_that_is_done_anew_is_no_news_of_another_one(judged: Runs) -> None:
    assert asked(judged, run="first") == ""


def test_without_a_verdict_there_is_work(runs: Runs) -> None:
    assert asked(runs) == ""


def test_a_run_that_took_the_pictures_in_and_died_leaves_work(judged: Runs) -> None:
    judged.lake.remove("judged/000001.json")
    assert asked(judged) == ""


def test_what_ingest_would_refuse_is_refused_before(judged: Runs) -> None:
    with pytest.raises(BadInput, match="nonesuch"):
        asked(judged, labels="nonesuch")
    shutil.rmtree(judged.landing)
    judged.landing.mkdir()
    with pytest.raises(BadInput, match=r"60 of 60 known pictures are gone .* is the folder mounted"):
        asked(judged)


def test_without_a_folder_of_unlabelled_pictures_nothing_is_looked_for_elsewhere(judged: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(judged.landing)
    with pytest.raises(BadInput, match="POMONA_UNLABELLED is not set"):
        newness.answered(replace(judged.work("next", "ingest").order.place, unlabelled=""))


def test_an_empty_and_a_missing_landing_zone_are_refused_before(runs: Runs, tmp_path: Path) -> None:
    runs.landing = tmp_path / "poor"
    with pytest.raises(BadInput, match="does not exist: make it"):
        asked(runs)
    runs.landing.mkdir()
    with pytest.raises(BadInput, match="is empty"):
        asked(runs)


def test_knobs_are_compared_resolved(judged: Runs) -> None:
    place = judged.work("next", "ingest").order.place
    assert (
        newness.foreseen(place, resolve(judged.knobs)) == newness.foreseen(place, resolve({**judged.knobs, "encoding": "hellinger"})) != ""
    )
