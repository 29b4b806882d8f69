"""The alias `champion` moves from version to version, and a ledger of numbered documents says when, why and by whom.

Each move is three steps: an *intent* is written, the alias is set, the *outcome* is written. MLflow cannot compare and set an
alias in one step; the ledger can, because document n+1 is created by one writer only, and an open intent keeps others waiting.
Whoever reads the ledger next closes what a killed process left open, and notes an alias that was moved by hand.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from pomona import tracking as mlflow_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

# An intent older than this belongs to a process that is gone: between intent and outcome lie two calls to MLflow.
PATIENCE_S = 30.0


class Ledger(Protocol):
    """Numbered JSON documents, 1, 2, 3, …, each created once and never changed."""

    def create(self, number: int, document: Mapping[str, Any]) -> bool:
        """False when that number exists already."""

    def read_all(self) -> Sequence[Mapping[str, Any]]:
        """All documents in the order of their numbers."""


@dataclass(frozen=True)
class Move:
    """What became of a promotion: whether the version is champion now, and one line that says so."""

    moved: bool
    line: str


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
    patience_s: float = PATIENCE_S,
) -> Move:
    """The alias points to `version`, provided that it pointed to `expected`, which the verdict was measured against (None: to nothing).

    Repeated calls of one run do nothing more: a version that is champion already counts as moved.
    """
    book = _Book(mlflow_tracking.connect(tracking), name, ledger)
    while True:
        documents = _reconciled(book, run, patience_s)
        current = book.alias()
        if current == version:
            return Move(True, f"version {version} of {name} is the champion")
        if current != expected:
            return Move(False, f"kept: the verdict was measured against {_words(expected)}, but the champion is {_words(current)} now")
        intent = {"kind": "intent", "run": run, "from": current, "to": version, "reason": reason}
        if not book.write(documents, intent):
            continue
        book.client.set_registered_model_alias(name, mlflow_tracking.ALIAS, str(version))
        book.write([*documents, intent], _outcome(len(documents) + 1, intent, "moved"))
        return Move(True, f"version {version} of {name} is the champion, after {_words(current)}")


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
        known, current = _known_champion(documents), book.alias()
        if known == current:
            return documents
        line = f"the alias was moved by hand from {_words(known)} to {_words(current)}"
        book.write(documents, {"kind": "by_hand", "run": run, "from": known, "to": current, "line": line})


def _known_champion(documents: Sequence[Mapping[str, Any]]) -> int | None:
    """The version that the ledger believes to be champion."""
    for document in reversed(documents):
        if document["kind"] == "by_hand" or (document["kind"] == "outcome" and document["result"] == "moved"):
            return document["to"]  # type: ignore[no-any-return]
    return None


def _outcome(number: int, intent: Mapping[str, Any], result: str) -> dict[str, Any]:
    return {"kind": "outcome", "intent": number, "run": intent["run"], "from": intent["from"], "to": intent["to"], "result": result}


def _words(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"


def _now() -> datetime:
    return datetime.now(UTC)
