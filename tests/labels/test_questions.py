"""The queue of a lake as it is now: doubtful labels and unlabelled images, and nothing that somebody has answered."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pomona import bundle, scored, snapshots
from pomona.care import forgotten
from pomona.care.erasing import without_rows
from pomona.care.rewriting import renamed
from pomona.command import Place
from pomona.formats import arrow_schema
from pomona.labels import unlabelled
from pomona.labels.questions import Asked, to_ask
from pomona.labels.suspects import Suspect
from pomona.lake import Lake
from pomona.landing import Landing
from pomona.outcome import File
from pomona.snapshots import Snapshot
from pomona.stages import STAGES
from tests.drawn_model import chain, knowing_chain, picture, pictures, strange_picture, trained_on

VERSION = 3


def content(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a champion that tells lemon, lime and plum apart."""
    folder = tmp_path_factory.mktemp("model") / "1"
    bundle.write(folder, chain=chain(), probes=[data for _, data in pictures(1)], trained_on=trained_on())
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A judged run over three plums, of which the second and third are doubted; two limes and a broken file without a label."""
    lake = Lake(str(tmp_path / "lake"), "fruit").open()
    plums = [picture("plum", seed) for seed in range(3)]
    images = sorted([{"content": content(data), "image": data, "format": "JPEG", "width": 96, "height": 96} for data in plums], key=str)
    part = lake.write_rows("parts/images", "images", pa.Table.from_pylist(images, arrow_schema("images")))

    def rows(dataset: str, found: list[dict[str, Any]]) -> pa.Table:
        return pa.Table.from_pylist(found, arrow_schema(dataset))

    lying = [
        {"content": content(data), "path": f"Training/plum/{seed}.jpg", "label": "plum", "split": "train", "group": f"{seed}"}
        for seed, data in enumerate(plums)
    ]
    for row in lying:
        row["part"] = part.name
    known = rows("placements", [{**row, "size": 1, "version": "1", "first_seen": "then", "gone_since": None} for row in lying])
    snapshots.save(lake, Snapshot(0, known.to_pandas(), arrow_schema("rejects").empty_table().to_pandas()))
    doubted = [Suspect(content(plums[seed]), "plum", f"{seed}", "lime", 0.1, 0.8, True)._asdict() for seed in (1, 2)]
    for stage, dataset, table in (("ingest", "roster", rows("roster", lying)), ("train", "suspects", rows("suspects", doubted))):
        files = [lake.write_rows(f"runs/r/{dataset}", dataset, table)]
        lake.write_manifest("r", stage, {**dict.fromkeys(STAGES[stage].writes, ()), dataset: files})
    lake.append("judged", 1, {"run": "r", "state": {}})
    waiting = tmp_path / "unlabelled" / "stall"
    waiting.mkdir(parents=True)
    for seed in (70, 71):
        (waiting / f"{seed}.jpg").write_bytes(picture("lime", seed))
    (waiting / "again.jpg").write_bytes(picture("lime", 70))
    (waiting / "plum.jpg").write_bytes(plums[0])
    (waiting / "broken.jpg").write_bytes(b"no picture")
    (waiting / "notes.txt").write_text("no picture either")
    folders = {"annotations": str(tmp_path / "labels"), "unlabelled": str(tmp_path / "unlabelled")}
    return Place("queue", "fruit", str(tmp_path / "lake"), str(tmp_path / "landing"), "", **folders)


def asked(place: Place, model: Path, n: int = 9) -> Asked:
    return to_ask(Lake(place.lake, place.name), place, model, version=VERSION, n=n)


def record(place: Place, said: dict[str, dict[str, Any]], *, champion: int = VERSION) -> None:
    """Writes down what the champion said of files of the stall, by name; what is not given is that of an unsure lime that it knows."""
    rows = []
    for file in Landing(place.unlabelled).files():
        if (name := Path(file.path).stem) in said:
            listed = {"path": file.path, "size": file.size, "version": file.version, "final": True, "champion": champion, "at": "then"}
            told = {"label": "lime", "probability": 0.5, "margin": 0.1, "unknown": False, "novelty": 0.5, "reason": None}
            rows.append({**listed, "content": content((Path(place.unlabelled) / file.path).read_bytes()), **told, **said[name]})
    frame = pa.Table.from_pylist(rows, arrow_schema("scored")).to_pandas()
    assert scored.save(Lake(place.lake, place.name), scored.Scored(0, frame), run="s", champion=champion)


def told(found: Asked) -> list[tuple[str, str]]:
    return [(question.why, question.path) for question in found.questions]


def test_doubtful_labels_and_unlabelled_images_take_turns_each_image_once(place: Place, model: Path) -> None:
    found = asked(place, model)
    doubtful, unsure = told(found)[::2], told(found)[1::2]
    assert doubtful == [("suspect", "Training/plum/1.jpg"), ("suspect", "Training/plum/2.jpg")]
    # The same bytes lie there twice, and the plum is labelled in the landing zone.
    assert {why for why, _ in unsure} == {"uncertain"}
    assert {question.content for question in found.questions[1::2]} == {content(picture("lime", seed)) for seed in (70, 71)}
    assert found.questions[0].suggestions == (("lime", 0.8), ("plum", 0.1))
    assert found.questions[1].suggestions[0][0] == "lime"
    assert found.classes == ("lemon", "lime", "plum")
    assert set(found.pictures) == {question.content for question in found.questions}
    assert all(jpeg.startswith(b"\xff\xd8\xff") for jpeg in found.pictures.values())
    assert len(asked(place, model, n=1).questions) == 1


def test_what_somebody_has_answered_is_not_asked_again(place: Place, model: Path) -> None:
    labels = Path(place.annotations)
    labels.mkdir()
    rows = [f"{content(picture('plum', 1))},,plum", ",unlabelled/stall/71.jpg,?"]
    (labels / "anna.csv").write_text("\n".join(["content,path,label", *rows, ""]))
    assert [path for _, path in told(asked(place, model))] == ["Training/plum/2.jpg", "unlabelled/stall/70.jpg"]


def test_a_picture_under_the_name_of_one_that_was_labelled_is_asked_about(place: Place, model: Path) -> None:
    labels = Path(place.annotations)
    labels.mkdir()
    (labels / "anna.csv").write_text(f"content,path,label\n{content(picture('lime', 71))},unlabelled/stall/71.jpg,lime\n")
    assert "unlabelled/stall/71.jpg" not in {path for _, path in told(asked(place, model))}
    (Path(place.unlabelled) / "stall" / "71.jpg").write_bytes(picture("lime", 72))
    assert "unlabelled/stall/71.jpg" in {path for _, path in told(asked(place, model))}


def test_what_this_champion_said_before_is_not_asked_again(place: Place, model: Path) -> None:
    # No file has this content: it comes from the record, which both files of the same bytes have it from.
    record(place, {"70": {"content": "a" * 64}, "again": {"content": "a" * 64}, "broken": {"label": None, "margin": None, "content": None}})
    found = asked(place, model)
    unsure = {question.path: question for question in found.questions if question.why == "uncertain"}
    known, new = unsure.pop("unlabelled/stall/70.jpg"), unsure.pop("unlabelled/stall/71.jpg")
    assert (known.content, new.content, unsure) == ("a" * 64, content(picture("lime", 71)), {})
    # The record has one label alone: what is asked about gets its suggestions anew.
    assert [label for label, _ in known.suggestions][:1] == ["lime"] and sum(share for _, share in known.suggestions) == pytest.approx(1)
    assert set(found.pictures) == {question.content for question in found.questions}


def test_what_another_champion_said_or_of_the_file_as_it_was_is_asked_anew(place: Place, model: Path) -> None:
    record(place, {"70": {"content": "a" * 64}, "again": {"content": "a" * 64}}, champion=VERSION - 1)
    assert "a" * 64 not in asked(place, model).pictures
    lake = Lake(place.lake, place.name)
    last = scored.latest(lake)
    assert scored.save(lake, replace(last, rows=last.rows.assign(champion=VERSION, version="0")), run="s2", champion=VERSION)
    assert "a" * 64 not in asked(place, model).pictures


def test_unknown_images_come_first_in_each_turn_and_of_them_the_most_novel(place: Place, model: Path) -> None:
    said = {
        "70": {"unknown": True, "novelty": 1.5, "margin": 0.0},
        "71": {"unknown": True, "novelty": 3.0, "margin": 0.99, "label": "plum"},
        "again": {"content": "b" * 64},
    }
    record(place, said)
    assert told(asked(place, model)) == [
        ("unknown", "unlabelled/stall/71.jpg"), ("suspect", "Training/plum/1.jpg"), ("uncertain", "unlabelled/stall/again.jpg"),
        ("unknown", "unlabelled/stall/70.jpg"), ("suspect", "Training/plum/2.jpg"),
    ]  # fmt: skip
    assert told(asked(place, model, n=1)) == [("unknown", "unlabelled/stall/71.jpg")]


def test_a_picture_like_none_of_the_labels_is_asked_about_as_unknown(place: Place, tmp_path: Path) -> None:
    bundle.write(tmp_path / "knowing", chain=knowing_chain(), probes=[data for _, data in pictures(1)], trained_on=trained_on())
    (Path(place.unlabelled) / "strange.jpg").write_bytes(strange_picture())
    found = asked(place, tmp_path / "knowing")
    assert told(found)[0] == ("unknown", "unlabelled/strange.jpg")
    assert {label for label, _ in found.questions[0].suggestions} == {"lemon", "lime", "plum"}


def test_what_was_forgotten_is_not_shown_to_anybody(place: Place, model: Path) -> None:
    lime = content(picture("lime", 70))
    forgotten.record(Lake(place.lake, place.name), lime, by="person (ann)", reason="", learnt={})
    assert told(asked(place, model))[1::2] == [("uncertain", "unlabelled/stall/71.jpg")]
    record(place, {"70": {}, "71": {}})
    assert lime not in asked(place, model).pictures


def test_parts_that_are_packed_or_lose_an_image_while_the_champion_is_asked_are_found_where_they_are_then(
    place: Place, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, before = Lake(place.lake, place.name), unlabelled.told

    def meanwhile(*given: Any, **options: Any) -> Any:
        roster = lake.read_rows(lake.files("r", "roster"))
        part = roster["part"][0].as_py()
        images = lake.read_rows([File(f"parts/images/{part}", "", 0, 0)])
        rest = lake.write_rows("parts/images", "images", without_rows(images, content(picture("plum", 0))))
        files = [lake.write_rows("runs/r/roster", "roster", renamed(roster, {part: rest.name}))]
        lake.write_manifest("r", "ingest", {**dict.fromkeys(STAGES["ingest"].writes, ()), "roster": files})
        lake.remove(f"parts/images/{part}")
        return before(*given, **options)

    monkeypatch.setattr(unlabelled, "told", meanwhile)
    assert told(asked(place, model))[::2] == [("suspect", "Training/plum/1.jpg"), ("suspect", "Training/plum/2.jpg")]


def test_a_file_that_is_no_more_as_it_was_listed_is_left_out(place: Place, model: Path) -> None:
    folder = Landing(place.unlabelled)
    rows = unlabelled.told(Lake(place.lake, place.name), folder, folder.files(), model, version=VERSION, skip=())
    assert rows["path"].tolist() == ["stall/70.jpg", "stall/71.jpg", "stall/plum.jpg"]
    rows.loc[0, "version"] = "0"
    found = unlabelled.most_worth(folder, rows, model, n=9)
    assert ({row["path"] for row in found["uncertain"]}, found["unknown"]) == ({"stall/71.jpg", "stall/plum.jpg"}, [])


def test_a_champion_whose_recipe_is_not_todays_is_asked_all_the_same(
    place: Place, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    older = Path(shutil.copytree(model, tmp_path / "older"))
    for file in (older / "artifacts" / "chain" / "knobs.json", older / "code" / "pomona" / "vision" / "encode.py"):
        file.write_text(file.read_text().replace('"encoding"', '"coding"'))
    caplog.set_level("INFO", logger="pomona")
    assert told(asked(place, older))[1::2] == told(asked(place, model))[1::2]
    assert "its recipe is not today's ('encoding')" in caplog.text


def test_without_a_judged_run_and_without_a_folder_there_is_nothing_to_ask(place: Place, model: Path, tmp_path: Path) -> None:
    other = Lake(str(tmp_path / "other"), "fruit").open()
    nowhere = Place("queue", "fruit", other.root, place.landing, "", annotations="", unlabelled=str(tmp_path / "nowhere"))
    assert to_ask(other, nowhere, model, version=VERSION, n=9).questions == []
