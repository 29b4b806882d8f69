"""The queue of a lake as it is now: doubtful labels and unlabelled images, and nothing that somebody has answered."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pomona import bundle, snapshots
from pomona.command import Place
from pomona.formats import arrow_schema
from pomona.labels.questions import Asked, to_ask
from pomona.labels.suspects import Suspect
from pomona.lake import Lake
from pomona.snapshots import Snapshot
from pomona.stages import STAGES
from tests.drawn_model import chain, picture, pictures, trained_on


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
    return to_ask(Lake(place.lake, place.name), place, model, n=n)


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


def test_without_a_judged_run_and_without_a_folder_there_is_nothing_to_ask(place: Place, model: Path, tmp_path: Path) -> None:
    other = Lake(str(tmp_path / "other"), "fruit").open()
    nowhere = Place("queue", "fruit", other.root, place.landing, "", annotations="", unlabelled=str(tmp_path / "nowhere"))
    assert to_ask(other, nowhere, model, n=9).questions == []
