"""The job `tidy` over a lake with five runs and an MLflow of one version: what goes, what stays, and that it may be killed anywhere."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pomona import command, lake, lease, scored, snapshots, tracking
from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.landing import Landing
from pomona.monitoring import record
from pomona.monitoring.timeline import gathered
from pomona.outcome import File, Result
from pomona.snapshots import Snapshot
from pomona.work import Work
from run_stage import done
from tests import drawn_history, old_lake
from tests.conftest import Runs
from tests.dying_storage import Died, DyingFolder
from tests.whole_lake import faults, misnamed

# The archive's own run was promoted; of it four copies are made, and MLflow has a version of the first.
OLDER, COPIES = "older", ("run-1", "run-2", "run-3", "run-4")
KEY = "sift-1f0efc777a2b"
THREE_DAYS_S, MONTHS_S = 3 * 86_400.0, 90 * 86_400.0
LABELS = (("anna.csv", 12, "v"),)
STAYS = {OLDER, "run-1", "run-3", "run-4"}


def copy_run(at: Lake, run: str, created: str) -> None:
    """The archive's run once more under this key, as if it had begun then."""
    source, target = (Path(at.location(at.run_folder(key))) for key in (OLDER, run))
    shutil.copytree(source, target)
    for path in target.glob("manifests/*.json"):
        text = path.read_text().replace(f"runs/{OLDER}/", f"runs/{run}/").replace(f'"run": "{OLDER}"', f'"run": "{run}"')
        path.write_text(json.dumps({**json.loads(text), "created": created}))


def aged(path: Path, seconds: float) -> None:
    """Everything below was written so long ago."""
    then = time.time() - seconds
    for file in (path, *path.rglob("*")):
        os.utime(file, (then, then))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of lake and MLflow, made once; tests work on copies."""
    folder = tmp_path_factory.mktemp("tidy")
    old_lake.unpack(folder)
    at = Lake(str(folder / "lake"), "tests")
    for number, run in enumerate(COPIES, start=1):
        copy_run(at, run, f"2026-12-0{number}T00:00:00+00:00")
    part_of_its_own(at, "run-2")
    part_of_its_own(at, "run-4")
    # Nobody names it; and what a killed writer left.
    rows = at.read_rows(at.files(OLDER, "images")[:1]).slice(1, 1)
    at.write_rows("parts/images", "images", rows)
    Path(at.location("parts/images/.writing-1")).write_bytes(b"half")
    first = snapshots.latest(at)
    snapshots.save(at, Snapshot(1, first.placements.assign(first_seen="later"), first.rejects, LABELS))
    empty = scored.latest(at)
    first_state = scored.save(at, replace(empty, rows=scored_rows("one.jpg")))
    assert first_state is not None
    scored.save(at, replace(first_state, rows=scored_rows("one.jpg", "two.jpg")))
    at.append("calls", 1, {})
    at.append("calls", 2, {})
    for number in (1, 2, 3):
        at.append("leases", number, {"nonce": "n", "renewed": 0, "released": True, "owner": "", "pid": 1, "host": ""})
    at.put_outcome("rollback-old", "rollback", {"status": "done"})
    at.put_outcome("rollback-new", "rollback", {"status": "done"})
    at.put(f"runs/{OLDER}/logs/job.txt", b"said")
    (folder / "events").mkdir()
    for name in ("old", "new"):
        (folder / "events" / name).write_text("{}")
    for place in ("lake", "events"):
        aged(folder / place, THREE_DAYS_S)
    for path in ("lake/tests/runs/rollback-old", f"lake/tests/runs/{OLDER}/logs", "events/old", "lake/tests/calls"):
        aged(folder / path, MONTHS_S)
    client = tracking.connect(f"sqlite:///{folder}/mlflow.db")
    client.create_registered_model("tests")
    client.create_model_version("tests", source="file:///nowhere", tags={tracking.RUN_TAG: "run-1"})
    # A part as young as one whose manifest is still to come.
    at.write_rows("parts/images", "images", at.read_rows(at.files(OLDER, "images")[:1]).slice(0, 1))
    return folder


def scored_rows(*paths: str) -> pd.DataFrame:
    return pd.DataFrame([{field.name: None for field in arrow_schema("scored")} | {"path": path, "champion": 1} for path in paths])


def part_of_its_own(at: Lake, run: str) -> None:
    """Lets the run name, for one image, a part that holds this image alone: it came by two paths at once."""
    manifest = at.manifest(run, "ingest")
    roster = at.read_rows(at.files(run, "roster")).to_pandas()
    row = COPIES.index(run)
    content, part = roster["content"][row], roster["part"][row]
    images = at.read_rows([File(f"parts/images/{part}", "", 0, 0)])
    alone = at.write_rows("parts/images", "images", images.filter([value == content for value in images["content"].to_pylist()]))
    roster.loc[row, "part"] = alone.name
    file = at.write_rows(f"runs/{run}/roster", "roster", snapshots.table("roster", roster), name="roster.parquet")
    manifest["datasets"]["roster"] |= {"files": [vars(file)], "digest": lake.digest([file])}
    files = [*at.files(run, "images"), alone]
    manifest["datasets"]["images"] |= {"files": [vars(file) for file in files], "digest": lake.digest(files)}
    at.put_document(f"runs/{run}/manifests/ingest.json", manifest)
    for stage in ("describe", "evaluate", "learn_vocabulary", "encode", "train", "register"):
        later = at.manifest(run, stage)
        for name in ("images", "roster"):
            if name in later["inputs"]:
                later["inputs"][name] = manifest["datasets"][name]["digest"]
        at.put_document(f"runs/{run}/manifests/{stage}.json", later)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def lake_of(folder: Path) -> Lake:
    return Lake(str(folder / "lake"), "tests")


def tidied(folder: Path, *, dry: bool = False, keep: int = 2, run: str = "tidying") -> Result:
    """The job as the entry point does it, under the lake's lease."""
    place = command.Place(run, "tests", str(folder / "lake"), str(folder / "landing"), f"sqlite:///{folder}/mlflow.db")
    words = command.tidy_arguments(place, keep_runs=keep, events=str(folder / "events"), dry=dry)
    with lease.hold(lake_of(folder), "tidy"):
        return done(Work(command.parse(words), lake_of(folder)))


def files(folder: Path) -> dict[str, bytes]:
    """Every file of lake and event logs but leases and what tidy says of itself."""
    return {
        path: (folder / path).read_bytes()
        for path in sorted(file.relative_to(folder).as_posix() for place in ("lake", "events") for file in (folder / place).rglob("*"))
        if (folder / path).is_file() and "/leases/" not in path and "/tidying/" not in path
    }


def test_the_lake_of_the_test_is_whole(folder: Path) -> None:
    assert faults(lake_of(folder)) == []


def test_the_last_runs_and_those_of_versions_stay_and_all_of_them_can_be_read(folder: Path) -> None:
    at = lake_of(folder)
    rows = {run: at.read_rows(at.files(run, "roster")).drop_columns(["part"]) for run in STAYS}
    result = tidied(folder)
    assert set(at.folders("runs")) == {*STAYS, "rollback-new", "tidying"}
    assert faults(at) == misnamed(at) == []
    assert {run: at.read_rows(at.files(run, "roster")).drop_columns(["part"]) for run in STAYS} == rows
    assert result.notes["runs_removed"] == ["rollback-old", "run-2"]


def test_small_parts_are_packed_into_one_of_each_kind_and_what_nobody_names_is_gone(folder: Path) -> None:
    at = lake_of(folder)
    young = {file.path for file in at.below("parts") if file.written > time.time() - 3600}
    assert len(young) == 1
    whole = sum(file.bytes for file in at.below(""))
    result = tidied(folder)
    left = {file.path for file in at.below("parts")}
    assert len([path for path in left if path.startswith("parts/images/")]) == 2
    assert len([path for path in left if path.startswith(f"parts/descriptors/{KEY}/")]) == 1
    assert young < left
    assert (result.counts["parts_before"], result.counts["parts_after"]) == (12, 3)
    ours = sum(file.bytes for file in at.below("") if "/tidying/" not in file.path)
    # Rewritten manifests, tables and leases are small beside it.
    assert result.counts["bytes_freed"] == pytest.approx(whole - ours, rel=0.1)
    contents = at.read_rows([File(path, "", 0, 0) for path in left - young if "images" in path], ["content"])["content"].to_pylist()
    assert contents == sorted(set(contents)) and len(contents) == 16


def test_the_next_run_finds_nothing_new_in_the_landing_zone(folder: Path) -> None:
    tidied(folder)
    at = lake_of(folder)
    listed, _, _ = snapshots.locate(Landing(str(folder / "landing")).files(), group_pattern="")
    assert len(listed) == 16
    latest = snapshots.latest(at)
    assert latest.number == 3, "the parts were packed"
    assert snapshots.pending(latest, listed).empty
    # A label file that no snapshot knows would call for a run.
    assert latest.labels == LABELS


@pytest.mark.heavy
def test_the_next_run_reads_the_packed_parts_and_does_no_work_twice(runs: Runs) -> None:
    runs.through("first", "describe")
    shutil.copytree(orchard_of(runs), runs.landing / "Training" / "Zest")
    runs.through("second", "learn_vocabulary")
    at = runs.lake
    key = str(at.manifest("first", "describe")["notes"]["extractor"])
    assert (len(at.names("parts/images")) > 1, len(at.names(f"parts/descriptors/{key}")) > 1) == (True, True)
    words = command.tidy_arguments(runs.work("tidying", "ingest").order.place, keep_runs=20, events="", dry=False)
    with lease.hold(at, "tidy"):
        done(Work(command.parse(words), at))
    assert (len(at.names("parts/images")), len(at.names(f"parts/descriptors/{key}"))) == (1, 1)
    before = runs.hashes("second")
    results = runs.through("third", "encode")
    assert (results["ingest"].counts["new"], results["describe"].counts["described"]) == (0, 0)
    assert runs.hashes("third")["vocabulary"] == before["vocabulary"]
    assert runs.stage("first", "learn_vocabulary").status == "done"
    assert faults(at) == misnamed(at) == []


def orchard_of(runs: Runs) -> Path:
    """A folder of the landing zone with training pictures."""
    return sorted((runs.landing / "Training").iterdir())[0]


def test_old_logs_calls_leases_and_snapshots_go_and_the_newest_of_each_stays(folder: Path) -> None:
    at = lake_of(folder)
    tidied(folder)
    assert not at.exists(f"runs/{OLDER}/logs/job.txt")
    assert at.names("calls") == ["000002.json"]
    assert at.names("leases") == ["000003.json", "000004.json"]
    # One more than there were: it names the packed parts.
    assert at.names("snapshots") == ["000003.json"]
    assert at.last_number("snapshots") == 3
    assert (at.names("scored"), len(at.names("scored/rows"))) == (["000002.json"], 1)
    assert scored.latest(at).rows["path"].tolist() == ["one.jpg", "two.jpg"]
    assert [path.name for path in (folder / "events").iterdir()] == ["new"]
    assert at.names("promotions") == ["000001.json", "000002.json"]


def test_what_waits_for_a_window_stays_as_the_newest_document_names_it_and_the_state_that_new_pictures_are_told_by(folder: Path) -> None:
    at = lake_of(folder)
    third = scored.save(at, replace(scored.latest(at), rows=scored_rows("three.jpg")))
    assert third is not None
    waiting = [at.write_rows(record.ROWS, "observations", observed(name)) for name in ("one.jpg", "two.jpg", "three.jpg")]
    for number, file in enumerate(waiting[:2], start=1):
        at.append("health", number, {"number": number, "waiting": vars(file), "scored": 2})
    aged(folder / "lake" / "tests" / "health", THREE_DAYS_S)
    tidied(folder)
    assert at.names("health") == ["000001.json", "000002.json"]
    assert at.names("health/rows") == [waiting[1].name]
    assert (at.names("scored"), scored.state(at, 2).rows["path"].tolist()) == (["000002.json", "000003.json"], ["one.jpg", "two.jpg"])


def test_the_csv_of_the_newest_scores_stays_and_that_of_earlier_ones_goes_with_the_logs(folder: Path) -> None:
    at = lake_of(folder)
    for run in ("score-1", "score-2"):
        scored.save(at, replace(scored.latest(at), rows=scored_rows(f"{run}.jpg")), run=run)
        at.put(f"runs/{run}/scored.csv", b"path\n")
        aged(folder / "lake" / "tests" / "runs" / run, MONTHS_S)
    tidied(folder)
    assert [run for run in at.folders("runs") if run.startswith("score-")] == ["score-2"]
    assert at.names("runs/score-2") == ["scored.csv"]


def test_states_that_were_dropped_before_are_not_asked_for_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at, document, asked = lake_of(folder), Lake.document, list[str]()
    for number in range(3, 9):
        scored.save(at, replace(scored.latest(at), rows=scored_rows(f"{number}.jpg")))
    tidied(folder)
    left = [f"scored/{name}" for name in at.names("scored")]
    assert len(left) < 4

    def noted(self: Lake, path: str) -> dict[str, Any] | None:
        asked.append(path)
        return document(self, path)

    monkeypatch.setattr(Lake, "document", noted)
    tidied(folder)
    assert {path for path in asked if path.startswith("scored/")} == {*left}


def test_documents_of_the_watch_are_packed_and_those_that_were_packed_a_day_ago_are_dropped(folder: Path) -> None:
    at = lake_of(folder)
    for number in range(1, 103):
        at.append("health", number, drawn_history.record(number, scored=2))
    tidied(folder, dry=True)
    assert at.names("health/hundreds") == []
    tidied(folder)
    assert (len(at.names("health")), at.names("health/hundreds")) == (102, ["000001.json"])
    aged(folder / "lake" / "tests" / "health", THREE_DAYS_S)
    tidied(folder)
    assert at.names("health") == ["000101.json", "000102.json"]
    assert [batch.run for batch in gathered(at, now=datetime.now(UTC)).batches] == [f"score-{number}" for number in range(1, 103)]


def observed(path: str) -> pa.Table:
    schema = arrow_schema("observations")
    return pa.Table.from_pylist([{field.name: None for field in schema} | {"path": path}], schema=schema)


def test_a_dry_run_changes_nothing_and_says_what_the_real_one_then_does(folder: Path) -> None:
    before = files(folder)
    told = tidied(folder, dry=True)
    assert files(folder) == before
    result = tidied(folder)
    assert told.line.startswith("2 of 7 runs would go; 12 parts before, 3 after; ")
    assert result.line.startswith("2 of 8 runs gone; 12 parts before, 3 after; ")
    # A job that changed something has a run of its own.
    assert result.counts["runs_kept"] == told.counts["runs_kept"] + 1 == 6
    same = ("runs_removed", "parts_before", "parts_after")
    assert {name: told.counts[name] for name in same} == {name: result.counts[name] for name in same}


def test_tidying_again_changes_nothing(folder: Path) -> None:
    tidied(folder)
    aged(folder / "lake", THREE_DAYS_S)
    tidied(folder)
    before = files(folder)
    again = tidied(folder)
    assert files(folder) == before
    assert (again.counts["runs_removed"], again.counts["parts_after"]) == (0, 2)


def dying(folder: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The changes that a tidy made until it died at the change of this number, if it did."""
    place = DyingFolder(str(folder / "lake" / "tests"), at=at)
    with monkeypatch.context() as patch:
        patch.setattr(lake, "storage", lambda root, s3: place)
        with contextlib.suppress(Died):
            tidied(folder)
    return place.changes


def settled(folder: Path) -> dict[str, bytes]:
    """What is there once a tidy has come to its end, and another one after the grace."""
    tidied(folder)
    aged(folder / "lake" / "tests" / "snapshots", THREE_DAYS_S)
    for run in STAYS:
        aged(folder / "lake" / "tests" / "runs" / run, THREE_DAYS_S)
    tidied(folder)
    return {path: data for path, data in files(folder).items() if "/snapshots/0" not in path and "/manifests/" not in path}


@pytest.mark.parametrize("every", [31, pytest.param(1, marks=[pytest.mark.heavy, pytest.mark.timeout(1800)])])
def test_killed_at_any_change_the_lake_is_whole_and_the_next_tidy_ends_the_job(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    clean = Path(shutil.copytree(made, tmp_path / "clean"))
    n_changes = len(dying(clean, 0, monkeypatch))
    wanted = settled(clean)
    assert n_changes > 60
    for at in range(every // 2 + 1, n_changes + 1, every):
        folder = Path(shutil.copytree(made, tmp_path / "killed"))
        changes = dying(folder, at, monkeypatch)
        assert faults(lake_of(folder)) == [], f"killed at change {at}, {changes[-1]}"
        assert settled(folder) == wanted, f"killed at change {at}, {changes[at - 1]}"
        assert faults(lake_of(folder)) == misnamed(lake_of(folder)) == []
        shutil.rmtree(folder)


def die_for_good(folder: str, at: int) -> None:
    """In a process of its own: a tidy that ends by SIGKILL in the middle of its removals."""
    place = DyingFolder(f"{folder}/lake/tests", at=at, really=True)
    lake.storage = lambda root, s3: place  # type: ignore[attr-defined]
    tidied(Path(folder))


@pytest.mark.heavy
def test_after_a_sigkill_the_next_tidy_takes_the_lake_over_and_ends_the_job(folder: Path, made: Path, tmp_path: Path) -> None:
    clean = Path(shutil.copytree(made, tmp_path / "clean"))
    process: Any = multiprocessing.get_context("spawn").Process(target=die_for_good, args=(str(folder), 25))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert faults(lake_of(folder)) == []
    assert settled(folder) == settled(clean)


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_a_number_of_runs_that_is_none_is_a_bad_parameter(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.tidy_arguments(command.Place("r", "n", "l", "l", "t"), keep_runs=20, events="", dry=False)
    with pytest.raises(SystemExit) as stop:
        command.parse([word.replace("--keep-runs=20", f"--keep-runs={wrong}") for word in words])
    assert stop.value.code == 2
    assert f"{wrong!r} runs cannot be kept: give a whole number from 1" in capsys.readouterr().err
