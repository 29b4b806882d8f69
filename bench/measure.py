"""What a running process tree uses: seconds of CPU and memory, sampled until it ends."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import psutil

INTERVAL_S = 0.2
First = TypeVar("First")
Second = TypeVar("Second")
Third = TypeVar("Third")
Held = Callable[[list[str]], list[str]]
"""What changes a command before it is run."""
_WORKER = "pyspark.daemon"
_DRIVER = "run_stage.py"
MB = 1 << 20


class Row(NamedTuple):
    """One line of the table. `met` is None where there is no goal, or where it cannot be judged; `note` then says why."""

    what: str
    figure: str
    goal: str = ""
    met: bool | None = None
    note: str = ""


@dataclass
class Usage:
    """What the children of this process used inside a block.

    began, seconds : when, in epoch seconds, and wall time
    cpu_s : user and system time of every process seen, as last seen; a process that lives less than `INTERVAL_S` may be missed
    peak_bytes : the largest sum over the tree of PSS, in which memory that forked processes share counts once
    worker_bytes : the largest resident memory that one Python worker of Spark ever had (VmHWM; shared memory counts in full)
    jvm_bytes : the same for one JVM
    driver_bytes : the same for the Python driver of each stage, by the stage's name
    """

    began: float = field(default_factory=time.time)
    seconds: float = 0.0
    peak_bytes: int = 0
    worker_bytes: int = 0
    jvm_bytes: int = 0
    driver_bytes: dict[str, int] = field(default_factory=dict)
    _timeline: list[tuple[float, float]] = field(default_factory=list)
    _cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    _others: frozenset[tuple[int, float]] = frozenset()

    @property
    def cpu_s(self) -> float:
        return sum(self._cpu.values())

    def cpu_until(self, moment: float) -> float:
        """CPU seconds that were used up to a moment in epoch seconds; straight lines between samples."""
        moments, totals = zip(*[(self.began, 0.0), *self._timeline], strict=True)
        return float(np.interp(moment, moments, totals))

    def look(self, root: psutil.Process, *, memory: bool = True) -> None:
        """Adds one sample of the tree below the root, the root left out; asking for a process's memory slows it."""
        total = 0
        for process in root.children(recursive=True):
            try:
                key = (process.pid, process.create_time())
                if key in self._others:
                    continue
                times = process.cpu_times()
                self._cpu[key] = times.user + times.system
                if memory:
                    total += _kilobytes(process.pid, "smaps_rollup", "Pss:") << 10
                    self._largest(process)
            except (psutil.Error, OSError):
                continue  # it ended while it was looked at
        self.peak_bytes = max(self.peak_bytes, total)
        self._timeline.append((time.time(), self.cpu_s))

    def _largest(self, process: psutil.Process) -> None:
        high = _kilobytes(process.pid, "status", "VmHWM:") << 10
        if process.name() == "java":
            self.jvm_bytes = max(self.jvm_bytes, high)
            return
        words = process.cmdline()
        if _WORKER in words:
            self.worker_bytes = max(self.worker_bytes, high)
        elif stage := stage_of(words):
            self.driver_bytes[stage] = max(self.driver_bytes.get(stage, 0), high)


def stage_of(words: list[str]) -> str:
    """The stage that a Python driver with this command line does; empty where it is none."""
    places = [place for place, word in enumerate(words[:-1]) if Path(word).name == _DRIVER]
    return words[places[0] + 1] if places and Path(words[0]).name.startswith("python") and places[0] == 1 else ""


def _kilobytes(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


@contextmanager
def used(interval_s: float = INTERVAL_S, *, memory: bool = True) -> Iterator[Usage]:
    """The usage of the processes that the block starts, with or without their memory; complete when the block is left."""
    root, stop = psutil.Process(), threading.Event()
    usage = Usage(_others=frozenset((one.pid, one.create_time()) for one in root.children(recursive=True)))

    def sample() -> None:
        while not stop.is_set():
            usage.look(root, memory=memory)
            stop.wait(interval_s)

    thread = threading.Thread(target=sample, daemon=True)
    started = time.monotonic()
    thread.start()
    try:
        yield usage
    finally:
        usage.seconds = time.monotonic() - started
        stop.set()
        thread.join()


def done(command: list[str], log: Path, **options: object) -> None:
    """Runs the command to its end, its output in the log.

    Raises
    ------
    RuntimeError
        With the last line of the log, when its exit code is not 0.
    """
    with log.open("ab") as out:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False, **options).returncode  # type: ignore[call-overload]
    if code:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise RuntimeError(f"{Path(command[0]).name} ended with {code}: {lines[-1] if lines else 'no output'}")


@overload
def in_turn(times: int, one: Callable[[], First], two: Callable[[], Second], /) -> list[tuple[First, Second]]: ...


@overload
def in_turn(
    times: int, one: Callable[[], First], two: Callable[[], Second], three: Callable[[], Third], /
) -> list[tuple[First, Second, Third]]: ...


def in_turn(times: int, *each: Callable[[], Any]) -> list[tuple[Any, ...]]:
    """What each gives, so many times one after the other: what slows the machine for a while slows all of them."""
    return [tuple(measure() for measure in each) for _ in range(times)]


def on_one_core(command: Sequence[str]) -> list[str]:
    """The command, held with all that it starts on this machine's first core.

    What uses both cores of a virtual machine is charged more CPU seconds for the same work (encode 1.80 × its loop, held on one core
    1.41 ×) and could not be held against what uses one.
    """
    return ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0))), *command]


def load() -> float:
    """Processes that wanted a core during the last minute."""
    return os.getloadavg()[0]
