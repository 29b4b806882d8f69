"""The service while the alias moves, and how it ends: real processes over a real registry."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from serving.following import Following
from serving.registry import LOOK
from tests.serving.services import (
    IMAGES,
    all_gone,
    below,
    crown,
    eventually,
    free_port,
    halved,
    in_step,
    register,
    running,
    scaled,
    service,
)


@contextmanager
def asked(client: httpx.Client) -> Iterator[list[tuple[int, int | None]]]:
    """Status and version of each answer to somebody who asks without a pause, as long as the block lasts."""
    heard: list[tuple[int, int | None]] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=client.base_url, timeout=60) as own:
            while not over.is_set():
                answer = own.post("/predict", content=IMAGES[0])
                heard.append((answer.status_code, answer.json().get("model", {}).get("version")))

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            yield heard
        finally:
            over.set()
    for each in asking:
        each.result()


def slow(model: Path) -> None:
    """Changes the version's code: it takes seconds to come up."""
    source = model / "code" / "pomona" / "vision" / "chain.py"
    source.write_text(source.read_text().replace("import json\n", "import json\nimport time\n\ntime.sleep(6)\n", 1))


@pytest.mark.heavy
def test_the_service_follows_the_alias_and_answers_all_the_while(tmp_path):
    for run, alter in (("r1", None), ("r2", halved), ("r3", lambda model: scaled(model, 0.99)), ("r4", slow)):
        uri = register(tmp_path, "moved", run, alter=alter)
    crown(uri, "moved", 1)
    with service(uri, "moved", tmp_path / "service.log", "--workers", "2") as (client, process):
        old = below(process, "worker.py")
        assert len(old) == 2
        with asked(client) as heard:
            moved = time.monotonic()
            crown(uri, "moved", 2)
            eventually(client, in_step(2), within_s=30)
            assert time.monotonic() - moved < 30
            assert all_gone(old) and len(below(process, "worker.py")) == 2
            # Version 3 does not reproduce its probes: version 2 goes on, and says why.
            crown(uri, "moved", 3)
            refused = eventually(client, lambda following: following["state"] == "not taken")
            assert (refused["status_code"], refused["serving"], refused["version"]) == (200, 2, 3)
            assert refused["reason"].startswith("3 of 3 probes come out differently")
            assert client.get("/version").json()["champion"] == 3
            # Version 4 is champion while it comes up, and not any more when it is ready.
            crown(uri, "moved", 4)
            eventually(client, lambda following: (following["state"], following["version"]) == ("taking", 4))
            crown(uri, "moved", 1)
            eventually(client, in_step(1))
            assert "version 4 is champion no more" in (tmp_path / "service.log").read_text()
        assert {status for status, _ in heard} == {200}
        versions = [version for _, version in heard]
        assert set(versions) == {1, 2} and versions.index(2) > 0 and versions[-1] == 1
        assert client.get("/version").json()["run"] == "r1"


@pytest.mark.heavy
def test_too_many_requests_at_once_get_a_429_and_a_lost_one_a_503(tmp_path):
    gate = tmp_path / "gate"
    uri = register(tmp_path, "gated", "r1", alter=lambda model: halved(model, gate=gate))
    crown(uri, "gated", 1)
    with service(uri, "gated", tmp_path / "service.log", "--workers", "1", "--queue", "1") as (client, process):
        gate.touch()
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(httpx.post, f"{client.base_url}/predict", content=IMAGES[0], timeout=60) for _ in range(2)]
            time.sleep(1)
            refused = client.post("/predict", content=IMAGES[0])
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert refused.json()["detail"] == "too many requests at once: ask again in a second"
            assert client.get("/health").status_code == 200
            gate.unlink()
            assert [each.result().status_code for each in waiting] == [200, 200]
            gate.touch()
            lost = pool.submit(httpx.post, f"{client.base_url}/predict", content=IMAGES[0], timeout=60)
            # Two processes in turn, each after it has come up and been given the picture.
            for _ in range(2):
                time.sleep(4)
                for worker in below(process, "worker.py"):
                    worker.kill()
        assert lost.result().status_code == 503 and "was killed by SIGKILL" in lost.result().json()["detail"]
        gate.unlink()
        assert client.post("/predict", content=IMAGES[0]).json()["label"] == "lemon"


@pytest.mark.parametrize(
    "number", [*(pytest.param(number, marks=pytest.mark.heavy) for number in (signal.SIGTERM, signal.SIGINT)), signal.SIGKILL]
)
def test_nothing_is_left_behind_however_the_service_ends(tmp_path, number):
    """For SIGTERM and Ctrl-C the request in flight is answered first, although both reach the whole group."""
    gate = tmp_path / "gate"
    uri = register(tmp_path, "ended", "r1", alter=lambda model: halved(model, gate=gate))
    crown(uri, "ended", 1)
    with service(uri, "ended", tmp_path / "service.log", "--workers", "2", TMPDIR=str(tmp_path)) as (client, process):
        processes = [process, *below(process)]
        assert len(processes) == 4
        gate.touch()
        with ThreadPoolExecutor(1) as pool:
            inside = pool.submit(httpx.post, f"{client.base_url}/predict", content=IMAGES[0], timeout=60)
            time.sleep(1)
            for each in processes if number != signal.SIGKILL else [process]:
                each.send_signal(number)
            time.sleep(1)
            if number == signal.SIGKILL:
                # The gate is still closed: they end in the middle of the image.
                assert all_gone(processes)
                assert isinstance(inside.exception(), httpx.TransportError)
            else:
                # Who answers does not end at a signal that reaches the whole group.
                assert all(each.is_running() for each in processes[1:])
                gate.unlink()
                assert inside.result().status_code == 200
        assert all_gone(processes)
    left = list(tmp_path.glob("pomona-served-*"))
    assert len(left) == (number == signal.SIGKILL)
    if left:
        # Who is killed cleans nothing up: the next service does.
        gate.unlink()
        with service(uri, "ended", tmp_path / "service.log", "--workers", "1", TMPDIR=str(tmp_path)) as (client, _):
            assert client.post("/predict", content=IMAGES[0]).json()["label"] == "lemon"
            assert len(used := list(tmp_path.glob("pomona-served-*"))) == 1 and used != left
            assert f"removed what killed services had left: {left[0].name}" in (tmp_path / "service.log").read_text()


@pytest.mark.heavy
def test_the_old_version_answers_while_mlflow_is_away_and_the_new_one_once_it_is_back(tmp_path):
    for run in ("r1", "r2"):
        uri = register(tmp_path, "away", run)
    crown(uri, "away", 1)
    port = free_port()
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    command = [mlflow, "server", "--backend-store-uri", uri, "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, port=port, ready="/health", log=tmp_path / "mlflow.log", **quiet) as (_, server):
        # Its session is this one's child's: the service outlives it.
        away = service(f"http://127.0.0.1:{port}", "away", tmp_path / "service.log", "--workers", "1")
        client, process = away.__enter__()
        eventually(client, in_step(1))
        gone = [server, *server.children(recursive=True)]
    try:
        assert all_gone(gone)
        with asked(client) as heard:
            unknown = eventually(client, lambda following: following["state"] == "unknown")
            assert unknown["reason"] == "MLflow cannot be asked for the champion: the service's log says why"
            assert (unknown["status_code"], unknown["serving"]) == (200, 1)
            time.sleep(60)
            crown(uri, "away", 2)
            with running(command, port=port, ready="/health", log=tmp_path / "mlflow.log", **quiet):
                eventually(client, in_step(2), within_s=60)
        assert {status for status, _ in heard} == {200}
        # Who has asked MLflow all the while is one process and not one for each look.
        assert len(below(process, "serving.registry")) == 1
    finally:
        away.__exit__(None, None, None)


@pytest.mark.heavy
def test_the_process_that_asks_mlflow_is_succeeded_when_it_dies(tmp_path):
    for run in ("r1", "r2"):
        uri = register(tmp_path, "drawn", run)
    crown(uri, "drawn", 1)
    with service(uri, "drawn", tmp_path / "service.log", "--workers", "1") as (client, process):
        (registry,) = below(process, "serving.registry")
        registry.kill()
        crown(uri, "drawn", 2)
        eventually(client, in_step(2))
        assert [each.pid != registry.pid for each in below(process, "serving.registry")] == [True]


def test_the_service_is_ill_while_none_of_its_processes_lives_and_recovers_unasked(tmp_path):
    uri = register(tmp_path, "drawn", "r1")
    crown(uri, "drawn", 1)
    with service(uri, "drawn", tmp_path / "service.log", "--workers", "1") as (client, process):
        (worker,) = below(process, "worker.py")
        worker.kill()
        ill = eventually(client, lambda following: following["status_code"] == 503)
        assert ill["detail"] == "no process of version 1 lives; others are started, the service's log says more"
        assert eventually(client, in_step(1))["status_code"] == 200


class Broken(Following):
    """Follows an alias, by a clock of its own, whose versions cannot be fetched; `tried` are the seconds at which it tried to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(name="drawn", tracking="", n_workers=1)
        self.alias: dict[str, Any] = {"version": 3}
        self.clock, self.tried = 0, []
        self._registry = SimpleNamespace(spoilt=False, ask=self._reply)
        monkeypatch.setattr("serving.following.time", SimpleNamespace(monotonic=lambda: self.clock))

    async def _reply(self, kind: bytes, data: bytes, *, limit_s: float) -> dict[str, Any]:
        if kind == LOOK:
            return self.alias
        self.tried.append(self.clock)
        return {"problem": "it is broken"}

    def looked(self, until_s: int) -> list[int]:
        """What it tried up to that second, with a look in each."""

        async def look() -> None:
            while self.clock < until_s:
                await self._look()
                self.clock += 1

        asyncio.run(look())
        return self.tried


def test_a_version_that_is_not_taken_is_tried_after_pauses_that_double_and_at_once_when_the_alias_comes_back(monkeypatch):
    following = Broken(monkeypatch)
    assert following.looked(100) == [0, 10, 30, 70]
    reason = "MLflow cannot be asked for the champion: it is broken"
    assert following.standing() == {"state": "not taken", "version": 3, "reason": reason}
    assert following.looked(4000)[4:] == [150, 310, 630, 1230, 1830, 2430, 3030, 3630]
    following.alias = {"version": 4}
    assert following.looked(4020)[-2:] == [4000, 4010]
    following.alias = {"version": 3}
    assert following.looked(4040)[-2:] == [4020, 4030]


def test_a_look_that_fails_brings_no_try_forward(monkeypatch):
    following = Broken(monkeypatch)
    following.looked(31)
    following.alias = {"problem": "away"}
    following.looked(33)
    assert following.standing()["state"] == "unknown"
    following.alias = {"version": 3}
    assert following.looked(100) == [0, 10, 30, 70]


def test_a_version_without_room_for_its_files_waits_like_any_that_is_not_taken(monkeypatch):
    following = Broken(monkeypatch)

    def full() -> None:
        following.tried.append(following.clock)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "folder")

    monkeypatch.setattr("serving.following.Folder", full)
    assert following.looked(100) == [0, 10, 30, 70]
    assert following.standing()["reason"] == "its folder cannot be made here: No space left on device"
