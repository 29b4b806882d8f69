"""The leases of a lake: one stage job at a time writes to it, and one at a time writes down what champions said of pictures.

Who comes next waits and says for whom.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pomona.lake import Lake
from pomona.outcome import BadInput
from pomona.storage import is_local
from pomona.store_faults import StoreAway

LOG = logging.getLogger("pomona")
RENEW_S = 10.0
EXPIRE_S = 60.0
_WAIT_S, _REMOTE_WAIT_S = 0.5, 2.0
_LAKE = "leases"
# Held for seconds, and by who forgets: a job that saves answers must not wait for `train`, which holds the lake for an hour.
ANSWERS = "scored/leases"


class CopyAtWork(RuntimeError):
    """Another copy of this very job holds the lake and is alive."""


class LeaseLost(RuntimeError):
    """Another job took the lake over, because this one had not renewed its lease in time."""


@contextlib.contextmanager
def hold(lake: Lake, owner: str, job: str = "", *, record: str = _LAKE) -> Iterator[None]:
    """The lake, or what else the lease of this record stands for, is this job's alone inside the block.

    A lease is a numbered record, created exclusively: of two that want the next number one wins. Its holder
    renews it every 10 s; it counts as expired when a waiter has itself seen it unrenewed for 60 s (clocks of two
    machines are never compared), or at once when its process on this machine has died. A renewal that fails is tried
    again at the next beat. A holder that finds a higher number at the end of the block has lost it: that is an error.

    Raises
    ------
    CopyAtWork
        When the holder has the same job, and renewed its lease while this one waited.
    LeaseLost
        At the end of the block.
    """
    mine = _take(lake, owner, job, record)
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lake, record, mine, stop), daemon=True)
    renewal.start()
    try:
        yield
        if lake.last_number(record) != mine["number"]:
            raise LeaseLost(f"{owner} lost its lease to another job while it worked: run it again")
    finally:
        stop.set()
        renewal.join()
        _written(lake, record, {**mine, "released": True})


def clock(lake: Lake) -> float:
    """The time by the store's own clock: when it wrote the lease that this job renews.

    Raises
    ------
    RuntimeError
        When nobody holds the lake.
    """
    leases = lake.below(_LAKE)
    if not leases:
        raise RuntimeError("nobody holds the lake: its clock is read off the lease")
    return max(lease.written for lease in leases)


def _take(lake: Lake, owner: str, job: str, record: str) -> dict[str, Any]:
    told, seen, since = "", "", time.monotonic()
    while True:
        number = lake.last_number(record)
        held = lake.entry(record, number) if number else None
        state = f"{number} {held and held['nonce']} {held and held['renewed']}"
        if state != seen:
            if held and job and held.get("job") == job and seen.startswith(f"{number} {held['nonce']} ") and not held["released"]:
                raise CopyAtWork(f"process {held['pid']} on {held['host']} does this very job")
            seen, since = state, time.monotonic()
        if held is None or _is_free(held) or time.monotonic() - since > EXPIRE_S:
            mine = _lease(owner, number + 1, job)
            if lake.append(record, number + 1, mine):
                if number:
                    lake.remove(f"{record}/{number - 1:06d}.json")
                return mine
            continue
        if held["nonce"] != told:
            told = held["nonce"]
            LOG.info("waiting for %s, which works on this lake (process %s on %s)", held["owner"], held["pid"], held["host"])
        time.sleep(_WAIT_S if is_local(lake.root) else _REMOTE_WAIT_S)


def _lease(owner: str, number: int, job: str) -> dict[str, Any]:
    return {
        "number": number,
        "owner": owner,
        "job": job,
        "nonce": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "process": _process(os.getpid()),
        "renewed": time.time(),
        "released": False,
    }


def _is_free(held: dict[str, Any]) -> bool:
    return bool(held["released"] or (held.get("machine") == _machine() and _process(held["pid"]) != held["process"]))


@functools.cache
def _machine() -> str:
    """What tells this machine, and this container on it, from others that may bear the same host name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _process(pid: int) -> str:
    """What tells this process from a later one of the same number: its start time; empty when there is none."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 (read every half second; no Path needed)
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _renew(lake: Lake, record: str, mine: dict[str, Any], stop: threading.Event) -> None:
    while not stop.wait(RENEW_S):
        _written(lake, record, {**mine, "renewed": time.time()})


def _written(lake: Lake, record: str, lease: dict[str, Any]) -> None:
    """Writes the lease; where that fails the work goes on, for whoever took the lake meanwhile is found at its end."""
    try:
        lake.put_document(f"{record}/{lease['number']:06d}.json", lease)
    except (BadInput, StoreAway, OSError) as error:
        LOG.warning("the lease could not be written: %s", error)
