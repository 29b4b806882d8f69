"""Runs a command so that nothing of it stays behind: `python leash.py PARENT_PID COMMAND…`, started as the leader of a session.

spark-submit starts a JVM, the JVM a Python driver, the driver a daemon in a process group of its own and the daemon its workers; a
SIGKILL to any of them leaves others alive. They all stay in the session, so the session is what is ended: when the command has
ended, on SIGTERM, and when the process that asked for it (PARENT_PID) is gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from types import FrameType

import psutil

GRACE_S = 5.0
_LOOK_S = 0.5


def members(session: int) -> list[int]:
    """The live processes of a session, this process left out."""
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session and pid != os.getpid() and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return found


def end(session: int, *, grace_s: float = GRACE_S) -> None:
    """Ends every process of a session but this one: SIGTERM, and after the grace SIGKILL."""
    deadline = time.monotonic() + grace_s
    first = True
    while left := members(session):
        late = time.monotonic() > deadline
        if first or late:
            _signal(left, signal.SIGKILL if late else signal.SIGTERM)
        first = False
        time.sleep(0.02)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def hold(parent: int, command: list[str]) -> int:
    """The command's exit code, 128 + n after signal n; 1 when the parent went away first."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while os.getppid() == parent:
        try:
            code = child.wait(timeout=_LOOK_S)
        except subprocess.TimeoutExpired:
            continue
        return code if code >= 0 else 128 - code
    return 1


def _on_signal(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main(parent: int, command: list[str]) -> int:
    """Holds the command, then ends the session and removes Spark's scratch folder."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    scratch = tempfile.mkdtemp(prefix="pomona-spark-")
    os.environ["SPARK_LOCAL_DIRS"] = scratch
    try:
        return hold(parent, command)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        end(os.getsid(0))
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2:]))
