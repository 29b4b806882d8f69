"""A run that an earlier release began is never a traceback: one line says what it lacks and which task to clear."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import run_stage
from pomona import approval, command
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.outcome import BadInput, Result
from pomona.releases import stop_if_outdated
from pomona.stages import STAGES
from pomona.work import code_hash
from tests.older_release import said_less

BEGUN = "run r was begun by an earlier release "


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a run of this release that is ready to be registered, as far as its manifests say."""
    made = Lake(str(tmp_path / "lake"), "n").open()
    for stage in list(STAGES.values())[:-1]:
        facts = {"notes": {"state": {"knobs": resolve({})}}, "code": code_hash()}
        made.write_manifest("r", stage.name, {dataset: [] for dataset in stage.writes}, **facts)
    return made


def registered(lake: Lake) -> int:
    """The exit code of register, through the entry point."""
    place = command.Place("r", "n", lake.root, "landing", f"sqlite:///{lake.root}/mlflow.db")
    try:
        return run_stage.main(command.arguments("register", place, resolve({})))
    finally:
        logging.basicConfig(force=True, level=logging.WARNING)


def refusal(lake: Lake, capfd: pytest.CaptureFixture[str]) -> str:
    """The one line with which register refuses, as it is said and as it is kept."""
    assert registered(lake) == 2
    said, outcome = "".join(capfd.readouterr()), lake.outcome("r", "register")
    assert outcome is not None and outcome["status"] == "bad_input"
    assert said.count(f"register: {outcome['line']}") == 1
    assert "Traceback" not in said
    return str(outcome["line"])


def test_a_run_of_this_release_is_read_by_every_stage(lake: Lake) -> None:
    for stage in STAGES.values():
        stop_if_outdated(lake, "r", stage.reads)


def test_where_the_verdict_alone_says_less_evaluate_is_to_be_cleared(lake: Lake, capfd: Any) -> None:
    said_less(lake, "r", "evaluate")
    lacks = "no leakage, calibration, robustness, worst_groups in its metrics; no words, checks in its verdict"
    remedy = "clear its task evaluate with all later ones, or trigger a new run"
    assert refusal(lake, capfd) == f"{BEGUN}({lacks}): {remedy}"
    # Judging anew makes no other model of it, so that the version may be there.
    lake.put_document("runs/r/summary.json", {})
    assert refusal(lake, capfd).endswith(f": {remedy}")
    with pytest.raises(BadInput, match=r"\(no words, checks in its verdict\): clear its task evaluate with all later ones"):
        approval.verdict_of(lake, "r")


def test_where_what_evaluate_reads_is_older_too_the_run_is_to_be_done_from_its_start(lake: Lake, capfd: Any) -> None:
    said_less(lake, "r", "evaluate")
    said_less(lake, "r", "train", {"baseline": ()})
    assert refusal(lake, capfd).endswith("clear its task ingest with all later ones, or trigger a new run")
    lake.put_document("runs/r/summary.json", {})
    assert refusal(lake, capfd).endswith("in its verdict): trigger a new run")


def test_a_fitted_part_that_lacks_something_is_named_before_anything_is_read(lake: Lake, capfd: Any) -> None:
    said_less(lake, "r", "learn_vocabulary", {"vocabulary": ("words",)})
    said_less(lake, "r", "encode", {"near_copies": ()})
    lacks = "no variances, weights, mean, axes in its vocabulary"
    assert refusal(lake, capfd) == f"{BEGUN}({lacks}): clear its task ingest with all later ones, or trigger a new run"
    with pytest.raises(BadInput, match=r"\(no variances, weights, mean, axes in its vocabulary; no near_copies\)"):
        stop_if_outdated(lake, "r", STAGES["evaluate"].reads)
    stop_if_outdated(lake, "r", STAGES["learn_vocabulary"].reads)


def test_a_knob_that_the_run_did_not_know_and_the_chain_needs_is_named(lake: Lake, capfd: Any) -> None:
    manifest = lake.manifest("r", "ingest")
    for knob in ("turns", "floor"):
        del manifest["notes"]["state"]["knobs"][knob]
    lake.put_document("runs/r/manifests/ingest.json", manifest)
    assert refusal(lake, capfd) == f"{BEGUN}(no knob turns): clear its task ingest with all later ones, or trigger a new run"


@pytest.mark.parametrize("older", [True, False])
def test_what_is_missing_below_the_columns_is_bad_input_only_where_other_code_wrote_it(
    lake: Lake, capfd: Any, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    def job(work: Any) -> Result:
        raise KeyError("interval")

    monkeypatch.setattr("pomona.jobs.register.run", job)
    if older:
        manifest = lake.manifest("r", "train")
        lake.put_document("runs/r/manifests/train.json", {**manifest, "code": "of an earlier release"})
        line = "run r was begun by another release, whose documents have no 'interval': clear its task ingest with all later ones, or"
        assert refusal(lake, capfd).startswith(line)
        return
    with pytest.raises(KeyError, match="interval"):
        registered(lake)
    assert (lake.outcome("r", "register") or {})["status"] == "fault"
