"""register and a person's answer: with the argument nothing is promoted without a yes to this very verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pomona import approval, command, newness, promotions, reigns, tracking
from pomona.jobs import register
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.promotions import LakeLedger
from pomona.standing import Standing
from pomona.summary import Facts
from pomona.work import Work

RUN = "r1"
STATE = {"placements": "p", "knobs": {}, "code": "c"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An MLflow with one version of `fruit`, whose files play no part here."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    client = tracking.connect(uri)
    client.create_registered_model("fruit")
    client.create_model_version("fruit", source="file:///nowhere")
    return uri


@pytest.fixture
def lake(store: str, tmp_path: Path) -> Lake:
    """A lake whose run has a verdict; nobody is champion."""
    client = tracking.connect(store)
    if tracking.alias_of(client, "fruit") is not None:
        client.delete_registered_model_alias("fruit", "champion")
    made = Lake(str(tmp_path), "fruit").open()
    ingested: dict[str, list[Any]] = {name: [] for name in ("images", "placements", "rejects", "roster", "annotations")}
    made.write_manifest(RUN, "ingest", ingested, notes={"state": STATE, "started_by": "schedule"})
    return judged(made)


def judged(lake: Lake, decision: str = "promote", reason: str = "better", champion: int | None = None) -> Lake:
    """The lake after its run was evaluated, once more if it was before."""
    document = {"decision": decision, "reason": reason, "words": reason, "champion": champion}
    rest: dict[str, Any] = {"rule": "", "accuracy": 0.9, "checks": [], "figures": {}, "per_class": [], "baselines": {}, "examples": {}}
    file = lake.write_document(f"runs/{RUN}/verdict", "verdict", {**document, **rest})
    lake.write_manifest(RUN, "evaluate", {"metrics": [], "predictions": [], "verdict": [file]})
    return lake


def registered(store: str, lake: Lake, *, require: bool = True) -> promotions.Move:
    """What register makes of the verdict, its version being made."""
    place = command.Place(RUN, "fruit", lake.root, "landing", store)
    work = Work(command.parse(command.arguments("register", place, resolve({}), require_approval=require)), lake)
    manifests = {"ingest": lake.manifest(RUN, "ingest")}
    verdict = approval.verdict_of(lake, RUN)
    move = register._moved(work, Facts(place, manifests, {}, {}, verdict), 1)
    register._reached_verdict(work, verdict, 1, move)
    return move


def champion(store: str) -> int | None:
    return tracking.champion_version(store, "fruit")


def test_where_nobody_has_to_be_asked_the_verdict_is_enough(store: str, lake: Lake) -> None:
    assert registered(store, lake, require=False).moved
    assert champion(store) == 1
    assert LakeLedger(lake).read_all()[0]["by"] == "schedule"


def test_without_an_answer_the_champion_stays_and_the_next_run_asks_again(store: str, lake: Lake) -> None:
    kept = registered(store, lake)
    assert (kept.moved, kept.line) == (False, "not approved, for nobody has been asked about this verdict; the next run asks again")
    for answer in ("unasked", "unanswered"):
        approval.keep(lake, RUN, answer)  # type: ignore[arg-type]
        line = registered(store, lake).line
        assert line.startswith("not approved, for nobody ")
        assert line.endswith("; the next run asks again")
    assert champion(store) is None
    assert lake.entries("judged") == [], "nothing says to the next run that this one was the last word"


def test_a_yes_promotes_and_a_no_keeps_for_good(store: str, lake: Lake) -> None:
    approval.keep(lake, RUN, "rejected", by="ann")
    kept = registered(store, lake)
    assert not kept.moved
    assert kept.line.startswith("not approved by ann on 20")
    assert kept.line.endswith(" UTC")
    assert [entry["run"] for entry in lake.entries("judged")] == [RUN]
    approval.keep(lake, RUN, "approved", by="ann")
    assert registered(store, lake).moved
    assert champion(store) == 1


def test_a_yes_to_an_earlier_verdict_of_the_run_is_none_to_this_one(store: str, lake: Lake) -> None:
    approval.keep(lake, RUN, "approved", by="ann")
    judged(lake, reason="better by far less")
    assert not registered(store, lake).moved
    assert champion(store) is None


def test_a_yes_to_a_verdict_that_keeps_promotes_nothing(store: str, lake: Lake) -> None:
    judged(lake, "keep", "worse on lemons")
    approval.keep(lake, RUN, "approved", by="ann")
    assert registered(store, lake) == promotions.Move(False, "worse on lemons")
    assert champion(store) is None
    said = newness.nothing_new(lake, "r2", STATE, lambda: champion(store))
    assert said == "pictures, knobs, code and champion (no version) are those of run r1, which reached its verdict"


def test_what_is_held_keeps_and_is_marked_for_the_release(store: str, lake: Lake) -> None:
    assert registered(store, lake, require=False).moved
    ledger = LakeLedger(lake)
    client = tracking.connect(store)
    facts = {"reason": "bad", "by": "ann", "checked": "", "ledger": ledger, "run": "back"}
    promotions.roll_back(store, "fruit", 1, expected=1, **facts)
    client.create_model_version("fruit", source="file:///nowhere")
    place = command.Place(RUN, "fruit", lake.root, "landing", store)
    work = Work(command.parse(command.arguments("register", place, resolve({}))), lake)
    verdict = {**approval.verdict_of(lake, RUN), "champion": 1}
    move = register._moved(work, Facts(place, {"ingest": lake.manifest(RUN, "ingest")}, {}, {}, verdict), 2)
    register._reached_verdict(work, verdict, 2, move)
    assert move.line.startswith("promotion is held since the rollback to version 1 by ann on ")
    assert move.line.endswith(": release with `make release`, then the next run judges anew")
    assert [entry["held"] for entry in lake.entries("judged")] == [False, True]
    assert champion(store) == 1
    told = register.standing(work, 2, move)
    assert (told.moved, told.promoted, told.champion) == (False, "", 1)
    assert told.words == f"It did not become the champion: {move.line}."


def test_a_run_whose_task_is_repeated_says_since_when_its_version_was_champion_and_what_came_since(store: str, lake: Lake) -> None:
    place = command.Place(RUN, "fruit", lake.root, "landing", store)
    work = Work(command.parse(command.arguments("register", place, resolve({}))), lake)
    told = register.standing(work, 1, registered(store, lake, require=False))
    (change,) = reigns.changes(LakeLedger(lake).read_all())
    assert told == Standing(True, "", change.since, 1)
    version = int(tracking.connect(store).create_model_version("fruit", source="file:///nowhere").version)
    promotions.move_champion(store, "fruit", version, expected=1, run="r2", reason="better", ledger=LakeLedger(lake))
    again = register.standing(work, 1, registered(store, lake, require=False))
    assert (again.moved, again.promoted, again.champion) == (False, change.since, version)
    assert again.why == f"the verdict was measured against no version, but the champion is version {version} now"


@pytest.mark.parametrize("decision", ["promote", "keep"])
def test_against_a_champion_that_was_put_there_meanwhile_the_next_run_judges(store: str, lake: Lake, decision: str) -> None:
    client = tracking.connect(store)
    assert registered(store, lake, require=False).moved
    assert newness.nothing_new(lake, "r2", STATE, lambda: champion(store)).startswith("pictures, knobs, code and champion (version 1)")
    meanwhile = client.create_model_version("fruit", source="file:///nowhere").version
    client.set_registered_model_alias("fruit", "champion", meanwhile)
    assert not registered(store, judged(lake, decision), require=False).moved
    assert newness.nothing_new(lake, "r2", STATE, lambda: champion(store)) == ""


def test_a_champion_that_was_deleted_meanwhile_is_something_new(store: str, lake: Lake) -> None:
    client = tracking.connect(store)
    doomed = int(client.create_model_version("fruit", source="file:///nowhere").version)
    promotions.move_champion(store, "fruit", doomed, expected=None, run="r0", reason="first", ledger=LakeLedger(lake))
    judged(lake, champion=doomed)
    client.delete_model_version("fruit", str(doomed))
    kept = registered(store, lake, require=False)
    assert kept.line == f"the verdict was measured against version {doomed}, but the champion is no version now"
    assert newness.nothing_new(lake, "r2", STATE, lambda: champion(store)) == ""
