"""The alias `champion` moves from version to version, and a ledger of numbered documents says when, why and by whom.

Each move is three steps: an *intent* is written, the alias is set, the *outcome* is written. MLflow cannot compare and set an
alias in one step; the ledger can, because document n+1 is created by one writer only, and an open intent keeps others waiting.
Whoever reads the ledger next closes what a killed process left open, and notes an alias that was moved by hand.

A rollback is such a move with a *hold* in its intent: automatic promotion rests from its outcome on, until a `release` is written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from pomona import reigns
from pomona import tracking as mlflow_tracking
from pomona.reigns import version_words

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pomona.lake import Lake

# An intent older than this belongs to a process that is gone: between intent and outcome lie two calls to MLflow.
PATIENCE_S = 30.0


class Ledger(Protocol):
    """Numbered JSON documents, 1, 2, 3, …, each created once and never changed."""

    def create(self, number: int, document: Mapping[str, Any]) -> bool:
        """False when that number exists already."""

    def read_all(self) -> Sequence[Mapping[str, Any]]:
        """All documents in the order of their numbers."""


@dataclass(frozen=True)
class LakeLedger:
    """The numbered record `promotions` of the lake."""

    lake: Lake

    def create(self, number: int, document: Mapping[str, Any]) -> bool:
        return self.lake.append("promotions", number, document)

    def read_all(self) -> list[dict[str, Any]]:
        return self.lake.entries("promotions")


@dataclass(frozen=True)
class Move:
    """What became of a promotion or rollback: whether the version is champion now, and one line that says so, or why not.

    `final` is False when the last word on the promotion is not spoken: a hold that will be released, an answer that nobody gave yet.
    """

    moved: bool
    line: str
    final: bool = True


@dataclass(frozen=True)
class _Book:
    """The ledger of one name, beside the alias that it is about."""

    client: MlflowClient
    name: str
    ledger: Ledger

    def alias(self) -> int | None:
        return mlflow_tracking.alias_of(self.client, self.name)

    def write(self, after: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> bool:
        """False when somebody else has written since `after` was read."""
        number = len(after) + 1
        return self.ledger.create(number, {"number": number, "at": _now().isoformat(timespec="seconds"), **document})


def move_champion(
    tracking: str,
    name: str,
    version: int,
    *,
    expected: int | None,
    run: str,
    reason: str,
    ledger: Ledger,
    by: str = "",
    patience_s: float = PATIENCE_S,
) -> Move:
    """The alias points to `version`, provided that it pointed to `expected`, which the verdict was measured against (None: to nothing).

    Repeated calls of one run do nothing more: a version that is champion already counts as moved. While promotion is held nothing moves.
    """
    book = _Book(mlflow_tracking.connect(tracking), name, ledger)
    while True:
        documents = _reconciled(book, run, patience_s)
        current = book.alias()
        if current == version:
            return Move(True, f"version {version} of {name} is the champion")
        if hold := reigns.held(documents):
            return Move(False, f"promotion is {hold.line}, then the next run judges anew", final=False)
        if current != reigns.champion(documents):
            continue  # it was moved since the ledger was read, which says by now what that was
        if current != expected:
            measured = f"the verdict was measured against {version_words(expected)}"
            return Move(False, f"{measured}, but the champion is {version_words(current)} now")
        if _move(book, documents, {"run": run, "by": by, "from": current, "to": version, "reason": reason}):
            return Move(True, f"version {version} of {name} is the champion, after {version_words(current)}")


def roll_back(
    tracking: str,
    name: str,
    version: int,
    *,
    expected: int | None,
    run: str,
    reason: str,
    by: str,
    checked: str,
    ledger: Ledger,
    patience_s: float = PATIENCE_S,
) -> Move:
    """The alias points back to `version` and automatic promotion is held, provided that the champion is still `expected`.

    A version that is champion already is held there, without a move. `checked` says what its check found, for the ledger.
    """
    book = _Book(mlflow_tracking.connect(tracking), name, ledger)
    facts = {"run": run, "by": by, "to": version, "reason": reason, "hold": True, "checked": checked}
    while True:
        documents = _reconciled(book, run, patience_s)
        current = book.alias()
        if current == version:
            if reigns.held(documents) or book.write(documents, {"kind": "hold", **facts}):
                return Move(True, f"version {version} of {name} is the champion already")
            continue
        if current != expected:
            meanwhile = f"the champion was {version_words(expected)} when its check began and is {version_words(current)} now"
            return Move(False, f"not rolled back to version {version}: {meanwhile}; look with `make served`, then decide anew")
        if _move(book, documents, {**facts, "from": current}):
            return Move(True, f"version {version} of {name} is the champion, after {version_words(current)}")


def release(tracking: str, lake: Lake, *, run: str, reason: str, by: str, patience_s: float = PATIENCE_S) -> Move:
    """Automatic promotion goes on; `moved` says whether it had been held.

    What the latest run judged while it was held counts as not judged: the next run judges it again even if no picture is new.
    """
    book = _Book(mlflow_tracking.connect(tracking), lake.name, LakeLedger(lake))
    while True:
        documents = _reconciled(book, run, patience_s)
        hold = reigns.held(documents)
        if hold is None:
            return Move(False, f"automatic promotion of {lake.name} is not held")
        last = lake.last_number("judged")
        judged = lake.entry("judged", last)
        # First, so that whoever is killed in between is repeated in full.
        if judged and judged.get("held") and not lake.append("judged", last + 1, _to_judge_again(judged)):
            continue
        if book.write(documents, {"kind": "release", "run": run, "by": by, "reason": reason, "hold": hold.number}):
            return Move(True, f"automatic promotion of {lake.name} goes on; it was held since the rollback to version {hold.version}")


def _to_judge_again(judged: Mapping[str, Any]) -> dict[str, Any]:
    """The run's entry with a champion that no version is: to the next run everything looks new."""
    return {**judged, "held": False, "at": _now().isoformat(timespec="seconds"), "state": {**judged["state"], "champion": "released"}}


def _move(book: _Book, documents: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> bool:
    """Intent, alias, outcome; False when somebody else wrote into the ledger before the one or the other: then look anew.

    Before the outcome somebody writes who takes this process for dead. If the intent counts as abandoned, so does the hold in it, although
    the alias is moved.
    """
    intent = {"kind": "intent", **facts}
    if not book.write(documents, intent):
        return False
    book.client.set_registered_model_alias(book.name, mlflow_tracking.ALIAS, str(facts["to"]))
    return book.write([*documents, intent], _outcome(len(documents) + 1, intent, "moved"))


def reconcile(tracking: str, name: str, *, ledger: Ledger, run: str, patience_s: float = PATIENCE_S) -> Sequence[Mapping[str, Any]]:
    """The documents of the ledger, once what a killed process left open is closed and a move by hand is noted."""
    return _reconciled(_Book(mlflow_tracking.connect(tracking), name, ledger), run, patience_s)


def _reconciled(book: _Book, run: str, patience_s: float) -> Sequence[Mapping[str, Any]]:
    began = time.monotonic()
    while True:
        documents = book.ledger.read_all()
        last = documents[-1] if documents else None
        if last is not None and last["kind"] == "intent":
            age_s = (_now() - datetime.fromisoformat(last["at"])).total_seconds()
            # The second bound holds where the clock of the machine that wrote it runs ahead.
            if last["run"] != run and age_s < patience_s and time.monotonic() - began < patience_s:
                time.sleep(min(0.2, patience_s))
                continue
            result = "moved" if book.alias() == last["to"] else "abandoned"
            book.write(documents, _outcome(len(documents), last, result))
            continue
        known, current = reigns.champion(documents), book.alias()
        if known == current:
            return documents
        line = f"the alias was moved by hand from {version_words(known)} to {version_words(current)}"
        book.write(documents, {"kind": "by_hand", "run": run, "from": known, "to": current, "line": line})


def _outcome(number: int, intent: Mapping[str, Any], result: str) -> dict[str, Any]:
    return {"kind": "outcome", "intent": number, "run": intent["run"], "from": intent["from"], "to": intent["to"], "result": result}


def _now() -> datetime:
    return datetime.now(UTC)
