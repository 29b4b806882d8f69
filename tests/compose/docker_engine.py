"""A Docker engine for the test: the one that runs here, or one that the test starts, as root, and ends again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_S = 60.0


class NoDocker(RuntimeError):
    """Containers cannot be run on this machine; the text says why."""


@contextmanager
def engine(scratch: Path) -> Iterator[None]:
    """`docker` works inside.

    Raises
    ------
    NoDocker
    """
    missing = [program for program in ("docker",) if not shutil.which(program)]
    if missing:
        raise NoDocker(f"there is no {missing[0]} on this machine")
    if _answers():
        yield
        return
    if os.geteuid() or not shutil.which("dockerd"):
        raise NoDocker("no Docker engine answers, and only root could start one: " + _last(docker("info", check=False).stderr))
    log = scratch / "dockerd.log"
    with log.open("wb") as out:
        daemon = subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        deadline = time.monotonic() + _START_S
        while not _answers():
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise NoDocker(f"dockerd does not run here: {_last(log.read_text(errors='replace'))}")
            time.sleep(0.5)
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def compose_command() -> list[str]:
    """Compose v2 where Docker has it, otherwise docker-compose 1.29.

    Raises
    ------
    NoDocker
    """
    if docker("compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise NoDocker("there is neither `docker compose` nor docker-compose on this machine")


def docker(*words: str, check: bool = True, timeout: float = 900, stdin: object = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    """The finished `docker` command, its output as text.

    Raises
    ------
    RuntimeError
        With the last line of what it said, when it failed and `check` is on.
    """
    done = subprocess.run(["docker", *words], stdin=stdin, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    if check and done.returncode:
        raise RuntimeError(f"docker {' '.join(words[:3])} failed: {_last(done.stderr + done.stdout)}")
    return done


def _answers() -> bool:
    return docker("version", "--format", "{{.Server.Version}}", check=False).returncode == 0


def _last(text: str) -> str:
    return (text.strip() or "no output").splitlines()[-1]
