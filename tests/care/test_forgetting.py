"""An image is forgotten: nothing of it is found in lake and MLflow any more, who trained on it is known, and it never comes back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pomona import lake, snapshots, tracking
from pomona.care import forgotten
from pomona.care.forgetting import forget
from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.outcome import File
from pomona.storage import Stored
from run import forget as command
from tests import drawn_model, old_lake
from tests.conftest import Runs
from tests.dying_storage import Died, DyingFolder
from tests.traces import traces
from tests.whole_lake import faults, misnamed

OTHER = "e" * 64


def sha256(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()


def test_nothing_is_found_of_a_forgotten_image_and_its_model_is_named_and_still_answers(runs: Runs) -> None:
    # Without groups each image is one by itself, which has its name.
    runs.knobs["group_pattern"] = ""
    runs.through("first")
    probe, taught = of_split(runs, "test"), of_split(runs, "train")
    at, places = runs.lake, (runs.folder / "lake", runs.folder / "artifacts")
    beside = {
        "asked/000001.jsonl": f'{{"content": "{sha256(taught)}"}}\n{{"content": "another"}}\n',
        "scores/day.csv": f"one.jpg,{sha256(taught)}\ntwo.jpg,x\n",
        "queue.html": '<main><img src="data:image/png;base64,iVBORw0KGgo="></main>',
    }
    for path, text in beside.items():
        at.put(path, text.encode())
    for image in (probe, taught):
        kinds = {what for there in traces(image, *places).values() for what in there}
        assert kinds == {"name", "image", "thumbnail"}, "the search finds what there is to be found"
    assert any("probes.parquet" in path for path in traces(probe, places[1]))
    assert any("report.html" in path for path in traces(taught, places[1]))
    assert all(any("profile.npz" in path for path in traces(taught, place)) for place in places)

    entry = forget(at, runs.tracking, sha256(taught), by="person (ann)", reason="asked by its owner")
    assert (entry["versions"], entry["runs"], entry["by"], entry["reason"]) == ([1], ["first"], "person (ann)", "asked by its owner")
    assert forget(at, runs.tracking, sha256(probe), by="person (ann)", reason="")["versions"] == []
    for number, image in ((1, taught), (2, probe)):
        assert traces(image, *places) == {f"tests/forgotten/00000{number}.json": {"name"}}
    assert faults(at) == misnamed(at) == []
    assert at.get("asked/000001.jsonl") == b'{"content": "another"}\n'
    assert at.get("scores/day.csv") == b"two.jpg,x\n"
    assert b"iVBOR" not in at.get("queue.html")

    # It still lies in the landing zone.
    results = runs.through("second")
    assert results["ingest"].counts["rejected"] == 2
    assert set(snapshots.latest(at).rejects["reason"]) == {"forgotten"}
    assert results["describe"].counts["described"] == 0
    # The champion gives its remaining probes' probabilities again, or the verdict would say that it does not.
    verdict = runs.work("second", "evaluate").document("verdict")
    assert verdict["champion"] == 1
    assert "probe" not in verdict["reason"]
    for number, image in ((1, taught), (2, probe)):
        assert traces(image, *places) == {f"tests/forgotten/00000{number}.json": {"name"}}
    assert runs.stage("third", "ingest").counts["new"] == 0


def of_split(runs: Runs, split: str) -> bytes:
    """An image of the split that the report shows."""
    page = runs.lake.get("runs/first/report.html")
    roster = runs.work("first", "register").table("roster").to_pylist()
    images = ((runs.landing / row["path"]).read_bytes() for row in roster if row["split"] == split)
    return next(image for image in images if next(iter(_thumbnails(image))) in page)


def _thumbnails(image: bytes) -> list[bytes]:
    import base64

    from pomona.report.assembly import _thumbnail

    return [base64.b64encode(_thumbnail(image))]


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small lake, and an MLflow that knows nothing of it."""
    folder = tmp_path_factory.mktemp("older")
    old_lake.unpack(folder)
    tracking.connect(f"sqlite:///{folder}/mlflow.db").search_experiments(max_results=1)
    return folder


@pytest.fixture
def folder(older: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(older, tmp_path / "copy"))


def lake_of(folder: Path) -> Lake:
    return Lake(str(folder / "lake"), "tests")


def image_of(folder: Path) -> bytes:
    """A training image."""
    return (folder / "landing" / "Training" / "Apple" / "r0_2_100.jpg").read_bytes()


def forgot(folder: Path) -> dict[str, Any]:
    return forget(lake_of(folder), f"sqlite:///{folder}/mlflow.db", sha256(image_of(folder)), by="person (ann)", reason="")


def files(folder: Path) -> dict[str, Any]:
    """Every file of the lake but its leases; of manifests and records what does not tell the time or what was tried before."""
    found: dict[str, Any] = {}
    for path in sorted(file for file in (folder / "lake").rglob("*") if file.is_file() and file.parent.name != "leases"):
        name = path.relative_to(folder).as_posix()
        if "/snapshots/0" in name or "/forgotten/" in name:
            continue
        found[name] = json.loads(path.read_text())["datasets"] if "/manifests/" in name else path.read_bytes()
    return found


def dying(folder: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The changes that were made until the call died at the change of this number, if it did."""
    place = DyingFolder(str(folder / "lake" / "tests"), at=at)
    with monkeypatch.context() as patch:
        patch.setattr(lake, "storage", lambda root, s3: place)
        with contextlib.suppress(Died):
            forgot(folder)
    return place.changes


def annotated(folder: Path, *contents: str) -> Path:
    """The folder, in whose run two people have said of these contents and of one more what they show, each something else."""
    at, said = lake_of(folder), []
    for content, annotator in ((content, annotator) for content in (*contents, OTHER) for annotator in ("ann", "ben")):
        row = {"content": content, "path": "Training/Apple/r0_2_100.jpg", "label": annotator, "annotator": annotator, "note": "hers"}
        said.append({**row, "at": "then", "file": "a.csv", "line": len(said) + 2, "standing": annotator == "ben", "folder_label": "Apple"})
    table = pa.Table.from_pylist(said, arrow_schema("annotations"))
    file = at.write_rows("runs/older/annotations", "annotations", table, name="annotations.parquet")
    manifest, summary = at.manifest("older", "ingest"), at.document("runs/older/summary.json")
    assert summary
    disagreements = [[content, "ann", "ben"] for content in (*contents, OTHER)]
    labels = {"agreements": [{"annotators": ["ann", "ben"], "disagreements": disagreements, "n_disagreements": len(disagreements)}]}
    told = {"rows": file.rows, "digest": lake.digest([file]), "files": [asdict(file)]}
    manifest["datasets"]["annotations"], manifest["notes"]["labels"] = told, labels
    at.put_document("runs/older/manifests/ingest.json", manifest)
    at.put_document("runs/older/summary.json", {**summary, "labels": labels})
    at.put("runs/older/report.html", at.get("runs/older/report.html").replace(b"</main>", f"<p>{contents} {OTHER}</p></main>".encode()))
    return folder


def tracked(folder: Path, run: str = "older") -> str:
    """The identifier of a run of MLflow to which report and summary of the lake's run are attached."""
    client, at = tracking.connect(f"sqlite:///{folder}/mlflow.db"), lake_of(folder)
    known = client.get_experiment_by_name("tests")
    experiment = known.experiment_id if known else client.create_experiment("tests", (folder / "artifacts").as_uri())
    identifier = client.create_run(experiment, tags={tracking.RUN_TAG: run}).info.run_id
    texts = {name: at.get(f"runs/{run}/{name}").decode() for name in ("report.html", "summary.json")}
    tracking.attach(f"sqlite:///{folder}/mlflow.db", identifier, texts)
    return str(identifier)


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=[pytest.mark.heavy, pytest.mark.timeout(1800)])])
def test_killed_at_any_change_the_lake_is_whole_and_the_same_call_ends_the_job(
    older: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    older = annotated(Path(shutil.copytree(older, tmp_path / "annotated")), sha256(image_of(older)))
    clean = Path(shutil.copytree(older, tmp_path / "clean"))
    n_changes = len(dying(clean, 0, monkeypatch))
    assert n_changes > 25
    wanted = files(clean)
    for at in range(every // 2 + 1, n_changes, every):
        folder = Path(shutil.copytree(older, tmp_path / "killed"))
        changes = dying(folder, at, monkeypatch)
        assert faults(lake_of(folder)) == [], f"killed at change {at}, {changes[-1]}"
        forgot(folder)
        assert traces(image_of(folder), folder / "lake") == {"tests/forgotten/000001.json": {"name"}}, f"killed at change {at}, {changes}"
        assert faults(lake_of(folder)) == misnamed(lake_of(folder)) == []
        assert files(folder).keys() == wanted.keys(), f"killed at change {at}, {changes[at - 1]}"
        shutil.rmtree(folder)


def test_what_people_said_of_an_image_is_forgotten_with_it_and_what_they_said_of_others_stays(folder: Path) -> None:
    annotated(folder, sha256(image_of(folder)))
    tracked(folder)
    places = (folder / "lake", folder / "artifacts")
    assert {path.rpartition("/")[2] for path in traces(image_of(folder), *places)} >= {"annotations.parquet", "summary.json", "report.html"}
    forgot(folder)
    assert traces(image_of(folder), *places) == {"tests/forgotten/000001.json": {"name"}}
    at = lake_of(folder)
    assert at.read_rows(at.files("older", "annotations"))["content"].to_pylist() == [OTHER, OTHER]
    assert faults(at) == misnamed(at) == []
    for summary in (at.get("runs/older/summary.json"), *(file.read_bytes() for file in places[1].rglob("summary.json"))):
        assert json.loads(summary)["labels"]["agreements"][0]["disagreements"] == [[OTHER, "ann", "ben"]]


def test_an_image_that_people_could_not_tell_is_forgotten_and_the_report_that_never_showed_it_keeps_its_pictures(folder: Path) -> None:
    untold = image_of(folder) + b"\0"
    annotated(folder, sha256(untold))
    tracked(folder)
    places, at = (folder / "lake", folder / "artifacts"), lake_of(folder)
    n_pictures = at.get("runs/older/report.html").count(b"data:image/")
    forget(at, f"sqlite:///{folder}/mlflow.db", sha256(untold), by="person (ann)", reason="")
    assert [path for path, kinds in traces(untold, *places).items() if "name" in kinds] == ["tests/forgotten/000001.json"]
    pages = [at.get("runs/older/report.html"), *(file.read_bytes() for file in places[1].rglob("report.html"))]
    assert [page.count(b"data:image/") for page in pages] == [n_pictures, n_pictures]
    assert n_pictures > 0 and all(b"AAAAAIBRAA7" not in page and OTHER.encode() in page for page in pages)
    assert at.read_rows(at.files("older", "annotations"))["content"].to_pylist() == [OTHER, OTHER]
    assert faults(at) == misnamed(at) == []


def test_runs_and_models_that_somebody_deleted_in_mlflow_are_forgotten_too(folder: Path) -> None:
    uri, image = f"sqlite:///{folder}/mlflow.db", image_of(folder)
    annotated(folder, sha256(image))
    client = tracking.connect(uri)
    client.create_experiment("tests", (folder / "artifacts").as_uri())
    taught = pa.table({"content": [sha256(image), OTHER], "group": ["a", "b"]})
    facts: dict[str, Any] = {"params": {}, "metrics": {}, "tags": {}, "trained_on": taught}
    registered = tracking.register(uri, "tests", "older", chain=drawn_model.chain(), probes=[image], **facts)
    (model,) = client.search_logged_models([registered.experiment])
    for identifier in (registered.mlflow_run, tracked(folder), tracked(folder)):
        client.delete_run(identifier)
    client.delete_logged_model(model.model_id)
    there = traces(image, folder / "artifacts")
    assert {path.rpartition("/")[2] for path in there} == {"report.html", "summary.json", "probes.parquet", "trained_on.parquet"}
    assert sum(path.endswith("report.html") for path in there) == 2
    assert forgot(folder)["versions"] == [1]
    assert traces(image, folder / "artifacts") == {}


def test_a_run_whose_ingest_was_cleared_and_failed_is_forgotten_too(folder: Path) -> None:
    at = lake_of(folder)
    at.forget_manifest("older", "ingest")
    assert any("/features/" in path for path in traces(image_of(folder), folder / "lake"))
    assert forgot(folder)["found"]
    assert traces(image_of(folder), folder / "lake") == {"tests/forgotten/000001.json": {"name"}}
    assert misnamed(at) == []
    assert len(at.get("runs/older/features.csv").splitlines()) == 16
    assert at.read_rows([File(**at.manifest("older", "describe")["notes"]["index"])]).num_rows == 15


def test_a_run_that_took_the_image_in_and_did_not_come_to_its_training_is_not_among_those_that_learnt_it(folder: Path) -> None:
    at = lake_of(folder)
    for stage in ("train", "evaluate", "register"):
        at.forget_manifest("older", stage)
    assert forgot(folder)["runs"] == []
    assert traces(image_of(folder), folder / "lake") == {"tests/forgotten/000001.json": {"name"}}


def test_rows_of_a_first_snapshot_that_was_never_finished_go(tmp_path: Path) -> None:
    at = Lake(str(tmp_path / "lake"), "tests").open()
    rows = pa.Table.from_pylist([], arrow_schema("rejects"))
    at.write_rows("snapshots/rows", "rejects", rows)
    assert forget(at, f"sqlite:///{tmp_path}/mlflow.db", OTHER, by="", reason="")["versions"] == []
    assert at.names("snapshots/rows") == []


def test_documents_whose_rows_are_gone_cost_one_look_each_and_many_are_looked_at_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = lake_of(folder)
    gone = {"path": "health/rows/gone.parquet", "sha256": "", "bytes": 0, "rows": 1}
    for number in range(1, 33):
        at.append("health", number, {"number": number, "waiting": gone})
    asked: list[str] = []
    together, at_work, lock, get = [0], [0], threading.Lock(), Lake.get

    def slow(self: Lake, path: str) -> bytes:
        if not path.startswith("health/"):
            return get(self, path)
        with lock:
            asked.append(path)
            at_work[0] += 1
            together.append(at_work[0])
        time.sleep(0.05)
        with lock:
            at_work[0] -= 1
        return get(self, path)

    monkeypatch.setattr(Lake, "get", slow)
    forgot(folder)
    assert len(asked) == 32 and max(together) > 4


def test_a_writer_at_work_keeps_its_half_written_file_and_that_of_one_that_died_goes(folder: Path) -> None:
    place = folder / "lake" / "tests"
    for name in ("promotions/.writing-alive", "promotions/.writing-dead"):
        (place / name).write_bytes(b"{")
    an_hour_ago = (place / "format.json").stat().st_mtime - 3600
    os.utime(place / "promotions" / ".writing-dead", (an_hour_ago, an_hour_ago))
    forgot(folder)
    assert [file.name for file in place.rglob(".writing-*")] == [".writing-alive"]


def test_a_file_that_goes_while_the_lake_is_swept_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake_of(folder).put("calls/000001.json", b"{}")
    below = Lake.below

    def listed(self: Lake, place: str) -> list[Stored]:
        found = below(self, place)
        if not place:
            self.remove("calls/000001.json")
        return found

    monkeypatch.setattr(Lake, "below", listed)
    forgot(folder)
    assert traces(image_of(folder), folder / "lake") == {"tests/forgotten/000001.json": {"name"}}


def test_of_a_sha_that_the_lake_never_had_the_command_says_so_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in {"NAME": "tests", "LAKE": folder / "lake", "TRACKING": f"sqlite:///{folder}/mlflow.db"}.items():
        monkeypatch.setenv(f"POMONA_{variable}", str(value))
    lake_of(folder).put("queue/queue.html", b'<main><img src="data:image/png;base64,iVBORw0KGgo="></main>')
    lake_of(folder).put("queue/queue.csv", f"content\n{OTHER}\n".encode())
    said = []
    for content in ("0" * 64, "0" * 64, OTHER):
        assert command.main([f"--sha={content}"]) == 0
        said.append(capsys.readouterr().out.strip().splitlines()[-1])
    assert said[0].endswith(
        "no version of tests trained on it; nothing of it was found in lake or MLflow, so look whether SHA is that of the picture's file; "
        "ingest will not take it in again"
    )
    # A killed call may have taken the rest out; what only a queue named was there too.
    assert all(line.endswith("no version of tests trained on it; ingest will not take it in again") for line in said[1:])


def test_forgetting_again_changes_nothing_and_gives_the_same_record(folder: Path) -> None:
    entry = forgot(folder)
    assert entry["runs"] == ["older"]
    before = files(folder)
    assert forgot(folder) == entry
    assert files(folder) == before
    assert forgotten.contents(lake_of(folder)) == {sha256(image_of(folder))}


def test_every_run_stays_readable_and_says_which_digests_its_data_had(folder: Path) -> None:
    at = lake_of(folder)
    before = at.manifest("older", "ingest")["datasets"]["roster"]["digest"]
    forgot(folder)
    told = at.manifest("older", "ingest")["datasets"]["roster"]
    assert (told["rows"], told["earlier"]) == (15, [before])
    assert at.manifest("older", "encode")["inputs"]["roster"] == before
    assert at.read_rows(file for file in at.files("older", "features") if file.name.endswith(".parquet")).num_rows == 15
    assert len(at.get("runs/older/features.csv").splitlines()) == 16


def test_an_image_that_the_lake_never_had_is_recorded_all_the_same(folder: Path) -> None:
    at, before = lake_of(folder), faults(lake_of(folder))
    entry = forget(at, f"sqlite:///{folder}/mlflow.db", "0" * 64, by="", reason="")
    assert (entry["versions"], entry["runs"], before) == ([], [], faults(at))


@pytest.mark.parametrize(
    ("sha", "name", "said"),
    [
        ("", "tests", "SHA='' is no SHA-256: give the 64 signs that sha256sum says of the picture's file"),
        ("abc", "tests", "SHA='abc' is no SHA-256"),
        ("0" * 64, "nobody", "there is no lake at "),
    ],
)
def test_what_is_given_wrong_is_one_line_and_exit_code_2(
    folder: Path, sha: str, name: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in {"NAME": name, "LAKE": folder / "lake", "TRACKING": f"sqlite:///{folder}/mlflow.db"}.items():
        monkeypatch.setenv(f"POMONA_{variable}", str(value))
    assert command.main([f"--sha={sha}"]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_without_mlflow_nothing_is_begun(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for variable, value in {"NAME": "tests", "LAKE": folder / "lake", "TRACKING": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"POMONA_{variable}", str(value))
    before = files(folder)
    assert command.main([f"--sha={sha256(image_of(folder))}"]) == 2
    assert capsys.readouterr().err.startswith("MLflow at http://127.0.0.1:9 does not answer (")
    assert (files(folder), forgotten.contents(lake_of(folder))) == (before, frozenset())


def test_the_command_says_who_trained_on_it(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for variable, value in {"NAME": "tests", "LAKE": folder / "lake", "TRACKING": f"sqlite:///{folder}/mlflow.db"}.items():
        monkeypatch.setenv(f"POMONA_{variable}", str(value))
    assert command.main([f"--sha={sha256(image_of(folder))}", "--reason=asked"]) == 0
    said = capsys.readouterr().out.strip().splitlines()[-1]
    assert said.endswith("no version of tests trained on it, but the runs older did; ingest will not take it in again")
