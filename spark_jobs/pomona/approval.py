"""A person's answer to a verdict, as a document of the run: `runs/<run>/approval.json`. The task that asks writes it, register reads it.

An answer belongs to one verdict: once `evaluate` is done anew, it counts no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from pomona.lake import Lake, now
from pomona.reigns import moment_words
from pomona.releases import stop_if_outdated


@dataclass(frozen=True)
class Answer:
    """What was answered, by whom and when; `unasked` and `unanswered` are no answer, and another run asks again."""

    answer: Literal["approved", "rejected", "unanswered", "unasked"]
    by: str
    at: str
    verdict: str

    @property
    def approved(self) -> bool:
        return self.answer == "approved"

    @property
    def given(self) -> bool:
        """Whether a person has answered."""
        return self.answer in ("approved", "rejected")

    @property
    def line(self) -> str:
        """The answer in words."""
        when = moment_words(datetime.fromisoformat(self.at))
        if self.given:
            return f"{'approved' if self.approved else 'not approved'} by {self.by or 'somebody without a name'} on {when}"
        if self.answer == "unanswered":
            return f"not approved, for nobody has answered by {when}"
        return "not approved, for nobody can be asked in a run of `make run` or `airflow dags test`"


def verdict_of(lake: Lake, run: str) -> Mapping[str, Any]:
    """The run's verdict document.

    Raises
    ------
    BadInput
        When evaluate has not been done, or by an earlier release that said less.
    """
    stop_if_outdated(lake, run, ["verdict"])
    return lake.document(lake.files(run, "verdict")[0].path) or {}


def keep(lake: Lake, run: str, answer: Literal["approved", "rejected", "unanswered", "unasked"], *, by: str = "") -> Answer:
    """The answer, once it stands in the lake beside the verdict that it belongs to."""
    given = Answer(answer, by, now(), _digest(lake, run))
    lake.put_document(_path(lake, run), asdict(given))
    return given


def answer_of(lake: Lake, run: str) -> Answer | None:
    """The answer to the run's verdict as it stands; None when nobody has been asked about this one."""
    found = lake.document(_path(lake, run))
    return None if found is None or found["verdict"] != _digest(lake, run) else Answer(**found)


def _digest(lake: Lake, run: str) -> str:
    return lake.digests(run, ["verdict"])["verdict"]


def _path(lake: Lake, run: str) -> str:
    return f"{lake.run_folder(run)}/approval.json"
