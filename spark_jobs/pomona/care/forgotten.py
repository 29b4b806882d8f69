"""Contents that were taken out of the lake for good: a numbered record, so that ingest never takes one in again."""

from __future__ import annotations

import re
from typing import Any

from pomona.lake import Lake, now
from pomona.outcome import BadInput

REASON = "forgotten"
_RECORD = "forgotten"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def contents(lake: Lake) -> frozenset[str]:
    """The SHA-256 of each forgotten content."""
    return frozenset(str(entry["content"]) for entry in lake.entries(_RECORD))


def checked(text: str) -> str:
    """The SHA-256 that the text says.

    Raises
    ------
    BadInput
        When it is none.
    """
    sha256 = text.strip().lower()
    if not _SHA256.fullmatch(sha256):
        raise BadInput(f"SHA={text!r} is no SHA-256: give the 64 signs that sha256sum says of the picture's file")
    return sha256


def entry_of(lake: Lake, content: str) -> dict[str, Any] | None:
    """The record of the content, or None."""
    return next((entry for entry in lake.entries(_RECORD) if entry["content"] == content), None)


def record(lake: Lake, content: str, *, by: str, reason: str, learnt: dict[str, list[Any]]) -> dict[str, Any]:
    """The record of the content, made now unless there is one: `learnt` names the versions and runs that trained on it."""
    while (entry := entry_of(lake, content)) is None:
        number = lake.last_number(_RECORD) + 1
        lake.append(_RECORD, number, {"number": number, "content": content, "at": now(), "by": by, "reason": reason, **learnt})
    return entry
