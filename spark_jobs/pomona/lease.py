"""The lease of a lake: one stage job at a time writes to it; the next one waits and says for whom."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from pomona.lake import Lake

LOG = logging.getLogger("pomona")
RENEW_S = 10.0
EXPIRE_S = 60.0
_WAIT_S = 0.5


class LeaseLost(RuntimeError):
    """Another job took the lake over, because this one had not renewed its lease in time."""


@contextlib.contextmanager
def hold(lake: Lake, owner: str) -> Iterator[None]:
    """The lake is this job's alone inside the block.

    A lease is a numbered record, created exclusively: of two that want the next number one wins. Its holder
    renews it every 10 s; it counts as expired after 60 s without, or at once when its process on this machine
    has died. A holder that finds a higher number at the end of the block has lost it: that is an error.
    """
    mine = _take(lake, owner)
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lake, mine, stop), daemon=True)
    renewal.start()
    try:
        yield
        if lake.last_number("leases") != mine["number"]:
            raise LeaseLost(f"{owner} lost the lake to another job while it worked: run it again")
    finally:
        stop.set()
        renewal.join()
        _write(lake, {**mine, "released": True})


def _take(lake: Lake, owner: str) -> dict[str, Any]:
    told = ""
    while True:
        number = lake.last_number("leases")
        held = lake.entry("leases", number) if number else None
        if held is None or _is_free(held):
            mine = _lease(owner, number + 1)
            if lake.append("leases", number + 1, mine):
                if number:
                    lake.remove(f"leases/{number - 1:06d}.json")
                return mine
            continue
        if held["nonce"] != told:
            told = held["nonce"]
            LOG.info("waiting for %s, which works on this lake (process %s on %s)", held["owner"], held["pid"], held["host"])
        time.sleep(_WAIT_S)


def _lease(owner: str, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "owner": owner,
        "nonce": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process": _process(os.getpid()),
        "renewed": time.time(),
        "released": False,
    }


def _is_free(held: dict[str, Any]) -> bool:
    if held["released"] or time.time() - held["renewed"] > EXPIRE_S:
        return True
    return bool(held["host"] == socket.gethostname() and _process(held["pid"]) != held["process"])


def _process(pid: int) -> str:
    """What tells this process from a later one of the same number: its start time; empty when there is none."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 (read every half second; no Path needed)
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _renew(lake: Lake, mine: dict[str, Any], stop: threading.Event) -> None:
    while not stop.wait(RENEW_S):
        _write(lake, {**mine, "renewed": time.time()})


def _write(lake: Lake, lease: dict[str, Any]) -> None:
    lake.put_document(f"leases/{lease['number']:06d}.json", lease)
