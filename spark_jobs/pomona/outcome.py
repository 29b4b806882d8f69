"""What became of a stage: one of five words, one line of text, counts and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["done", "nothing_new", "refused", "bad_input", "fault"]
EXIT_CODES: Mapping[Status, int] = {"done": 0, "nothing_new": 0, "refused": 0, "bad_input": 2, "fault": 1}


class BadInput(ValueError):
    """The input does not allow the stage; the text names the thing, the value and the remedy."""


@dataclass(frozen=True)
class File:
    """A file that a manifest names: its path below the lake, what is in it and its SHA-256."""

    path: str
    sha256: str
    bytes: int
    rows: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Result:
    """What a job hands back: the files of each dataset that its stage writes, and one line for people.

    `counts` go to the outcome, `notes` to the manifest, where later stages of the run read them.
    """

    line: str
    files: Mapping[str, Sequence[File]]
    counts: Mapping[str, int | float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "done"
