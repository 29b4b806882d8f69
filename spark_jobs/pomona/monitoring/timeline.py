"""What the lake tells of a model over time, in one document: its champions, its images, its scores, and the watch for drift.

Only the lake is asked. An alias that somebody moved by hand is told once another job has noted it in the ledger of promotions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, cast

from pomona import reigns, scored
from pomona.lake import Lake
from pomona.monitoring import hundreds
from pomona.reigns import Change, Hold
from pomona.storage import at_once

Phase = Literal["calm", "drift", "pause"]


class Taken(NamedTuple):
    """How many distinct images of how many labels a run took in."""

    at: datetime
    run: str
    n_images: int
    n_labels: int


class Judged(NamedTuple):
    """A run that reached its verdict: how right its model is on the test images (None without an honest score), and what was decided."""

    at: datetime
    run: str
    version: int | None
    decision: str
    accuracy: float | None
    low: float | None
    high: float | None
    n_images: int
    n_groups: int


class Window(NamedTuple):
    """A window of pictures that was held against the training of a version; `at` is when it was full, `began` whether drift did with it."""

    at: datetime
    champion: int
    n_images: int
    n_rejects: int
    score: float
    scores: Mapping[str, float]
    kind: str
    symptoms: tuple[str, ...]
    phase: Phase
    began: bool

    @property
    def alarms(self) -> bool:
        return self.score >= 1


class Batch(NamedTuple):
    """What one run that asked the champion found among the pictures that were new; `why` says why it could judge none of them."""

    at: datetime
    run: str
    champion: int
    n_new: int
    n_unknown: int | None
    n_rejects: int
    windows: tuple[Window, ...]
    n_waiting: int
    rate: float
    why: str


class Asked(NamedTuple):
    """The pictures without a label, as champions answered: `n_unknown` is None where no version could tell."""

    n_pictures: int
    n_unknown: int | None
    n_unanswered: int


@dataclass(frozen=True)
class Timeline:
    """Everything up to `now`, each kind in the order of time.

    Attributes
    ----------
    holds : each hold on automatic promotion with its end, None while it lasts
    n_gone : runs that reached a verdict and whose folders are there no more, so that nobody knows their scores
    asked : None when nobody has asked about any picture
    """

    name: str
    now: datetime
    changes: Sequence[Change] = ()
    holds: Sequence[tuple[Hold, datetime | None]] = ()
    taken: Sequence[Taken] = ()
    judged: Sequence[Judged] = ()
    n_gone: int = 0
    batches: Sequence[Batch] = ()
    asked: Asked | None = None

    @property
    def champion(self) -> int | None:
        """The version that the ledger believes to be champion."""
        return self.changes[-1].version if self.changes else None

    @property
    def hold(self) -> Hold | None:
        """The hold that lasts."""
        return self.holds[-1][0] if self.holds and self.holds[-1][1] is None else None

    @property
    def windows(self) -> list[Window]:
        return [window for batch in self.batches for window in batch.windows]


def gathered(lake: Lake, *, now: datetime) -> Timeline:
    """The timeline of the lake's name; an empty lake has an empty one."""
    promotions, runs = lake.entries("promotions"), lake.folders("runs")
    summaries = at_once(lambda run: lake.document(f"{lake.run_folder(run)}/summary.json"), runs)
    # Snapshots would say the same, but `tidy` keeps the newest alone.
    manifests = at_once(lambda run: lake.document(f"{lake.run_folder(run)}/manifests/ingest.json"), runs)
    there = [judged(summary) for summary in summaries if summary]
    return Timeline(
        name=lake.name,
        now=now,
        changes=reigns.changes(promotions),
        holds=reigns.holds(promotions),
        taken=sorted(_taken(manifest) for manifest in manifests if manifest),
        judged=sorted(there, key=lambda run: (run.at, run.run)),
        n_gone=len({entry["run"] for entry in lake.entries("judged")} - {run.run for run in there}),
        batches=[batch(document) for document in hundreds.every(lake)],
        asked=_asked(lake),
    )


def judged(summary: Mapping[str, Any]) -> Judged:
    """What a run's `summary.json` tells of it."""
    official, model = summary["scores"]["official"], summary["model"]
    low, high = official["accuracy_interval"]
    counts = (official["n_images"], official["n_groups"])
    return Judged(
        moment(summary["ended"]), summary["run"], model["version"], summary["verdict"]["decision"], official["accuracy"], low, high, *counts
    )


def batch(document: Mapping[str, Any]) -> Batch:
    """A numbered record of the watch."""
    return Batch(
        at=moment(document["at"]),
        run=document["run"],
        champion=document["champion"],
        n_new=document["n_new"],
        n_unknown=document["n_unknown"],
        n_rejects=document["n_rejects"],
        windows=tuple(_window(window, document["champion"]) for window in document["windows"]),
        n_waiting=document["n_waiting"],
        rate=document["rate"],
        why=document["why"],
    )


def _window(window: Mapping[str, Any], champion: int) -> Window:
    return Window(
        at=moment(window["to"]),
        champion=champion,
        n_images=window["n_images"],
        n_rejects=window["n_rejects"],
        score=window["score"],
        scores=window["scores"],
        kind=window["kind"],
        symptoms=tuple(window["symptoms"]),
        phase=cast(Phase, window["phase"]),
        began=window["began"],
    )


def moment(text: str) -> datetime:
    """The time that the text says in ISO 8601, in UTC unless it has an offset of its own."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _taken(manifest: Mapping[str, Any]) -> Taken:
    counts = manifest["counts"]
    return Taken(moment(manifest["created"]), manifest["run"], counts["kept"], counts["labels"])


def _asked(lake: Lake) -> Asked | None:
    state = scored.latest(lake)
    if state.number == 0:
        return None
    unknown = state.rows["unknown"]
    n_unknown = int(unknown.eq(True).sum()) if unknown.notna().any() else None
    return Asked(len(state.rows), n_unknown, int(state.rows["reason"].notna().sum()))
