"""A leash leaves no process behind, however the command or its starter ends. Shells and Python here, Spark in `test_engine_local`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pomona_airflow.spark import leash

# Like Spark's daemon: a process group of its own, and deaf to SIGTERM.
DEAF = """
import os, signal, time
os.setpgid(0, 0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(100)
"""
# Starts the deaf one, tells its number and ends.
LEAVING = f"""
import subprocess, sys
deaf = subprocess.Popen([sys.executable, "-c", {DEAF!r}], stdout=subprocess.PIPE, text=True)
print(deaf.stdout.readline(), flush=True)
"""
# What a task does: holds the deaf one on a leash.
TASK = f"""
import os, subprocess, sys
subprocess.run([sys.executable, {leash.__file__!r}, str(os.getpid()), sys.executable, "-c", {DEAF!r}], start_new_session=True)
"""


def start(*command: str) -> subprocess.Popen[str]:
    words = [sys.executable, leash.__file__, str(os.getpid()), *command]
    return subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, text=True)


def gone(pid: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_exit_code_is_that_of_the_command(code: int) -> None:
    assert start("sh", "-c", f"exit {code}").wait(timeout=20) == code


def test_a_killed_command_gives_128_and_the_signals_number() -> None:
    assert start("sh", "-c", "kill -9 $$").wait(timeout=20) == 137


def test_what_the_command_left_behind_in_another_process_group_is_ended() -> None:
    process = start(sys.executable, "-c", LEAVING)
    assert process.stdout is not None
    deaf = int(process.stdout.readline())
    assert process.wait(timeout=20) == 0
    assert gone(deaf, 1)


def test_sigterm_to_the_leash_ends_everything() -> None:
    process = start(sys.executable, "-c", DEAF)
    assert process.stdout is not None
    deaf = int(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert gone(deaf, 1)


def test_a_starter_that_is_killed_takes_the_command_along() -> None:
    starter = subprocess.Popen([sys.executable, "-c", TASK], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    deaf = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    assert gone(deaf)


def test_the_scratch_folder_is_there_for_the_command_and_gone_after_it() -> None:
    process = start("sh", "-c", 'test -d "$SPARK_LOCAL_DIRS" && echo "$SPARK_LOCAL_DIRS"')
    assert process.wait(timeout=20) == 0
    assert process.stdout is not None
    scratch = process.stdout.read().strip()
    assert scratch
    assert not Path(scratch).exists()
