"""`make up` and `make down`: who holds the services of a name, and what a command may end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pomona_airflow.deployment import PROJECT, Deployment
from run import services
from run.services import Services
from tests.waiting import wait_until

# Stands where the holder stands, and holds nothing.
HOLDER = [sys.executable, "-c", "import time; time.sleep(300)", "-m", "run.services", "hold"]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    for name, value in {"STATE": tmp_path, "NAME": "mine", "LANDING": tmp_path / "in", "LAKE": tmp_path / "lake"}.items():
        monkeypatch.setenv(f"POMONA_{name}", str(value))
    return Services.of(Deployment.from_environment())


@pytest.fixture
def held() -> Iterator[Callable[[Services], subprocess.Popen[bytes]]]:
    """Makes a process the holder of the services."""
    started = []

    def hold(of: Services) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(HOLDER, env={**os.environ, "POMONA_NAME": of.deployment.name})
        started.append(process)
        of.record.write_text(json.dumps({"pid": process.pid}))
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()


def test_the_holder_is_found_after_a_step_of_the_clock(mine: Services, held) -> None:
    process = held(mine)
    # As an earlier release wrote it; after the step the system tells another time of the same process.
    mine.record.write_text(json.dumps({"pid": process.pid, "started": psutil.Process(process.pid).create_time() - 1}))
    found = mine.holder()
    assert found is not None and found.pid == process.pid
    assert services.down(mine) == 0
    assert not psutil.pid_exists(process.pid) and not mine.record.exists()


def test_a_process_that_bears_the_number_of_a_holder_of_earlier_is_none(mine: Services, held) -> None:
    mine.record.write_text(json.dumps({"pid": os.getpid()}))
    assert mine.holder() is None
    other = held(Services.of(replace(mine.deployment, name="other")))
    mine.record.write_text(json.dumps({"pid": other.pid}))
    assert mine.holder() is None
    other.kill()
    other.wait()
    mine.record.write_text(json.dumps({"pid": other.pid}))
    assert mine.holder() is None


def test_ctrl_c_while_a_name_comes_up_ends_nothing_of_another_name(mine: Services, held, monkeypatch: pytest.MonkeyPatch) -> None:
    other = held(Services.of(replace(mine.deployment, name="other")))

    def begun(services: Services, **_: object) -> None:
        held(services)
        raise KeyboardInterrupt

    monkeypatch.setattr(services, "bring_up", begun)
    assert services.main(["up"]) == 130
    assert mine.holder() is None and other.poll() is None


def test_a_service_that_cannot_be_started_now_is_started_when_there_is_room_and_the_others_keep_their_holder(mine: Services) -> None:
    logs = mine.home.folder / "services"
    logs.mkdir()
    # A folder where the log is to be written stands for a disk without room for it.
    (logs / "late.log").mkdir()
    program = (
        "import sys; from run import services; services._PAUSE_S = 0.1\n"
        "services.Services.commands = {name: [sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(300)']"
        " for name in ('first', 'late')}\n"
        "sys.exit(services.main(['hold']))"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, start_new_session=True)
    try:
        wait_until(lambda: (logs / "first.log").exists() and (logs / "first.log").read_text(), 60, "first service")
        assert holder.poll() is None
        (logs / "late.log").rmdir()
        wait_until(lambda: (logs / "late.log").is_file() and (logs / "late.log").read_text(), 60, "late service")
        below = psutil.Process(holder.pid).children()
    finally:
        holder.terminate()
        holder.wait(30)
    assert len(below) == 2 and not psutil.wait_procs(below, timeout=10)[1]


def test_what_is_up_is_told_where_it_is_and_not_where_the_settings_of_today_would_put_it(
    mine: Services, held, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = held(mine)
    started = {"urls": mine.urls, "landing": mine.deployment.landing}
    mine.record.write_text(json.dumps({"pid": process.pid, **started}))
    assert services.main(["up"]) == 0
    before = capsys.readouterr().out
    assert before.splitlines()[1].startswith(f"  Airflow   {mine.urls['Airflow']} ") and "make down and make up" not in before
    monkeypatch.setenv("POMONA_AIRFLOW_PORT", "8099")
    monkeypatch.setenv("POMONA_LANDING", "/elsewhere")
    assert services.main(["up"]) == 0
    assert capsys.readouterr().out == before + "  other ports or places that are set by now hold from the next make down and make up on\n"
