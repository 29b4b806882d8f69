import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pomona import promotions, tracking
from pomona.lake import Lake
from pomona.promotions import LakeLedger
from tests.drawn_model import chain, knobs, pictures, trained_on


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three versions of `fruit`."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    for run in ("r1", "r2", "r3"):
        probes = [data for _, data in pictures(1)]
        tracking.register(uri, "fruit", run, chain=chain(), probes=probes, trained_on=trained_on(), params=knobs(), metrics={}, tags={})
    return uri


@pytest.fixture
def ledger(store: str, tmp_path: Path) -> LakeLedger:
    client = tracking.connect(store)
    if tracking.alias_of(client, "fruit") is not None:
        client.delete_registered_model_alias("fruit", "champion")
    return LakeLedger(Lake(str(tmp_path), "fruit"))


def move(store: str, ledger: LakeLedger, version: int, *, expected: int | None, run: str = "r") -> promotions.Move:
    return promotions.move_champion(store, "fruit", version, expected=expected, run=run, reason="better", ledger=ledger, patience_s=3.0)


def alias(store: str) -> int | None:
    return tracking.alias_of(tracking.connect(store), "fruit")


def kinds(ledger: LakeLedger) -> list[tuple[str, Any, Any]]:
    return [(document.get("result", document["kind"]), document["from"], document["to"]) for document in ledger.read_all()]


def leave_open(ledger: LakeLedger, *, run: str, age_s: float, to: int, before: int | None = None) -> None:
    """An intent without an outcome, as a killed process leaves it."""
    at = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    number = len(ledger.read_all()) + 1
    ledger.create(number, {"kind": "intent", "number": number, "at": at, "run": run, "from": before, "to": to, "reason": "better"})


def test_the_alias_moves_and_the_ledger_holds_intent_and_outcome(store, ledger):
    assert move(store, ledger, 1, expected=None).moved
    assert move(store, ledger, 2, expected=1) == promotions.Move(True, "version 2 of fruit is the champion, after version 1")
    assert alias(store) == 2
    assert kinds(ledger) == [("intent", None, 1), ("moved", None, 1), ("intent", 1, 2), ("moved", 1, 2)]
    assert [document["number"] for document in ledger.read_all()] == [1, 2, 3, 4]


def test_a_verdict_against_a_version_that_is_no_longer_champion_moves_nothing(store, ledger):
    move(store, ledger, 2, expected=None)
    refused = move(store, ledger, 3, expected=1)
    assert refused == promotions.Move(False, "the verdict was measured against version 1, but the champion is version 2 now")
    assert move(store, ledger, 3, expected=None).moved is False
    assert alias(store) == 2 and len(ledger.read_all()) == 2


def test_the_same_move_again_changes_nothing(store, ledger):
    move(store, ledger, 1, expected=None)
    assert move(store, ledger, 1, expected=None).moved
    assert len(ledger.read_all()) == 2


def test_a_move_killed_before_the_alias_is_abandoned_when_next_read_and_made_when_repeated(store, ledger):
    move(store, ledger, 1, expected=None)
    leave_open(ledger, run="r2", age_s=0, to=2, before=1)
    assert move(store, ledger, 2, expected=1, run="r2").moved
    assert kinds(ledger)[2:] == [("intent", 1, 2), ("abandoned", 1, 2), ("intent", 1, 2), ("moved", 1, 2)]
    assert alias(store) == 2


def test_a_move_killed_after_the_alias_gets_its_outcome_when_next_read(store, ledger):
    leave_open(ledger, run="dead", age_s=60, to=1)
    tracking.connect(store).set_registered_model_alias("fruit", "champion", "1")
    promotions.reconcile(store, "fruit", ledger=ledger, run="r2", patience_s=3.0)
    assert kinds(ledger) == [("intent", None, 1), ("moved", None, 1)]
    assert move(store, ledger, 2, expected=1).moved


def test_an_alias_moved_by_hand_is_noted_as_such(store, ledger):
    move(store, ledger, 1, expected=None)
    tracking.connect(store).set_registered_model_alias("fruit", "champion", "3")
    assert move(store, ledger, 2, expected=1).moved is False
    (note,) = ledger.read_all()[2:]
    assert (note["kind"], note["line"]) == ("by_hand", "the alias was moved by hand from version 1 to version 3")
    tracking.connect(store).delete_registered_model_alias("fruit", "champion")
    assert promotions.reconcile(store, "fruit", ledger=ledger, run="r")[-1]["line"].endswith("from version 3 to no version")
    assert alias(store) is None


def test_a_fresh_intent_of_another_run_is_waited_for(store, ledger):
    leave_open(ledger, run="other", age_s=0, to=1)

    def finish() -> None:
        tracking.connect(store).set_registered_model_alias("fruit", "champion", "1")
        at = datetime.now(UTC).isoformat()
        ledger.create(2, {"kind": "outcome", "number": 2, "at": at, "intent": 1, "run": "other", "from": None, "to": 1, "result": "moved"})

    timer = threading.Timer(0.5, finish)
    timer.start()
    refused = move(store, ledger, 2, expected=None)
    timer.join()
    assert refused.line == "the verdict was measured against no version, but the champion is version 1 now"


def test_an_open_intent_from_a_clock_that_runs_ahead_is_waited_for_no_longer_than_from_others(store, ledger):
    leave_open(ledger, run="dead", age_s=-3600, to=1)
    assert move(store, ledger, 2, expected=None).moved
    assert [kind for kind, _, _ in kinds(ledger)] == ["intent", "abandoned", "intent", "moved"]


def test_of_two_runs_that_promote_at_once_one_wins(store, ledger):
    moves: dict[int, promotions.Move] = {}
    start = threading.Barrier(2)

    def promote(version: int) -> None:
        start.wait()
        moves[version] = move(store, ledger, version, expected=None, run=f"r{version}")

    threads = [threading.Thread(target=promote, args=[version]) for version in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.moved for each in moves.values()) == [False, True]
    assert moves[alias(store)].moved
    assert [kind for kind, _, _ in kinds(ledger)] == ["intent", "moved"]
