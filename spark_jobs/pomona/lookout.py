"""A watcher's looks at the landing zone: what is listed there against what the lake's last snapshot knows.

Two documents in the lake outlive the watcher: `watch.json`, since when the oldest file waits, and the last of the numbered record
`calls`, what a run was last called for. A call is made by creating its number: of two watchers one makes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pomona.arrivals import LABELS, Arrivals, Call, Patience, State, remembered, waiting
from pomona.labels.annotations import files
from pomona.lake import Lake, now
from pomona.landing import Landing
from pomona.outcome import File
from pomona.s3 import S3

_KEY = ["path", "size", "version"]


@dataclass
class Lookout:
    """One watcher of a landing zone; `clock` never goes back, `wall` is only compared with what an earlier watcher wrote."""

    landing: Landing
    lake: Lake
    patience: Patience
    labels: Landing | None = None
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _arrivals: Arrivals | None = None
    _known: frozenset[State] = frozenset()
    _snapshot: int = -1
    _call: int = 0
    _looked_at: float = 0.0
    _oldest: State | None = field(default=None)

    @classmethod
    def of(
        cls, *, landing: str, labels: str, lake: str, name: str, s3: str, min_new_images: int, settle_s: float, max_wait_s: float
    ) -> Lookout:
        """The watcher of these places, given as a trigger's arguments are; without a place for labels nobody looks for any."""
        settings = S3.parse(s3)
        patience, watched = Patience(min_new_images, settle_s, max_wait_s), Landing(labels, settings) if labels else None
        return cls(Landing(landing, settings), Lake(lake, name, settings), patience, watched)

    def look(self) -> int:
        """How many files wait, after a look at the lake and then at the landing zone.

        Raises
        ------
        BadInput
            When the landing zone is missing or cannot be read.
        """
        if self._arrivals is None:
            self._arrivals = self._recalled()
        number = self.lake.last_number("snapshots")
        if number != self._snapshot:
            self._known, self._snapshot = known(self.lake, number), number
        began = self.clock()
        self._arrivals.see([*waiting(self._known, self.landing.files()), *self._new_labels()], self.clock())
        # Whatever is asked of Airflow between the look and its judgement may take long: only looks show that a file has come to rest.
        self._looked_at = began
        self._note_oldest(self._arrivals)
        return len(self._arrivals)

    def _new_labels(self) -> list[State]:
        """The CSVs with people's labels that no ingest has seen as they are now."""
        listed = files(self.labels) if self.labels else []
        states = [(f"{LABELS}{file.path}", file.size, file.version) for file in listed]
        return [state for state in states if state not in self._known]

    def due_s(self, runs: int) -> float:
        """Seconds from the last look until a run is to be called for if nothing changes; `runs` is how many there have ever been."""
        return float("inf") if self._arrivals is None else self._arrivals.due_s(self._looked_at, runs)

    def call(self, runs: int) -> Call | None:
        """The call for a run, now in the lake; None when another watcher made it or a run has taken files in since the look."""
        if self._arrivals is None or self.lake.last_number("snapshots") != self._snapshot:
            return None
        made = self._arrivals.call(self.clock(), runs)
        document = {
            "fingerprint": made.fingerprint,
            "tries": made.tries,
            "runs": made.runs,
            "at": self.wall(),
            "time": now(),
            "line": made.text,
        }
        if not self.lake.append("calls", self._call + 1, document):
            # The other watcher's call stands: what this one remembers is read anew.
            self._arrivals = None
            return None
        self._call += 1
        # The last two say all that a watcher wants to know.
        self.lake.remove(f"calls/{self._call - 2:06d}.json")
        return made

    def _recalled(self) -> Arrivals:
        self._call = self.lake.last_number("calls")
        memory = remembered(self.lake.document("watch.json"), self.lake.entry("calls", self._call), self.wall())
        self._oldest = memory.oldest
        return Arrivals(self.patience, memory)

    def _note_oldest(self, arrivals: Arrivals) -> None:
        """Writes down since when the oldest file waits, when it is another one than before."""
        oldest = arrivals.oldest
        if oldest is not None and oldest != self._oldest:
            self.lake.put_document("watch.json", {"since": self.wall() - arrivals.waited_s(self.clock()), "oldest": list(oldest)})
            self._oldest = oldest


def known(lake: Lake, number: int) -> frozenset[State]:
    """The states of files that a snapshot has taken in or rejected; a file that was gone and is back is news."""
    entry = lake.entry("snapshots", number) if number else None
    if entry is None:
        return frozenset()
    placements = lake.read_rows([File(**entry["placements"])], [*_KEY, "gone_since"]).to_pydict()
    rejects = lake.read_rows([File(**entry["rejects"])], _KEY).to_pydict()
    here = (state for state, gone in zip(_states(placements), placements["gone_since"], strict=True) if gone is None)
    # Not by their own path: a CSV of that name may lie in the landing zone.
    labels = ((f"{LABELS}{path}", size, version) for path, size, version in entry.get("labels", ()))
    return frozenset([*here, *_states(rejects), *labels])


def _states(columns: dict[str, list[Any]]) -> list[State]:
    return list(zip(*(columns[name] for name in _KEY), strict=True))
