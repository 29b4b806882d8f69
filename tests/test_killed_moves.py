"""A rollback killed at any step: the alias is the old version or the new one, and the next reader closes the ledger."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pomona import promotions, reigns, tracking
from pomona.lake import Lake
from pomona.newness import nothing_new
from pomona.promotions import LakeLedger

NAME = "fruit"
STEPS = ("before the intent", "after the intent", "after the alias", "after the outcome")


class DeadlyLedger:
    """The lake's ledger; its process is gone before or behind its nth new document."""

    def __init__(self, ledger: LakeLedger, *, before: int = 0, behind: int = 0) -> None:
        self.ledger, self.before, self.behind, self.written = ledger, before, behind, 0

    def read_all(self) -> list[dict[str, Any]]:
        return self.ledger.read_all()

    def create(self, number: int, document: Mapping[str, Any]) -> bool:
        self.written += 1
        if self.written == self.before:
            os.kill(os.getpid(), signal.SIGKILL)
        created = self.ledger.create(number, document)
        if self.written == self.behind:
            os.kill(os.getpid(), signal.SIGKILL)
        return created


class ImpatientReader:
    """The lake's ledger; behind each intent somebody reads it who takes the process that wrote it for dead."""

    def __init__(self, ledger: LakeLedger, store: str) -> None:
        self.ledger, self.store = ledger, store

    def read_all(self) -> list[dict[str, Any]]:
        return self.ledger.read_all()

    def create(self, number: int, document: Mapping[str, Any]) -> bool:
        created = self.ledger.create(number, document)
        if document["kind"] == "intent":
            promotions.reconcile(self.store, NAME, ledger=self.ledger, run="reader", patience_s=0)
        return created


def rolled_back(store: str, ledger: promotions.Ledger, *, run: str = "back", version: int = 1, expected: int = 2) -> promotions.Move:
    facts = {"reason": "bad", "by": "person (ann)", "checked": "right on all"}
    return promotions.roll_back(store, NAME, version, expected=expected, run=run, ledger=ledger, patience_s=0.5, **facts)


def die(store: str, root: str, step: str) -> None:
    """In a process of its own: a rollback from version 2 to version 1 that does not survive the step."""
    deaths = {STEPS[0]: {"before": 1}, STEPS[1]: {"behind": 1}, STEPS[2]: {"before": 2}, STEPS[3]: {"behind": 2}}
    rolled_back(store, DeadlyLedger(LakeLedger(Lake(root, NAME)), **deaths[step]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an MLflow of three versions and a lake: the second was promoted after the first. Their files play no part here."""
    folder = tmp_path_factory.mktemp("made")
    uri, ledger = f"sqlite:///{folder}/mlflow.db", LakeLedger(Lake(str(folder), NAME))
    client = tracking.connect(uri)
    client.create_registered_model(NAME)
    for number in (1, 2, 3):
        client.create_model_version(NAME, source=f"file:///nowhere/{number}")
    for number, before in ((1, None), (2, 1)):
        assert promotions.move_champion(uri, NAME, number, expected=before, run=f"r{number}", reason="better", ledger=ledger).moved
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> str:
    """A copy of it, which the test may change."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Processes that begin with MLflow imported and with none of this one's connections to a database."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow", "mlflow.store.tracking.sqlalchemy_store", "tests.test_killed_moves"])
    return context


@pytest.mark.parametrize(("step", "left", "kinds"), [(STEPS[0], 2, 4), (STEPS[1], 2, 5), (STEPS[2], 1, 5), (STEPS[3], 1, 6)])
def test_a_killed_rollback_leaves_the_old_champion_or_the_new_one_and_a_ledger_that_the_next_reader_closes(
    store: str, tmp_path: Path, processes: multiprocessing.context.ForkServerContext, step: str, left: int, kinds: int
) -> None:
    process = processes.Process(target=die, args=(store, str(tmp_path), step))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    ledger = LakeLedger(Lake(str(tmp_path), NAME))
    assert tracking.champion_version(store, NAME) == left
    assert len(ledger.read_all()) == kinds
    documents = promotions.reconcile(store, NAME, ledger=ledger, run="reader", patience_s=0.5)
    assert documents[-1]["kind"] == "outcome"
    assert reigns.champion(documents) == left
    assert (reigns.held(documents) is not None) == (left == 1), "held exactly when it went back"
    # The same rollback once more brings the same end, whatever was left.
    assert rolled_back(store, ledger).moved
    documents = ledger.read_all()
    assert tracking.champion_version(store, NAME) == reigns.champion(documents) == 1
    hold = reigns.held(documents)
    assert hold is not None and hold.version == 1
    assert [change.version for change in reigns.changes(documents)] == [1, 2, 1]


def at_once(*moves: Callable[[], promotions.Move]) -> list[promotions.Move]:
    """What became of moves that begin together, in threads of this process."""
    start, found = threading.Barrier(len(moves)), {}

    def run(index: int) -> None:
        start.wait()
        found[index] = moves[index]()

    threads = [threading.Thread(target=run, args=[index]) for index in range(len(moves))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[index] for index in range(len(moves))]


def test_a_rollback_that_was_taken_for_dead_holds_promotion_all_the_same(store: str, tmp_path: Path) -> None:
    ledger = LakeLedger(Lake(str(tmp_path), NAME))
    assert rolled_back(store, ImpatientReader(ledger, store)).moved
    documents = ledger.read_all()
    assert [document.get("result", document["kind"]) for document in documents[4:]] == ["intent", "abandoned", "by_hand", "hold"]
    assert tracking.champion_version(store, NAME) == reigns.champion(documents) == 1
    assert reigns.held(documents) is not None


def test_of_two_rollbacks_at_once_one_wins_and_the_other_says_so(store: str, tmp_path: Path) -> None:
    ledger = LakeLedger(Lake(str(tmp_path), NAME))
    first, second = at_once(lambda: rolled_back(store, ledger, run="a", version=1), lambda: rolled_back(store, ledger, run="b", version=3))
    assert sorted((first.moved, second.moved)) == [False, True]
    winner, loser = (1, second) if first.moved else (3, first)
    assert tracking.champion_version(store, NAME) == winner
    assert f"the champion was version 2 when its check began and is version {winner} now" in loser.line
    assert len(reigns.changes(ledger.read_all())) == 3


def test_of_a_promotion_and_a_rollback_at_once_one_wins_and_the_other_says_so(store: str, tmp_path: Path) -> None:
    ledger = LakeLedger(Lake(str(tmp_path), NAME))
    promotion, back = at_once(
        lambda: promotions.move_champion(store, NAME, 3, expected=2, run="r3", reason="better", ledger=ledger, patience_s=60),
        lambda: rolled_back(store, ledger),
    )
    assert sorted((promotion.moved, back.moved)) == [False, True]
    assert tracking.champion_version(store, NAME) == (3 if promotion.moved else 1)
    if promotion.moved:
        assert "is version 3 now" in back.line
    else:
        assert promotion.line.startswith("promotion is held since the rollback to version 1 by person (ann) on ")
        assert promotion.line.endswith(": release with `make release`, then the next run judges anew")


def test_a_rollback_between_two_looks_of_a_promotion_is_told_as_the_hold_that_it_is(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, looked, looks = LakeLedger(Lake(str(tmp_path), NAME)), tracking.alias_of, count()

    def alias_of(client: Any, name: str) -> int | None:
        if next(looks) == 1:
            assert rolled_back(store, ledger).moved
        return looked(client, name)

    monkeypatch.setattr(tracking, "alias_of", alias_of)
    promotion = promotions.move_champion(store, NAME, 3, expected=2, run="r3", reason="better", ledger=ledger)
    assert promotion.line.startswith("promotion is held since the rollback to version 1 by person (ann) on ")
    assert not promotion.final


def test_promotion_rests_after_a_rollback_until_it_is_released(store: str, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path), NAME)
    ledger = LakeLedger(lake)

    def promote() -> promotions.Move:
        return promotions.move_champion(store, NAME, 3, expected=1, run="r3", reason="better", ledger=ledger)

    assert not promotions.release(store, lake, run="x", reason="", by="").moved, "nothing is held yet"
    assert rolled_back(store, ledger).moved
    kept = promote()
    assert (kept.moved, kept.final) == (False, False)
    assert promotions.release(store, lake, run="x", reason="mended", by="person (ann)").moved
    assert promote().moved
    assert tracking.champion_version(store, NAME) == 3


def test_what_is_champion_already_is_held_without_a_move(store: str, tmp_path: Path) -> None:
    ledger = LakeLedger(Lake(str(tmp_path), NAME))
    found = rolled_back(store, ledger, version=2)
    assert (found.moved, found.line) == (True, "version 2 of fruit is the champion already")
    assert [document["kind"] for document in ledger.read_all()[4:]] == ["hold"]
    assert rolled_back(store, ledger, version=2).moved and len(ledger.read_all()) == 5


def test_a_release_lets_the_next_run_judge_again_what_was_judged_while_it_was_held(store: str, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path), NAME)
    assert rolled_back(store, LakeLedger(lake)).moved
    state = {"placements": "p", "knobs": {}, "code": "c"}
    lake.append("judged", 1, {"run": "r3", "at": "2026-11-17T10:00:00+00:00", "state": {**state, "champion": 1}, "held": True})
    assert "those of run r3, which reached its verdict" in nothing_new(lake, "r4", state, lambda: 1)
    promotions.release(store, lake, run="x", reason="", by="")
    assert nothing_new(lake, "r4", state, lambda: 1) == ""
    assert lake.last_number("judged") == 2
