"""What the ledger of promotions says: which version was champion when, by whom and why, and whether promotion is held.

Pure functions of the ledger's documents in the order of their numbers (see `promotions`), standard library only. The alias lies in
MLflow and the ledger in the lake, so a move has no single moment: it came into force between two times that the ledger knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Documents = Sequence[Mapping[str, Any]]

# The two calls to MLflow of a move take no longer; what took longer was closed by somebody else.
_AT_ONCE_S = 60.0


@dataclass(frozen=True)
class Change:
    """The alias went from one version to another (None: it was taken away), after `earliest` (None: nobody knows) and by `latest`."""

    version: int | None
    before: int | None
    earliest: datetime | None
    latest: datetime
    kind: Literal["promotion", "rollback", "by hand"]
    run: str = ""
    by: str = ""
    reason: str = ""

    @property
    def cause(self) -> str:
        """How it came about, in words."""
        if self.kind == "by hand":
            return f"the alias was moved by hand from {version_words(self.before)}, nobody noted by whom or why"
        how = f"rolled back from {version_words(self.before)}" if self.kind == "rollback" else "promoted"
        return f"{how} by run {self.run}{f' of {self.by}' if self.by else ''}: {self.reason}"

    @property
    def since(self) -> str:
        """When, in words."""
        if self.earliest is None:
            return f"a time not known, by {moment_words(self.latest)} at the latest"
        if (self.latest - self.earliest).total_seconds() <= _AT_ONCE_S:
            return moment_words(self.latest)
        return f"some time between {moment_words(self.earliest)} and {moment_words(self.latest)}"


@dataclass(frozen=True)
class Hold:
    """Automatic promotion rests since a rollback to this version."""

    number: int
    version: int
    by: str
    at: datetime

    @property
    def line(self) -> str:
        whom = f" by {self.by}" if self.by else ""
        return f"held since the rollback to version {self.version}{whom} on {moment_words(self.at)}: release with `make release`"


def changes(documents: Documents) -> list[Change]:
    """Every change of the champion, the oldest first."""
    found: list[Change] = []
    verified: datetime | None = None
    for document in documents:
        at, kind = datetime.fromisoformat(document["at"]), document["kind"]
        if kind == "by_hand":
            found.append(Change(document["to"], document["from"], verified, at, "by hand"))
        elif kind == "outcome" and document["result"] == "moved":
            intent = documents[document["intent"] - 1]
            how: Literal["promotion", "rollback"] = "rollback" if intent.get("hold") else "promotion"
            began = datetime.fromisoformat(intent["at"])
            facts = (str(intent.get(name, "")) for name in ("run", "by", "reason"))
            found.append(Change(document["to"], document["from"], began, at, how, *facts))
        # Whoever abandons an intent has seen that the alias is not at its goal, and not where else it is.
        if kind != "outcome" or document["result"] == "moved":
            verified = at
    return found


def champion(documents: Documents) -> int | None:
    """The version that the ledger believes to be champion."""
    return next((change.version for change in reversed(changes(documents))), None)


def previous(documents: Documents) -> int | None:
    """The version to go back to: the champion before this one, None when there was none.

    What was left by going back is no way back: a second rollback goes one further.
    """
    path: list[int] = []
    for version in (change.version for change in changes(documents)):
        if version in path:
            del path[path.index(version) + 1 :]
        elif version is not None:
            path.append(version)
    # Without a champion the last one is the one to go back to.
    return path[-1] if path and champion(documents) is None else path[-2] if len(path) > 1 else None


def holds(documents: Documents) -> list[tuple[Hold, datetime | None]]:
    """Every hold on automatic promotion with the time when it ended, None for one that has not; the oldest first."""
    found: list[tuple[Hold, datetime | None]] = []
    for document in documents:
        kind, origin = document["kind"], document
        if kind == "outcome" and document["result"] == "moved":
            origin = documents[document["intent"] - 1]
        begins = kind in ("outcome", "hold") and bool(origin.get("hold"))
        if (begins or kind == "release") and found and found[-1][1] is None:
            found[-1] = (found[-1][0], datetime.fromisoformat(document["at"]))
        if begins:
            began = datetime.fromisoformat(origin["at"])
            found.append((Hold(document["number"], origin["to"], str(origin.get("by", "")), began), None))
    return found


def held(documents: Documents) -> Hold | None:
    """The hold on automatic promotion, until it is released."""
    found = holds(documents)
    return found[-1][0] if found and found[-1][1] is None else None


def served(name: str, documents: Documents, moment: datetime | None = None) -> str:
    """One line: the version of `name` that is champion now, or was at the moment, since and until when, by which run and why."""
    found = changes(documents)
    if moment is None:
        hold = held(documents)
        rests = f"; automatic promotion is {hold.line}" if hold else ""
        if not found:
            return f"no version of {name} has been champion yet: `make run` makes the first"
        last = found[-1]
        if last.version is None:
            return f"no version of {name} is champion since {last.since}: {last.cause}{rests}"
        return f"version {last.version} of {name} serves since {last.since}: {last.cause}{rests}"
    index = sum(change.latest <= moment for change in found)
    began, ended = found[index - 1] if index else None, found[index] if index < len(found) else None
    was = f"version {began.version} of {name}" if began and began.version else f"no version of {name}"
    if ended and (ended.earliest is None or ended.earliest < moment):
        either = f"either {version_words(ended.before)} or {version_words(ended.version)} of {name} served"
        return f"at {moment_words(moment)} {either}: the change came at {ended.since}; {ended.cause}"
    until = f", until {ended.since} (then {version_words(ended.version)})" if ended else ", and still does"
    if began is None:
        return f"{was} served at {moment_words(moment)}" + (until if ended else ": none has been champion yet")
    return f"{was} served at {moment_words(moment)}: since {began.since}{until}; {began.cause}"


def moment_of(text: str, *, now: datetime) -> datetime:
    """The time that the text says, in UTC unless it has an offset of its own.

    Raises
    ------
    ValueError
        When it is no time, or one to come; the text says what to write.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        remedy = "write it like AT='2026-11-17 14:00' for UTC, or with an offset like AT='2026-11-17 14:00+02:00'"
        raise ValueError(f"AT={text!r} is no time: {remedy}") from None
    moment = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    if moment > now:
        raise ValueError(f"AT={text!r} is still to come (it is {moment_words(now)}): give an earlier time, or none for now")
    return moment


def moment_words(moment: datetime) -> str:
    """`2026-11-17 14:00:05 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def version_words(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"
