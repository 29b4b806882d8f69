"""The job `rollback` over real versions and a lake with a judged run: what it checks, what it refuses, what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pomona import command, promotions, reigns, tracking
from pomona.jobs import rollback
from pomona.lake import Lake
from pomona.outcome import BadInput, Result
from pomona.promotions import LakeLedger
from pomona.work import Work
from run_stage import done
from tests import drawn_model
from tests.conftest import PROJECT, Runs

# Of each label: test pictures that no version trained on, in two groups, and one that version 1 did; it saw none of this training side.
FRESH, GROUPS = 12, 2


@pytest.fixture(scope="module")
def judged(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A lake with one judged run, and an MLflow with the drawn chain as version 1 and a version 2 without files."""
    folder = tmp_path_factory.mktemp("rollback")
    for label in drawn_model.COLOURS:
        for split, seeds in (("Training", (50, 51)), ("Test", (0, *range(100, 100 + FRESH)))):
            for seed in seeds:
                place = folder / "landing" / split / label / f"group{seed % GROUPS}{split}"
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{seed}.jpg").write_bytes(drawn_model.picture(label, seed))
    runs = Runs(folder, folder / "landing", name="fruit")
    runs.stage("r1", "ingest")
    runs.lake.append("judged", 1, {"run": "r1", "at": "2026-11-17T10:00:00+00:00", "state": {}})
    probes = [data for _, data in drawn_model.pictures(1)]
    facts = {"chain": drawn_model.chain(), "probes": probes, "trained_on": drawn_model.trained_on(), "params": drawn_model.knobs()}
    tracking.register(runs.tracking, "fruit", "r1", metrics={}, tags={}, **facts)
    # Nobody opens the one that is left.
    tracking.connect(runs.tracking).create_model_version("fruit", source="file:///nowhere")
    return runs


@pytest.fixture
def lake(judged: Runs) -> Lake:
    """The lake, with a fresh ledger in which version 2 took the place of version 1."""
    judged.lake.remove("promotions")
    client = tracking.connect(judged.tracking)
    if tracking.alias_of(client, "fruit") is not None:
        client.delete_registered_model_alias("fruit", "champion")
    for number, before in ((1, None), (2, 1)):
        ledger = LakeLedger(judged.lake)
        promotions.move_champion(judged.tracking, "fruit", number, expected=before, run=f"r{number}", reason="better", ledger=ledger)
    return judged.lake


def asked(runs: Runs, run: str = "back", *, version: int = 0, release: bool = False) -> Result:
    """The job as the entry point does it, from a command line."""
    place = command.Place(run, "fruit", str(runs.folder / "lake"), str(runs.landing), runs.tracking)
    words = command.rollback_arguments(place, version=version, reason="lemons", release=release, started_by="person (ann)")
    return done(Work(command.parse(words), runs.lake))


def champion(runs: Runs) -> int | None:
    return tracking.champion_version(runs.tracking, "fruit")


def test_the_champion_before_this_one_comes_back_scored_on_what_it_did_not_train_on_and_is_held(judged: Runs, lake: Lake) -> None:
    result = asked(judged)
    n = FRESH * len(drawn_model.COLOURS)
    assert result.line.startswith(
        f"version 1 of fruit is the champion, after version 2: right on {n} of {n} test images in 6 groups (100.0 %"
    )
    assert result.line.endswith("of run r1 that it did not train on; automatic promotion is held until it is released (make release)")
    assert champion(judged) == 1
    intent = LakeLedger(lake).read_all()[-2]
    assert (intent["by"], intent["reason"], intent["hold"], intent["run"]) == ("person (ann)", "lemons", True, "back")
    assert intent["checked"].startswith(f"right on {n} of {n}")


def test_the_same_rollback_again_goes_back_no_further(judged: Runs, lake: Lake) -> None:
    asked(judged)
    again = asked(judged)
    assert again.line == "version 1 of fruit was made champion by an earlier try of this rollback"
    assert champion(judged) == 1
    with pytest.raises(BadInput, match="before version 1 no version of fruit was champion: name the version to put back"):
        asked(judged, "another")


def test_where_no_version_was_ever_champion_there_is_none_to_go_back_to(judged: Runs, lake: Lake) -> None:
    lake.remove("promotions")
    tracking.connect(judged.tracking).delete_registered_model_alias("fruit", "champion")
    with pytest.raises(BadInput, match=r"^no version of fruit was champion: name the version to put back"):
        asked(judged, "nowhere")


def test_a_release_ends_the_hold_and_moves_nothing(judged: Runs, lake: Lake) -> None:
    asked(judged)
    assert reigns.held(LakeLedger(lake).read_all())
    assert asked(judged, "release", release=True).line.startswith("automatic promotion of fruit goes on; it was held since the rollback to")
    assert reigns.held(LakeLedger(lake).read_all()) is None
    assert champion(judged) == 1


def artifacts(runs: Runs, version: int) -> Path:
    """The folder in which MLflow keeps the version's files."""
    (card,) = (path for path in (runs.folder / "artifacts").rglob("MLmodel") if f"run: r{version}" in path.read_text())
    return card.parent


def spoil_chain(folder: Path) -> list[Path]:
    found = list(folder.rglob("*.npz"))
    for path in found:
        path.write_bytes(path.read_bytes()[:100])
    return found


def spoil_code(folder: Path) -> list[Path]:
    found = list((folder / "code").rglob("chain.py"))
    for path in found:
        path.write_text("raise RuntimeError('half a file')")
    return found


def spoil_probes(folder: Path) -> list[Path]:
    (path,) = [path for path in folder.rglob("*.parquet") if "probabilities" in pq.read_schema(path).names]
    table = pq.read_table(path)
    other = [[*row[1:], row[0]] for row in table["probabilities"].to_pylist()]
    column = table.schema.field("probabilities")
    import pyarrow as pa

    pq.write_table(table.set_column(table.schema.get_field_index("probabilities"), column, pa.array(other, column.type)), path)
    return [path]


def spoil_card(folder: Path) -> list[Path]:
    (folder / "MLmodel").unlink()
    return [folder / "MLmodel"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_chain, "its process ended with exit code 1"),
        (spoil_code, "half a file"),
        (spoil_probes, "3 of 3 probes come out differently"),
        (spoil_card, "are gone: there is no MLmodel in them"),
    ],
)
def test_a_corrupt_version_is_refused_and_nothing_changes(judged: Runs, lake: Lake, spoil: Any, said: str) -> None:
    folder = artifacts(judged, 1)
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    before = LakeLedger(lake).read_all()
    assert spoil(folder)
    try:
        with pytest.raises(BadInput, match=r"^version 1 of fruit is not put back, nothing has changed: ") as refused:
            asked(judged)
        assert said in str(refused.value)
        assert champion(judged) == 2
        assert LakeLedger(lake).read_all() == before
    finally:
        for path, data in kept.items():
            path.write_bytes(data)


def test_a_version_that_is_not_there_is_refused(judged: Runs, lake: Lake) -> None:
    with pytest.raises(BadInput, match="version 9 of fruit is not put back, nothing has changed: version 9"):
        asked(judged, version=9)


def test_a_picture_that_is_moved_at_this_moment_costs_the_score_and_not_the_way_back(judged: Runs, lake: Lake) -> None:
    parts = Path(lake.location("parts/images"))
    away = parts.rename(parts.with_name("away"))
    try:
        assert ": not scored, for images of the last judged run r1 were moved meanwhile; automatic" in asked(judged).line
    finally:
        away.rename(parts)


def test_without_a_judged_run_the_version_goes_back_unscored(judged: Runs, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = lake.entry("judged", 1)
    lake.remove("judged")
    try:
        assert ": not scored, for no run has been judged yet; automatic" in asked(judged).line
    finally:
        lake.append("judged", 1, kept)


@pytest.mark.parametrize(
    ("score", "line"),
    [
        (rollback.Score(29, 3, 20, 0.5, 0.9), "right on 20 of 29 test images in 3 groups: fewer than 30, too few to say how good it is"),
        (
            rollback.Score(1200, 30, 1080, 0.85, 0.94),
            "right on 1,080 of 1,200 test images in 30 groups (90.0 %, 95 % interval 85.0 to 94.0 %)",
        ),
        (rollback.Score(40, 1, 30, None, None), "right on 30 of 40 test images in 1 groups (75.0 %)"),
    ],
)
def test_a_score_is_told_with_images_groups_and_interval_or_not_trusted(score: rollback.Score, line: str) -> None:
    assert score.line == line


@pytest.mark.heavy
def test_the_command_goes_through_spark_submit_and_its_outcome_becomes_line_and_exit_code(judged: Runs, lake: Lake, tmp_path: Path) -> None:
    settings = {
        "POMONA_NAME": "fruit",
        "POMONA_LAKE": str(judged.folder / "lake"),
        "POMONA_LANDING": str(judged.landing),
        "POMONA_TRACKING": judged.tracking,
        "POMONA_STATE": str(tmp_path),
        "POMONA_SPARK_MEMORY": "1g",
    }

    def said(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "run.champion", "rollback", "--reason=lemons", *words]
        found = subprocess.run(command, cwd=PROJECT, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
        return found.returncode, (found.stderr if found.returncode else found.stdout).strip().splitlines()[-1]

    refused = said("--to=9")
    assert refused == (2, "version 9 of fruit is not put back, nothing has changed: version 9 does not exist, or no more")
    code, line = said()
    assert (code, line.startswith("version 1 of fruit is the champion, after version 2: right on 36 of 36 test images in 6 groups")) == (
        0,
        True,
    )
    assert champion(judged) == 1


@pytest.mark.parametrize("wrong", ["three", "-1", "1.5"])
def test_a_version_that_is_no_number_is_a_bad_parameter(judged: Runs, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.rollback_arguments(command.Place("r", "fruit", "l", "l", "t"), version=0, reason="", release=False, started_by="")
    with pytest.raises(SystemExit) as stop:
        command.parse([word.replace("--version=0", f"--version={wrong}") for word in words])
    assert stop.value.code == 2
    assert f"{wrong!r} is no version: give its number, or 0 for the champion before this one" in capsys.readouterr().err
