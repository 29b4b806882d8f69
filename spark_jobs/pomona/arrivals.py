"""Which files of the landing zone wait for a run, and when they have waited enough to call for one.

Nothing here reads a clock, a disk or a queue: what is seen and when is told, in seconds of a clock that never goes back. Times of the
files themselves are never compared with it, for they come from another machine's clock; a file's version only tells one state of it
from the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pomona.landing import Listed
from pomona.leakage import Misplaced, is_ignored, place, split_folders

LOST_S = 60.0
"""A call that no run has followed after so long was lost on its way."""
DAY_S = 86_400.0
LABELS = "../labels/"
"""Before the path of a file with people's labels, which is none of the landing zone's."""

State = tuple[str, int, str]
"""Path, size and version: one state of one file."""


@dataclass(frozen=True)
class Patience:
    """How many new files are enough, how long none may have come or changed, and how long one waits at most, however few they are."""

    min_new_images: int
    settle_s: float
    max_wait_s: float


@dataclass(frozen=True)
class Memory:
    """What outlives the watcher: how long the oldest file has waited, and the last call, as it stands `ago_s` later."""

    oldest: State | None = None
    waited_s: float = 0.0
    fingerprint: str = ""
    tries: int = 0
    runs: int = 0
    ago_s: float = 0.0


@dataclass(frozen=True)
class Call:
    """The wish for a run: how many files of each kind wait, how long the oldest has, and what to remember of it."""

    n_images: int
    n_labels: int
    waited_s: float
    fingerprint: str
    tries: int
    runs: int

    @property
    def text(self) -> str:
        """What started the run, in words."""
        kinds = ((self.n_images, "image", "images"), (self.n_labels, "file of labels", "files of labels"))
        arrived = " and ".join(f"{n:,} {one if n == 1 else many}" for n, one, many in kinds if n)
        return f"arrival of {arrived}, the oldest waited {self.waited_s:.0f} s"


@dataclass
class _Arrival:
    state: State
    first_seen: float
    changed: float
    called: bool = False


def waiting(known: Collection[State], listed: Sequence[Listed]) -> list[State]:
    """The listed files that a run would look at and that the last snapshot does not know as they are now.

    Ignored names are left out, and so is what can be no image of any label: links out of the landing zone, files in no label's folder.
    """
    splits = split_folders(file.path for file in listed)
    return [
        (file.path, file.size, file.version)
        for file in listed
        if (file.path, file.size, file.version) not in known and not file.fault and _has_place(file.path, splits)
    ]


def _has_place(path: str, splits: dict[str, str]) -> bool:
    if is_ignored(path):
        return False
    try:
        place(path, group_pattern="", splits=splits)
    except Misplaced:
        return False
    return True


def fingerprint(states: Iterable[State]) -> str:
    """SHA-256 of the states, whatever their order."""
    return hashlib.sha256("\n".join(sorted(map(repr, states))).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass
class Arrivals:
    """The waiting files as this watcher has seen them, and the last call for a run.

    A file that changes has come anew: half an upload keeps everything waiting. Files that a call was made for wait for its run; they are
    called for again only when no run came (the call was lost), or, when a run came and left them (it failed), after `max_wait_s`, twice
    that, four times that, up to a day: no storm of runs, and nothing is forgotten.
    """

    patience: Patience
    memory: Memory = field(default_factory=Memory)
    _waiting: dict[str, _Arrival] = field(default_factory=dict)
    _looked: bool = False
    _called_at: float = 0.0

    def see(self, states: Iterable[State], now: float) -> None:
        """Takes in one look: the states that wait now. Looks may be missing, repeated or late; what waits is in every one."""
        found = {state[0]: self._seen(state, now) for state in states}
        if not self._looked:
            self._remember(found, now)
        self._looked, self._waiting = True, found

    def _seen(self, state: State, now: float) -> _Arrival:
        before = self._waiting.get(state[0])
        if before is None or (before.called and before.state != state):
            return _Arrival(state, now, now)
        return before if before.state == state else _Arrival(state, before.first_seen, now)

    def _remember(self, found: dict[str, _Arrival], now: float) -> None:
        """Puts the first look of this watcher behind what an earlier one has left."""
        self._called_at = now - max(0.0, self.memory.ago_s)
        oldest = found.get(self.memory.oldest[0]) if self.memory.oldest else None
        if oldest and oldest.state == self.memory.oldest:
            oldest.first_seen = now - max(0.0, self.memory.waited_s)
        if fingerprint(arrival.state for arrival in found.values()) == self.memory.fingerprint:
            for arrival in found.values():
                arrival.called = True

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> State | None:
        """The file that waits longest."""
        return min(self._waiting.values(), key=lambda arrival: (arrival.first_seen, arrival.state)).state if self._waiting else None

    def waited_s(self, now: float) -> float:
        """How long the oldest file has waited."""
        return max((now - arrival.first_seen for arrival in self._waiting.values()), default=0.0)

    def due_s(self, now: float, runs: int) -> float:
        """Seconds until a run is to be called for if nothing changes; 0 or less is now, infinite with nothing waiting.

        `runs` is how many runs there have ever been: more than at the last call means that one has come since.
        """
        if not self._waiting:
            return float("inf")
        since_call = now - self._called_at
        answered = runs > self.memory.runs
        pause_s = self.patience.max_wait_s if answered else LOST_S
        fresh = [arrival for arrival in self._waiting.values() if not arrival.called]
        if not fresh:
            return float(min(DAY_S, pause_s * 2 ** min(self.memory.tries, 20)) - since_call)
        due_s = min(self._settled_in_s(fresh, now), self._overdue_in_s(fresh, now))
        return due_s if answered or not self.memory.fingerprint else max(due_s, LOST_S - since_call)

    def _settled_in_s(self, fresh: list[_Arrival], now: float) -> float:
        if len(fresh) < self.patience.min_new_images:
            return float("inf")
        return max(arrival.changed for arrival in self._waiting.values()) + self.patience.settle_s - now

    def _overdue_in_s(self, fresh: list[_Arrival], now: float) -> float:
        """Until one file has waited long enough and has been still for long enough itself."""
        patience = self.patience
        return min(max(arrival.first_seen + patience.max_wait_s, arrival.changed + patience.settle_s) for arrival in fresh) - now

    def call(self, now: float, runs: int) -> Call:
        """The call for a run over all that waits; from here on it counts as made."""
        mark = fingerprint(arrival.state for arrival in self._waiting.values())
        repeated = all(arrival.called for arrival in self._waiting.values())
        n_labels = sum(path.startswith(LABELS) for path in self._waiting)
        tries = self.memory.tries + 1 if repeated else 0
        made = Call(len(self._waiting) - n_labels, n_labels, self.waited_s(now), mark, tries, runs)
        for arrival in self._waiting.values():
            arrival.called = True
        self._called_at = now
        self.memory = Memory(fingerprint=mark, tries=made.tries, runs=runs)
        return made


def remembered(watch: dict[str, Any] | None, called: dict[str, Any] | None, at: float) -> Memory:
    """What the lake's documents say, `at` this time; a clock that has been set back since, or another machine's, makes no time negative."""
    watch, called = watch or {}, called or {}
    oldest = watch.get("oldest")
    return Memory(
        oldest=(str(oldest[0]), int(oldest[1]), str(oldest[2])) if oldest else None,
        waited_s=max(0.0, at - float(watch.get("since", at))),
        fingerprint=str(called.get("fingerprint", "")),
        tries=int(called.get("tries", 0)),
        runs=int(called.get("runs", 0)),
        ago_s=max(0.0, at - float(called.get("at", at))),
    )
