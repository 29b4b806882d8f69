"""A job far from the task that ordered it: what the two tell each other through the lake.

The job writes its log there, so that the task can show it; the task leaves a note when the job is to end, for a job on YARN outlives
the step that submitted it. Notes are numbered: a job is told at its start how many there were, and ends when there is one more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from pomona.lake import Lake, now
from pomona.outcome import BadInput
from pomona.store_faults import StoreAway

LOG = logging.getLogger("pomona")
LOOK_S = 10.0
# What a job may take to end well after it was asked to; then it just ends.
_GRACE_S = 30.0
# The end of a longer log is kept.
_LOG_CHARACTERS = 200_000
_DONE = ("done", "nothing_new", "refused")


def ask_to_end(lake: Lake, run: str, job: str) -> None:
    """Leaves the note; of two that leave one at the same time either counts."""
    lake.append(_notes(run, job), n_asked(lake, run, job) + 1, {"asked": now()})


def n_asked(lake: Lake, run: str, job: str) -> int:
    """How often the job of this name has been asked to end."""
    return lake.last_number(_notes(run, job))


def log(lake: Lake, run: str, job: str) -> str:
    """What the job has said so far; empty before it said anything."""
    try:
        return lake.get(_log(run, job)).decode(errors="replace")
    except FileNotFoundError:
        return ""


def settled(lake: Lake, run: str, stage: str, job: str) -> dict[str, Any] | None:
    """The outcome that the job of this name left, if there is no point in doing it again: done, with its manifest, or bad input."""
    outcome = lake.outcome(run, stage)
    if outcome is None or outcome.get("job") != job or outcome["status"] not in (*_DONE, "bad_input"):
        return None
    if outcome["status"] == "bad_input":
        return outcome
    manifest = lake.document(f"{lake.run_folder(run)}/manifests/{stage}.json")
    return outcome if manifest is not None and manifest.get("job") == job else None


class Told(logging.Handler):
    """Keeps what is logged until it is written into the lake."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        self._text = ""
        self._written = ""

    def emit(self, record: logging.LogRecord) -> None:
        self._text = f"{self._text}{self.format(record)}\n"[-_LOG_CHARACTERS:]

    def write(self, lake: Lake, path: str) -> None:
        """Writes what is new, if anything is; where that fails the next time does."""
        text = self._text
        if text != self._written:
            with contextlib.suppress(BadInput, StoreAway, OSError):
                lake.put(path, text.encode())
                self._written = text


@contextlib.contextmanager
def in_touch(lake: Lake, run: str, job: str, asked: int) -> Iterator[None]:
    """The job's log reaches the lake every 10 s and at the end of the block, which a note in the lake interrupts.

    Raises
    ------
    KeyboardInterrupt
        In the main thread, when the job is to end: what Spark's own handler of the signal makes of it too.
    """
    told, stop = Told(), threading.Event()
    LOG.addHandler(told)
    watch = threading.Thread(target=_watch, args=(lake, run, job, asked, told, stop), daemon=True)
    try:
        # The note may be there already, and the interrupt comes before the thread's start is known here.
        watch.start()
        yield
    finally:
        stop.set()
        watch.join()
        told.write(lake, _log(run, job))
        LOG.removeHandler(told)


def _watch(lake: Lake, run: str, job: str, asked: int, told: Told, stop: threading.Event) -> None:
    note = f"{_notes(run, job)}/{asked + 1:06d}.json"
    while True:
        told.write(lake, _log(run, job))
        with contextlib.suppress(BadInput, StoreAway, OSError):
            if lake.exists(note):
                break
        if stop.wait(LOOK_S):
            return
    LOG.warning("asked to end: this job's task was killed, cleared or is out of time")
    # To the process, so that a main thread that waits for the JVM wakes up.
    os.kill(os.getpid(), signal.SIGINT)
    if not stop.wait(_GRACE_S):
        told.write(lake, _log(run, job))
        os._exit(1)


def _notes(run: str, job: str) -> str:
    return f"runs/{run}/ends/{job}"


def _log(run: str, job: str) -> str:
    return f"runs/{run}/logs/{job}.txt"
