"""`score` beside `forget`: what is forgotten while the champion is asked stays forgotten, and neither sees half of the other's work.

Without Spark and without MLflow: what the champion says is given.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pomona import command, lease, scored, tracking
from pomona.care import artifacts
from pomona.care.forgetting import forget
from pomona.jobs import score
from pomona.lake import Lake
from pomona.monitoring.watching import Observed
from pomona.outcome import Result
from pomona.report import health
from pomona.work import Work
from run_stage import done
from tests.drawn_model import picture
from tests.traces import traces
from tests.whole_lake import faults, misnamed

LEMON, LIME, PLUM = (picture(label, 900) for label in ("lemon", "lime", "plum"))


class Place:
    """A folder of unlabelled pictures beside a lake of its own; `meanwhile` is called while the champion is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder, Lake(str(folder / "lake"), "fruit").open()
        self.meanwhile: Callable[[], Any] = lambda: None

    def put(self, name: str, image: bytes) -> None:
        (self.folder / "unlabelled").mkdir(exist_ok=True)
        (self.folder / "unlabelled" / name).write_bytes(image)

    def score(self, run: str) -> Result:
        place = command.Place(run, "fruit", str(self.folder / "lake"), "landing", "", unlabelled=str(self.folder / "unlabelled"))
        return done(Work(command.parse(command.score_arguments(place)), self.lake))

    def forget(self, image: bytes) -> None:
        forget(self.lake, "", hashlib.sha256(image).hexdigest(), by="", reason="")

    def told(self, _work: Work, _landing: object, new: pd.DataFrame, _version: int) -> tuple[pd.DataFrame, Observed]:
        images = [(self.folder / "unlabelled" / path).read_bytes() for path in new["path"]]
        rows = new.drop(columns=["share", "pending"]).assign(
            content=[hashlib.sha256(image).hexdigest() for image in images], label="lime", probability=0.5, margin=0.5, final=True
        )
        self.meanwhile()
        return rows.reindex(columns=scored.told_schema().names), Observed(why="nobody looks")

    @property
    def left(self) -> dict[str, str]:
        rows = scored.latest(self.lake).rows
        return dict(zip(rows["path"], rows["content"], strict=True))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place(tmp_path)
    monkeypatch.setattr(score, "_told", found.told)
    monkeypatch.setattr(tracking, "champion_version", lambda *_: 1)
    monkeypatch.setattr(tracking, "versions", lambda *_: {})
    for name in ("of_models", "of_runs"):
        monkeypatch.setattr(artifacts, name, lambda *_: [])
    return found


def test_what_is_forgotten_while_the_champion_is_asked_is_not_saved(place: Place) -> None:
    place.put("lemon.jpg", LEMON)
    place.score("first")
    place.put("lime.jpg", LIME)
    place.put("plum.jpg", PLUM)
    place.meanwhile = lambda: (place.forget(LEMON), place.forget(LIME))
    assert place.score("second").counts["in"] == 1
    assert place.left == {"plum.jpg": hashlib.sha256(PLUM).hexdigest()}
    for number, image in ((1, LEMON), (2, LIME)):
        assert traces(image, place.folder / "lake") == {f"fruit/forgotten/00000{number}.json": {"name"}}
    assert faults(place.lake) == misnamed(place.lake) == []


@pytest.mark.parametrize("at", ["the record of its state", "its page"])
def test_who_forgets_waits_while_answers_are_saved(place: Place, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    place.put("lemon.jpg", LEMON)
    place.put("plum.jpg", PLUM)
    waited = []
    forgetting = threading.Thread(target=place.forget, args=(LEMON,))

    def begins() -> None:
        forgetting.start()
        forgetting.join(2)
        waited.append(forgetting.is_alive())

    append, page = Lake.append, health.write

    def appended(self: Lake, record: str, number: int, document: Any) -> bool:
        if record == scored.RECORD and at == "the record of its state":
            begins()
        return append(self, record, number, document)

    def paged(written: Lake) -> None:
        if at == "its page":
            begins()
        page(written)

    monkeypatch.setattr(Lake, "append", appended)
    monkeypatch.setattr(health, "write", paged)
    place.score("first")
    forgetting.join(60)
    assert waited == [True]
    assert place.left == {"plum.jpg": hashlib.sha256(PLUM).hexdigest()}
    assert traces(LEMON, place.folder / "lake") == {"fruit/forgotten/000001.json": {"name"}}
    assert faults(place.lake) == misnamed(place.lake) == []


def test_answers_are_saved_while_a_stage_holds_the_lake(place: Place) -> None:
    place.put("lemon.jpg", LEMON)
    with lease.hold(place.lake, "train of run r"):
        assert place.score("first").status == "done"


def test_a_state_whose_rows_are_gone_keeps_nobody_from_forgetting(place: Place) -> None:
    place.put("lemon.jpg", LEMON)
    place.put("plum.jpg", PLUM)
    place.score("first")
    (rows,) = place.lake.files("first", "scored")[:1]
    place.lake.remove(rows.path)
    place.forget(LEMON)
    assert rows == place.lake.files("first", "scored")[0]
    with pytest.raises(FileNotFoundError):
        scored.latest(place.lake)


def test_who_reads_while_an_image_is_forgotten_reads_the_state_without_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("lemon.jpg", LEMON)
    place.put("plum.jpg", PLUM)
    place.score("first")
    read_rows, begun = Lake.read_rows, []

    def forgotten_first(self: Lake, *asked: Any) -> Any:
        if not begun:
            begun.append(True)
            place.forget(LEMON)
        return read_rows(self, *asked)

    monkeypatch.setattr(Lake, "read_rows", forgotten_first)
    assert list(place.left) == ["plum.jpg"]
