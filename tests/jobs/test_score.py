"""The job `score` over a real version: who is asked, when again, and what stands in the rows."""

from __future__ import annotations

import csv
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pomona import command, scored, tracking
from pomona.care.forgetting import forget
from pomona.jobs import score
from pomona.landing import Landing
from pomona.monitoring.watching import Observed
from pomona.outcome import BadInput, Result
from pomona.snapshots import KEY
from pomona.work import Work
from run_stage import done
from serving.asked import keep
from tests import drawn_model
from tests.conftest import Runs
from tests.traces import traces
from tests.whole_lake import misnamed


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An MLflow with the drawn chain as versions 1 and 2, and a version 3 that has no files."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('models') / 'mlflow.db'}"
    probes = [data for _, data in drawn_model.pictures(1)]
    facts = {"chain": drawn_model.chain(), "probes": probes, "trained_on": drawn_model.trained_on(), "params": drawn_model.knobs()}
    for run in ("r1", "r2"):
        tracking.register(uri, "fruit", run, metrics={}, tags={}, **facts)
    tracking.connect(uri).create_model_version("fruit", source="file:///nowhere")
    return uri


class Place:
    """A folder of unlabelled pictures beside a lake of its own."""

    def __init__(self, folder: Path, models: str) -> None:
        self.runs = Runs(folder, folder / "landing", name="fruit")
        self.unlabelled, self.models = folder / "unlabelled", models
        self._n_runs = 0

    def champion(self, version: int | None) -> None:
        """Makes the version champion, or none."""
        client = tracking.connect(self.models)
        if tracking.alias_of(client, "fruit") is not None:
            client.delete_registered_model_alias("fruit", "champion")
        if version is not None:
            client.set_registered_model_alias("fruit", "champion", str(version))

    def put(self, name: str, data: bytes) -> None:
        path = self.unlabelled / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def score(self) -> Result:
        """The job as the entry point does it, from a command line."""
        self._n_runs += 1
        run, lake, landing = f"s{self._n_runs}", str(self.runs.folder / "lake"), str(self.runs.landing)
        place = command.Place(run, "fruit", lake, landing, self.models, unlabelled=str(self.unlabelled))
        return done(Work(command.parse(command.score_arguments(place)), self.runs.lake))

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The newest state, by path."""
        return {row["path"]: row for row in scored.latest(self.runs.lake).rows.to_dict("records")}


@pytest.fixture
def place(spark: Any, models: str, tmp_path: Path) -> Place:
    found = Place(tmp_path, models)
    found.champion(1)
    return found


def test_without_pictures_or_without_a_champion_there_is_nothing_to_ask(place: Place) -> None:
    result = place.score()
    assert (result.status, result.line) == ("nothing_new", f"nothing new: {place.unlabelled} has no pictures")
    place.champion(None)
    place.put("a.jpg", drawn_model.picture("plum", 1))
    assert place.score().line == "nothing new: fruit has no champion yet: `retrain` makes the first one"


def test_each_picture_gets_label_probability_margin_and_the_version_that_answered(place: Place) -> None:
    labels = list(drawn_model.COLOURS)
    for number, label in enumerate(labels):
        place.put(f"of-{number}/{label}.jpg", drawn_model.picture(label, 400 + number))
    place.put("notes.txt", b"no picture")
    result = place.score()
    assert result.counts == {"in": len(labels), "asked": len(labels), "unknown": 0, "rejected": 0}
    chain = drawn_model.chain()
    for number, label in enumerate(labels):
        row = place.rows[f"of-{number}/{label}.jpg"]
        expected = sorted(chain.answer(drawn_model.picture(label, 400 + number)))
        assert (row["label"], row["champion"], row["reason"]) == (label, 1, None)
        assert row["probability"] == pytest.approx(expected[-1], abs=1e-6)
        assert row["margin"] == pytest.approx(expected[-1] - expected[-2], abs=1e-6)
    with Path(place.runs.lake.location("runs/s1/scored.csv")).open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [(row["path"], row["label"], row["champion"]) for row in listed] == sorted(
        (f"of-{number}/{label}.jpg", label, "1") for number, label in enumerate(labels)
    )


def test_the_monitoring_page_is_written_anew_and_a_fault_of_it_is_none_of_the_job(place: Place) -> None:
    label = next(iter(drawn_model.COLOURS))
    place.put("a.jpg", drawn_model.picture(label, 1))
    place.score()
    assert "0 more cannot be read" in place.runs.lake.get("health/health.html").decode()
    place.put("b.jpg", b"no picture")
    place.runs.lake.put("promotions/000001.json", b"{")
    assert place.score().counts["rejected"] == 1
    assert "0 more cannot be read" in place.runs.lake.get("health/health.html").decode()
    place.runs.lake.remove("promotions/000001.json")
    place.put("c.jpg", drawn_model.picture(label, 2))
    place.score()
    assert "1 more cannot be read" in place.runs.lake.get("health/health.html").decode()


def test_who_was_overtaken_by_the_next_champion_asks_that_one(models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, models)
    place.champion(1)
    place.put("a.jpg", drawn_model.picture("plum", 1))

    def told(work: Work, landing: Landing, new: pd.DataFrame, version: int) -> tuple[pd.DataFrame, Observed]:
        if version == 1:
            place.champion(2)
            place.put("b.jpg", drawn_model.picture("plum", 2))
            place.score()
        rows = [{**file, "content": file["path"], "label": "plum", "final": True} for file in new[KEY].to_dict("records")]
        return score._divided(pa.Table.from_pylist(rows, schema=score.answers_schema()), Observed())

    monkeypatch.setattr(score, "_told", told)
    result = place.score()
    assert (result.notes["champion"], {row["champion"] for row in place.rows.values()}) == (2, {2})
    documents = place.runs.lake.entries("health")
    assert [(document["run"], document["champion"], document["n_new"]) for document in documents] == [("s2", 2, 2), ("s1", 2, 0)]


def test_only_what_is_new_is_asked_about_and_what_is_gone_is_told_no_more(place: Place) -> None:
    label = next(iter(drawn_model.COLOURS))
    for name in ("a.jpg", "b.jpg"):
        place.put(name, drawn_model.picture(label, ord(name[0])))
    assert place.score().counts["asked"] == 2
    assert place.score().line.startswith("nothing new: version 1 has been asked about all 2 pictures in ")
    place.put("c.jpg", drawn_model.picture(label, 7))
    (place.unlabelled / "a.jpg").unlink()
    result = place.score()
    assert (result.counts["asked"], result.counts["in"], sorted(place.rows)) == (1, 2, ["b.jpg", "c.jpg"])


@pytest.mark.heavy
def test_a_new_champion_is_asked_about_everything_again(place: Place) -> None:
    label = next(iter(drawn_model.COLOURS))
    for number in range(3):
        place.put(f"{number}.jpg", drawn_model.picture(label, number))
    place.score()
    place.champion(2)
    assert place.score().counts["asked"] == 3
    assert {row["champion"] for row in place.rows.values()} == {2}


def test_a_file_that_is_no_picture_has_its_reason_and_is_not_asked_about_twice(place: Place) -> None:
    place.put("broken.jpg", b"\xff\xd8\xff broken")
    (place.unlabelled / "away.jpg").symlink_to("/nowhere/a.jpg")
    result = place.score()
    assert (result.counts["asked"], result.counts["rejected"]) == (1, 2)
    assert "broken" in place.rows["broken.jpg"]["reason"] and place.rows["broken.jpg"]["label"] is None
    assert place.rows["away.jpg"]["reason"] == "a link that leads nowhere"
    assert place.score().status == "nothing_new"


def test_a_folder_of_nothing_but_faults_has_their_reasons_and_nobody_is_asked(place: Place) -> None:
    place.unlabelled.mkdir()
    (place.unlabelled / "away.jpg").symlink_to("/nowhere/a.jpg")
    assert place.score().counts == {"in": 1, "asked": 0, "unknown": 0, "rejected": 1}
    assert place.score().status == "nothing_new"


def test_a_champion_without_files_is_named_and_nothing_is_written(place: Place) -> None:
    place.put("a.jpg", drawn_model.picture(next(iter(drawn_model.COLOURS)), 1))
    place.champion(3)
    with pytest.raises(BadInput, match="version 3 of fruit cannot be asked: the files of version 3"):
        place.score()
    assert scored.latest(place.runs.lake).number == 0


def test_what_the_service_keeps_is_scored_and_forgotten_like_any_other_picture(place: Place) -> None:
    image = drawn_model.picture("lime", 77)
    name = hashlib.sha256(image).hexdigest()
    for day in (21, 22):
        keep(image, folder=place.unlabelled, share=1.0, now=datetime(2026, 11, day, tzinfo=UTC))
    place.score()
    paths = [f"served/2026-11-{day}/{name}.jpg" for day in (21, 22)]
    assert sorted(place.rows) == paths
    assert {(row["content"], row["label"]) for row in place.rows.values()} == {(name, "lime")}
    forget(place.runs.lake, place.models, name, by="person (ann)", reason="")
    assert traces(image, place.runs.folder / "lake") == {"fruit/forgotten/000001.json": {"name"}}
    # The files are their owner's to delete; asked about again, they are no pictures of anybody.
    place.score()
    assert {row["reason"] for row in place.rows.values()} == {"forgotten"}


def test_of_a_forgotten_picture_nothing_is_left_and_the_champion_is_asked_no_more(place: Place) -> None:
    place.champion(1)
    image = drawn_model.picture("lemon", 900)
    place.put("a.jpg", image)
    place.put("b.jpg", drawn_model.picture("lime", 901))
    place.score()
    folder = place.runs.folder / "lake"
    assert any("scored/rows" in path for path in traces(image, folder))
    forget(place.runs.lake, place.models, hashlib.sha256(image).hexdigest(), by="person (ann)", reason="")
    assert traces(image, folder) == {"fruit/forgotten/000001.json": {"name"}}
    assert list(place.rows) == ["b.jpg"]
    assert misnamed(place.runs.lake) == []
    place.score()
    assert (place.rows["a.jpg"]["reason"], place.rows["a.jpg"]["label"], place.rows["b.jpg"]["label"]) == ("forgotten", None, "lime")
    assert traces(image, folder) == {"fruit/forgotten/000001.json": {"name"}}
