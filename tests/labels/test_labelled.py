"""Labels in force: the last word on an image replaces its folder's, what was labelled beside the landing zone is learnt, all is counted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pomona import command, newness, scored, snapshots, tracking
from pomona.care import forgotten
from pomona.formats import arrow_schema
from pomona.labels.annotations import Annotation, History, Spoiled
from pomona.labels.labelled import beside, counted, effected, find, notes, placed, worded
from pomona.lake import Lake
from pomona.landing import Landing
from pomona.leakage import Placement
from pomona.snapshots import Snapshot
from tests.conftest import Runs
from tests.jobs.test_ingest import adds_up

AT = "2026-05-01T00:00:00.000000+00:00"


def said(content: str, path: str, label: str | None, annotator: str = "anna", line: int = 2) -> Annotation:
    return Annotation(content, path, label, annotator, AT, "", "a.csv", line)


def snapshot(*rows: tuple[str, str, str]) -> Snapshot:
    """Present placements of (path, content, label of the folder), all train."""
    given = [(path, 1, "v", content, "part", label, "train", label, "then", None) for path, content, label in rows]
    schema = arrow_schema("placements")
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in given], schema)
    return Snapshot(1, table.to_pandas(), arrow_schema("rejects").empty_table().to_pandas())


THREE = (("Training/plum/1.jpg", "a", "plum"), ("Training/plum/2.jpg", "b", "plum"), ("../unlabelled/stall/3.jpg", "c", ""))


def labels(found: Any) -> dict[str, str]:
    rows: pd.DataFrame = found.snapshot.present
    return dict(zip(rows["content"], rows["label"], strict=True))


def test_the_last_word_on_a_content_replaces_the_folder_s_label_wherever_it_lies() -> None:
    twice = snapshot(*THREE[:2], ("Training/lime/x.jpg", "a", "lime"))
    found = effected(twice, History((said("a", "", "plum"), said("a", "", "quince", "berta"))))
    assert found.snapshot.present[["path", "label"]].to_numpy().tolist() == [
        ["Training/lime/x.jpg", "quince"],
        ["Training/plum/1.jpg", "quince"],
        ["Training/plum/2.jpg", "plum"],
    ]
    assert found.rows["standing"].to_pylist() == [False, True]
    assert found.rows["annotator"].to_pylist() == ["anna", "berta"]


def test_a_label_with_accents_is_its_folder_s_however_they_are_written() -> None:
    found = effected(snapshot(("Training/mu\u0302re/1.jpg", "a", "mu\u0302re"), *THREE[1:]), History((said("b", "", "m\u00fbre"),)))
    assert labels(found) == {"a": "mu\u0302re", "b": "mu\u0302re"}


def test_what_nobody_can_tell_is_out_and_comes_back_with_a_label() -> None:
    untold = effected(snapshot(*THREE), History((said("a", "", None), said("c", "", "lime"))))
    assert (labels(untold), untold.n_untold) == ({"b": "plum", "c": "lime"}, 1)
    told = effected(snapshot(*THREE), History((said("a", "", None), said("c", "", "lime"), said("a", "", "plum", "berta"))))
    assert (labels(told), told.n_untold) == ({"a": "plum", "b": "plum", "c": "lime"}, 0)


def test_without_a_word_an_image_beside_the_landing_zone_has_no_label_and_is_out() -> None:
    found = effected(snapshot(*THREE), History())
    assert (labels(found), found.n_untold) == ({"a": "plum", "b": "plum"}, 1)
    assert found.rows.num_rows == 0


def test_labels_are_counted_as_relabelled_or_added_and_those_that_agree_with_the_folder_as_neither() -> None:
    taken = snapshot(*THREE)
    found = effected(taken, History((said("a", "", "quince"), said("b", "", "plum", "berta"), said("c", "", "lime"))))
    roster = pa.Table.from_pandas(found.snapshot.present[["content", "path", "label"]], preserve_index=False)
    folders = dict(zip(taken.present["path"], taken.present["label"], strict=True))
    assert counted(found, roster, folders) == {"relabelled": 1, "added": 1, "untold": 0}
    assert notes(found, History(n_unanswered=4))["by"] == {"anna": 2, "berta": 1}
    assert found.rows["folder_label"].to_pylist() == ["plum", "plum", None]


def test_images_that_are_not_there_are_named_and_spoiled_rows_with_them() -> None:
    history = History(
        (
            said("z" * 64, "gone.jpg", "lime", line=5),
            said("", "nowhere.jpg", "lime", line=6),
            said("", "unlabelled/untold.jpg", None, line=7),
        ),
        (Spoiled("b.csv", 3, "no label"),),
    )
    found = effected(snapshot(*THREE), history)
    assert found.unknown == [
        Spoiled("a.csv", 5, "no image of the run has this content; it was at 'gone.jpg'"),
        Spoiled("a.csv", 6, "no image lies at 'nowhere.jpg'"),
    ]
    told = notes(found, history)
    assert (told["n_spoiled"], told["spoiled"][0]) == (3, ["b.csv:3", "no label"])


def test_what_was_said_of_a_forgotten_image_is_read_no_more_though_its_csv_stays(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "anna.csv").write_text(f"content,path,label\n{'a' * 64},gone.jpg,lime\n{'b' * 64},2.jpg,plum\n")
    place = command.Place("r", "fruit", str(tmp_path / "lake"), str(tmp_path / "landing"), "", annotations=str(tmp_path / "labels"))
    assert [row.content[0] for row in find(place, group_pattern="").history.annotations] == ["a", "b"]
    forgotten.record(Lake(place.lake, place.name), "a" * 64, by="", reason="", learnt={})
    found = find(place, group_pattern="")
    assert ([row.content[0] for row in found.history.annotations], len(found.labels)) == (["b"], 1)


def test_a_replaced_file_does_not_take_the_label_of_the_one_before_it() -> None:
    found = effected(snapshot(*THREE), History((said("old", "../unlabelled/stall/3.jpg", "lime"),)))
    assert labels(found) == {"a": "plum", "b": "plum"}
    assert [row.reason for row in found.unknown] == ["no image of the run has this content; it was at '../unlabelled/stall/3.jpg'"]


def test_a_new_label_changes_what_a_run_depends_on_and_one_that_agrees_does_not() -> None:
    taken = snapshot(*THREE[:2])
    before = effected(taken, History()).snapshot.digest()
    assert before == taken.digest()
    assert effected(taken, History((said("a", "", "plum"),))).snapshot.digest() == before
    assert effected(taken, History((said("a", "", "quince"),))).snapshot.digest() != before
    assert effected(taken, History((said("a", "", None),))).snapshot.digest() != before


def test_disagreements_of_annotators_are_told() -> None:
    (pair,) = notes(effected(snapshot(*THREE), History((said("a", "", "plum"), said("a", "", "lime", "berta")))), History())["agreements"]
    assert (pair["annotators"], pair["n_images"], pair["agreed"], pair["disagreements"]) == (
        ["anna", "berta"],
        1,
        0.0,
        [["a", "plum", "lime"]],
    )


@pytest.mark.parametrize("path", ["stall/3.jpg", "unlabelled/stall/3.jpg", "../unlabelled/stall/3.jpg"])
def test_an_image_beside_the_landing_zone_is_named_with_or_without_the_folder(path: str) -> None:
    history = placed(History((said("", path, "lime"),)), {"Training/plum/1.jpg"}, {"stall/3.jpg"})
    assert worded(history) == {"../unlabelled/stall/3.jpg"}


def test_an_image_beside_the_landing_zone_is_named_by_its_content_once_a_champion_was_asked_about_it(tmp_path: Path) -> None:
    for name in ("landing/Training/plum/1.jpg", "unlabelled/moved/3.jpg", "unlabelled/copy.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "anna.csv").write_text(f"content,path,label\n{'c' * 64},stall/3.jpg,lime\n{'a' * 64},,lime\n{'d' * 64},,lime\n")
    folders = {"annotations": str(tmp_path / "labels"), "unlabelled": str(tmp_path / "unlabelled")}
    place = command.Place("r", "fruit", str(tmp_path / "lake"), str(tmp_path / "landing"), "", **folders)
    lake = Lake(place.lake, place.name).open()
    snapshots.save(lake, snapshot(("Training/plum/1.jpg", "a" * 64, "plum")))
    contents = {"moved/3.jpg": "c" * 64, "copy.jpg": "a" * 64}
    told = [
        {**dict.fromkeys(arrow_schema("scored").names), "path": file.path, "size": file.size, "version": file.version,
         "content": contents[file.path], "champion": 1, "final": True, "at": "then"}
        for file in Landing(place.unlabelled).files()
    ]  # fmt: skip
    scored.save(lake, scored.Scored(0, pa.Table.from_pylist(told, arrow_schema("scored")).to_pandas()))
    found = find(place, group_pattern="")
    # A copy of what lies in the landing zone does not take its place.
    assert [file.path for file in found.listed] == ["Training/plum/1.jpg", "../unlabelled/moved/3.jpg"]
    (fault,) = [row.reason for row in effected(snapshot(*THREE), found.history).unknown if row.line == 4]
    assert fault == "no image of the run has this content; an image of unlabelled/ that no champion was asked about is named by its path"


def test_what_lies_in_the_landing_zone_comes_first_and_the_last_word_decides_whether_an_image_is_taken_in() -> None:
    history = placed(History((said("", "unlabelled/1.jpg", "lime"),)), {"unlabelled/1.jpg"}, {"1.jpg"})
    assert (history.annotations[0].path, worded(history)) == ("unlabelled/1.jpg", set())
    assert worded(placed(History((said("", "1.jpg", "lime"), said("", "1.jpg", None))), (), {"1.jpg"})) == set()


def test_a_label_of_an_image_that_is_gone_takes_nothing_in_however_its_path_is_written(tmp_path: Path) -> None:
    for name in ("landing/Training/plum/1.jpg", "unlabelled/here.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "labels").mkdir()
    rows = [f"{folder}{name}.jpg,lime" for folder in ("../unlabelled/", "unlabelled/", "") for name in ("here", "gone")]
    (tmp_path / "labels" / "anna.csv").write_text("\n".join(["path,label", *rows, ""]))
    folders = {"annotations": str(tmp_path / "labels"), "unlabelled": str(tmp_path / "unlabelled")}
    found = find(command.Place("r", "fruit", "", str(tmp_path / "landing"), "", **folders), group_pattern="")
    assert [file.path for file in found.listed] == ["Training/plum/1.jpg", "../unlabelled/here.jpg"]
    assert found.places["../unlabelled/here.jpg"] == Placement("", "train", None)


def test_images_that_came_without_a_label_are_train_in_groups_by_their_folder() -> None:
    assert beside("../unlabelled/stall/box 2/3.jpg") == Placement("", "train", "unlabelled/stall/box 2")
    assert beside("../unlabelled/3.jpg").completed("ab" * 32) == Placement("", "train", "ab" * 32)


@pytest.fixture
def beside_runs(runs: Runs, tmp_path: Path) -> Runs:
    """Runs with an empty `labels/`, and `unlabelled/` with two pictures and a text."""
    runs.labels, runs.unlabelled = tmp_path / "labels", tmp_path / "unlabelled"
    (runs.unlabelled / "stall").mkdir(parents=True)
    kinds = sorted((runs.landing / "Test").iterdir())
    for number, kind in enumerate(kinds[:2]):
        # A byte behind the end makes another content of it.
        data = sorted(kind.iterdir())[0].read_bytes()
        (runs.unlabelled / "stall" / f"{number}.jpg").write_bytes(data + b"\0")
    (runs.unlabelled / "stall" / "readme.txt").write_text("no picture")
    return runs


def drop(runs: Runs, name: str, *rows: str) -> None:
    assert runs.labels
    runs.labels.mkdir(exist_ok=True)
    (runs.labels / name).write_text("\n".join(["path,label,annotator,at", *rows, ""]))


@pytest.mark.heavy
def test_a_csv_dropped_into_labels_is_all_it_takes(beside_runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = beside_runs
    monkeypatch.setattr(tracking, "champion_version", lambda *_: 3)
    before = runs.stage("a", "ingest")
    assert (before.counts["kept"], before.counts["relabelled"], before.counts["added"]) == (60, 0, 0)
    runs.lake.append("judged", 1, {"run": "a", "state": {**before.notes["state"], "champion": 3}})
    assert runs.stage("b", "ingest").status == "nothing_new"

    first, second = sorted(folder.name for folder in (runs.landing / "Training").iterdir())[:2]
    wrong, unclear = sorted((runs.landing / "Training" / first).iterdir())[:2]
    paths = [str(file.relative_to(runs.landing)) for file in (wrong, unclear)]
    rows = [f"{paths[0]},{second},anna,2026-05-01", f"{paths[1]},?,berta,2026-05-01", f"unlabelled/stall/0.jpg,{first},anna,2026-05-01"]
    drop(runs, "anna.csv", *rows, "nowhere.jpg,lime,anna,2026-05-01")
    order = runs.work("next", "ingest").order
    assert newness.foreseen(order.place, order.resolved) == ""
    result = runs.stage("c", "ingest")
    adds_up({**result.counts, "unselected": result.counts["unselected"] + result.counts["untold"]})
    assert {name: result.counts[name] for name in ("kept", "train", "new", "relabelled", "added", "untold")} == {
        "kept": 60, "train": before.counts["train"], "new": 1, "relabelled": 1, "added": 1, "untold": 1,
    }  # fmt: skip
    fault = "; labels/ has 1 fault, first anna.csv:5: no image lies at 'nowhere.jpg'"
    assert result.line.endswith(f"1 looked at, 1 taken in, 1 relabelled by people, 1 added by people{fault}")
    assert result.notes["labels"]["by"] == {"anna": 2, "berta": 1}
    assert result.notes["labels"]["spoiled"] == [["anna.csv:5", "no image lies at 'nowhere.jpg'"]]
    work = runs.work("c", "ingest")
    roster = work.table("roster").to_pandas().set_index("path")
    assert roster.loc[paths[0], ["label", "split"]].tolist() == [second, "train"]
    assert paths[1] not in roster.index
    assert roster.loc["../unlabelled/stall/0.jpg", ["label", "split", "group"]].tolist() == [first, "train", "unlabelled/stall"]
    # The lake's own snapshot keeps what the folder says.
    kept = snapshots.latest(runs.lake).present.set_index("path")
    assert kept.loc[paths[0], "label"] == first
    assert work.table("annotations").to_pandas()[["annotator", "standing", "folder_label"]].to_numpy().tolist() == [
        ["anna", True, first], ["berta", True, first], ["anna", True, None],
    ]  # fmt: skip

    # Judged so, the same labels are nothing new, nor is one that agrees; another one is.
    runs.lake.append("judged", 2, {"run": "c", "state": {**result.notes["state"], "champion": 3}})
    assert runs.stage("d", "ingest").status == "nothing_new"
    drop(runs, "berta.csv", f"{paths[0]},{second},berta,2026-05-02")
    # Only ingest can tell: it records that it has seen the file, and nobody waits for it any more.
    assert newness.foreseen(order.place, order.resolved) == ""
    again = runs.stage("e", "ingest")
    assert newness.foreseen(order.place, order.resolved).startswith("pictures, knobs, code and champion (version 3)")
    assert (again.status, again.counts["new"], again.notes["labels"]["agreements"][0]["agreed"]) == ("nothing_new", 0, 1.0)
    drop(runs, "carla.csv", f"{paths[0]},{first},carla,2026-05-03")
    assert newness.foreseen(order.place, order.resolved) == ""
    last = runs.stage("f", "ingest")
    assert (last.status, last.counts["relabelled"], last.counts["added"]) == ("done", 0, 1)


def test_a_csv_that_cannot_be_read_is_told_though_nothing_is_new(beside_runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = beside_runs
    monkeypatch.setattr(tracking, "champion_version", lambda *_: 3)
    before = runs.stage("a", "ingest")
    runs.lake.append("judged", 1, {"run": "a", "state": {**before.notes["state"], "champion": 3}})
    drop(runs, "anna.csv")
    assert runs.labels
    (runs.labels / "berta.csv").write_bytes("path;label\nunlabelled/stall/0.jpg;Kürbis\n".encode("latin-1"))
    found = runs.stage("b", "ingest")
    assert found.status == "nothing_new"
    assert found.line.endswith("; labels/ has 1 fault, first berta.csv: the file is not UTF-8: save it as CSV UTF-8")


def test_images_without_a_word_are_not_even_read_and_a_labelled_one_that_is_no_picture_is_a_reject(beside_runs: Runs) -> None:
    assert beside_runs.unlabelled
    (beside_runs.unlabelled / "broken.jpg").write_bytes(b"no picture")
    drop(beside_runs, "a.csv", "unlabelled/broken.jpg,lime,anna,2026-05-01", "unlabelled/stall/1.jpg,?,anna,2026-05-01")
    result = beside_runs.stage("a", "ingest")
    assert (result.counts["rejected"], result.counts["added"], result.counts["new"]) == (1, 0, 61)
    assert [path for path, _ in result.notes["rejects"]] == ["../unlabelled/broken.jpg"]
    shutil.rmtree(beside_runs.unlabelled)
    assert beside_runs.stage("b", "ingest").counts["rejected"] == 0


def test_identical_bytes_under_two_labels_are_no_conflict_once_a_person_has_decided(beside_runs: Runs) -> None:
    first, second = sorted((beside_runs.landing / "Training").iterdir())[:2]
    shutil.copy(sorted(first.iterdir())[0], second / "r0_99_100.jpg")
    assert beside_runs.stage("a", "ingest").counts["conflict"] == 2
    drop(beside_runs, "a.csv", f"Training/{second.name}/r0_99_100.jpg,{first.name},anna,2026-05-01")
    decided = beside_runs.stage("b", "ingest")
    assert (decided.counts["conflict"], decided.counts["duplicate"], decided.counts["kept"]) == (0, 1, 60)
