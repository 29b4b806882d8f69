"""Registered versions, and services over them as processes of their own, asked over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pomona import tracking
from tests.drawn_model import knowing_chain, pictures, trained_on

PROJECT = Path(__file__).resolve().parents[2]
IMAGES = [data for _, data in pictures(1, first_seed=400)]


def register(folder: Path, name: str, run: str, *, alter: Callable[[Path], None] | None = None) -> str:
    """The URI of the store in the folder, after the small, knowing chain became the name's next version; `alter` changes the folder."""
    uri = f"sqlite:///{folder}/mlflow.db"
    before = set(folder.rglob("MLmodel"))
    tracking.register(uri, name, run, chain=knowing_chain(), probes=IMAGES, trained_on=trained_on(), params={}, metrics={}, tags={})
    (card,) = set(folder.rglob("MLmodel")) - before
    if alter:
        alter(card.parent)
    return uri


def crown(uri: str, name: str, version: int) -> None:
    """Moves the alias."""
    tracking.connect(uri).set_registered_model_alias(name, "champion", str(version))


def scaled(model: Path, share: float, *, gate: Path | None = None) -> None:
    """Changes the version's own code: its answers are that share of what they were, and wait while the file `gate` is there."""
    source = model / "code" / "pomona" / "vision" / "classify.py"
    waits = f"import time, os\n    while os.path.exists({str(gate)!r}): time.sleep(0.01)\n    " if gate else ""
    text = source.read_text()
    assert text.count("return np.asarray(exponentials /") == 1
    source.write_text(text.replace("return np.asarray(exponentials /", f"{waits}return np.asarray({share} * exponentials /"))


def halved(model: Path, *, gate: Path | None = None) -> None:
    """The same with half of the answers, of the probes too."""
    scaled(model, 0.5, gate=gate)
    file = model / "artifacts" / "probes.parquet"
    probes = pq.read_table(file)
    half = [[share / 2 for share in row] for row in probes.column("probabilities").to_pylist()]
    pq.write_table(probes.set_column(1, "probabilities", pa.array(half, pa.list_(pa.float64()))), file)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], *, port: int, ready: str, log: Path, **environment: str) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """A client of the server, once it answers at `ready` with whatever status, and its process."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            deadline = time.monotonic() + 120
            while True:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                try:
                    client.get(ready)
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield client, psutil.Process(process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


@contextmanager
def service(uri: str, name: str, log: Path, *words: str, **environment: str) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """The service over a name's champion, once it has looked for one."""
    port = free_port()
    command = [sys.executable, "-m", "serving", "--name", name, "--tracking", uri, "--port", str(port), *words]
    with running(command, port=port, ready="/health", log=log, **environment) as (client, process):
        eventually(client, lambda following: following["state"] not in ("starting", "taking"))
        yield client, process


def eventually(client: httpx.Client, wanted: Callable[[dict[str, Any]], bool], *, within_s: float = 90) -> dict[str, Any]:
    """What /health says as soon as it is wanted: `following`, beside its `status_code`, `version` and `detail`."""
    deadline = time.monotonic() + within_s
    while True:
        answer = client.get("/health")
        said = answer.json()
        following = {**said["following"], "status_code": answer.status_code, "serving": said.get("version"), "detail": said.get("detail")}
        if wanted(following):
            return following
        assert time.monotonic() < deadline, said
        time.sleep(0.2)


def in_step(version: int) -> Callable[[dict[str, Any]], bool]:
    return lambda following: (following["state"], following["serving"]) == ("in step", version)


def below(process: psutil.Process, script: str = "") -> list[psutil.Process]:
    """The process's children, of those the ones that run the script."""
    return [child for child in process.children(recursive=True) if script in " ".join(child.cmdline())]


def all_gone(processes: list[psutil.Process], *, within_s: float = 20) -> bool:
    return not psutil.wait_procs(processes, timeout=within_s)[1]
