"""Requests a second, and how long each takes, from a service whose champion changes twice meanwhile.

    python -m bench.load --tracking sqlite:///….db --name orchard --pictures FOLDER --seconds 300

The registry must be a SQLite file, which is copied: the alias moves in the copy, after a third of the time to another version and after
two thirds back. The service is started on loopback as `make serve` starts it. Each client asks on its one connection, without a pause.
It ends with 1 when a single answer is no 200, or when the service did not follow within 30 s.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

_HOST, _FOLLOWS_WITHIN_S, _START_LIMIT_S = "127.0.0.1", 30.0, 120.0


@dataclass
class Heard:
    """What one client heard: seconds of each answer, by status, and how many came from each version."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)


def ask(port: int, pictures: Sequence[bytes], until: float) -> Heard:
    """Asks for one picture after the other until the moment (of `time.monotonic`)."""
    heard, line = Heard(), http.client.HTTPConnection(_HOST, port, timeout=60)
    while time.monotonic() < until:
        started = time.perf_counter()
        try:
            line.request("POST", "/predict", pictures[sum(heard.statuses.values()) % len(pictures)])
            answer = line.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            heard.statuses[type(error).__name__] += 1
            line.close()
            continue
        heard.seconds.append(time.perf_counter() - started)
        heard.statuses[str(answer.status)] += 1
        if answer.status == 200:
            heard.versions[json.loads(body)["model"]["version"]] += 1
    line.close()
    return heard


def say(port: int, path: str) -> Any:
    """The JSON at the path; None while nobody answers there."""
    line = http.client.HTTPConnection(_HOST, port, timeout=10)
    try:
        line.request("GET", path)
        return json.loads(line.getresponse().read())
    except OSError:
        return None
    finally:
        line.close()


def crown(database: Path, name: str, version: int) -> None:
    with closing(sqlite3.connect(database)) as store:
        changed = store.execute("UPDATE registered_model_aliases SET version = ? WHERE name = ? AND alias = 'champion'", (version, name))
        if not changed.rowcount:
            sys.exit(f"{name} has no champion in {database}: `make run` makes one")
        store.commit()


def versions(database: Path, name: str) -> tuple[int, int]:
    """The champion and another version."""
    with closing(sqlite3.connect(database)) as store:
        found = store.execute("SELECT version FROM registered_model_aliases WHERE name = ? AND alias = 'champion'", (name,)).fetchone()
        rest = store.execute("SELECT version FROM model_versions WHERE name = ? ORDER BY version DESC", (name,)).fetchall()
    others = [int(number) for (number,) in rest if found and int(number) != int(found[0])]
    if not others:
        sys.exit(f"{name} needs a champion and another version in {database}: run `make run` twice")
    return int(found[0]), others[0]


def move(port: int, database: Path, name: str, *, to: int) -> float:
    """Seconds from the alias's move until the version answers; infinity when it does not in time."""
    crown(database, name, to)
    started = time.monotonic()
    while time.monotonic() - started < _FOLLOWS_WITHIN_S:
        if (said := say(port, "/version")) and said["version"] == to:
            return time.monotonic() - started
        time.sleep(0.1)
    return float("inf")


def loaded(port: int, database: Path, given: argparse.Namespace, pictures: Sequence[bytes]) -> tuple[list[Heard], list[float]]:
    """What the clients heard, and how long the service took to follow the alias there and back."""
    first, second = versions(database, given.name)
    heard: list[Heard] = []
    until = time.monotonic() + given.seconds
    clients = [threading.Thread(target=lambda: heard.append(ask(port, pictures, until))) for _ in range(given.clients)]
    for client in clients:
        client.start()
    took: list[float] = []
    for number in (second, first):
        time.sleep(given.seconds / 3 - (took[-1] if took and np.isfinite(took[-1]) else 0))
        took.append(move(port, database, given.name, to=number))
    for client in clients:
        client.join()
    return heard, took


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="A service under load while its champion changes.")
    parser.add_argument("--tracking", required=True, help="sqlite:///… of a registry with two versions; it is copied")
    parser.add_argument("--name", required=True, help="registered model")
    parser.add_argument("--pictures", required=True, type=Path, help="folder of pictures to ask for")
    parser.add_argument("--seconds", type=float, default=300, help="how long (%(default)s)")
    parser.add_argument("--clients", type=int, default=4, help="connections that ask at once (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the service (%(default)s)")
    given = parser.parse_args(words)
    pictures = [path.read_bytes() for path in sorted(given.pictures.rglob("*.jpg"))[::25][:200]]
    if not pictures:
        sys.exit(f"{given.pictures} holds no .jpg")
    with tempfile.TemporaryDirectory(prefix="pomona-load-") as folder, socket.socket() as probe:
        database = Path(folder) / "mlflow.db"
        with closing(sqlite3.connect(given.tracking.removeprefix("sqlite:///"))) as theirs, closing(sqlite3.connect(database)) as ours:
            theirs.backup(ours)
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
        probe.close()
        return under_load(port, database, given, pictures)


def under_load(port: int, database: Path, given: argparse.Namespace, pictures: Sequence[bytes]) -> int:
    """Starts the service, loads it, ends it, and prints the figures; 1 when something was not as it should be."""
    command = [sys.executable, "-m", "serving", "--name", given.name, "--tracking", f"sqlite:///{database}", "--port", str(port)]
    service = subprocess.Popen([*command, "--workers", str(given.workers)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_LIMIT_S
        while not (said := say(port, "/version")) or said["version"] is None:
            if time.monotonic() > deadline or service.poll() is not None:
                sys.exit(f"the service did not come up: {said}")
            time.sleep(0.2)
        process = psutil.Process(service.pid)
        heard, took = loaded(port, database, given, pictures)
        web, rss = process.cpu_times(), sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
        left = process.children(recursive=True)
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(timeout=60)
    seconds = np.concatenate([each.seconds for each in heard])
    statuses: Counter[str] = sum((each.statuses for each in heard), Counter())
    by_version: Counter[int] = sum((each.versions for each in heard), Counter())
    p50, p99 = 1000 * np.percentile(seconds, [50, 99])
    alive = len(psutil.wait_procs(left, timeout=10)[1])
    print(f"{given.seconds:.0f} s, {given.clients} clients, {given.workers} workers: {len(seconds) / given.seconds:.0f} requests/s")
    print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, slowest {1000 * seconds.max():.0f} ms")
    print(f"answers {dict(statuses)}, by version {dict(sorted(by_version.items()))}")
    print(f"the service followed within {', '.join(f'{each:.1f} s' for each in took)}")
    print(f"web process: {1000 * (web.user + web.system) / len(seconds):.2f} ms of CPU a request; all processes: {rss / 1e6:.0f} MB")
    print(f"processes left behind: {alive}")
    return int(set(statuses) != {"200"} or not np.isfinite(took).all() or bool(alive))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
