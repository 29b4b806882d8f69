"""A job and its far task talk through the lake: the log, the note that ends it, and a job that is done once however often it is sent."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time

import pytest

import run_stage
from pomona import command, errand, lease
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.outcome import Result

RUN, JOB = "r", "pomona-n-ingest-r-0a1b2c3d"


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"), "n").open()


@pytest.fixture
def ordered(tmp_path, monkeypatch):
    """Runs the stage ingest under the job's name with a job that the test gives; gives the exit code."""
    place = command.Place(RUN, "n", str(tmp_path / "lake"), str(tmp_path), f"sqlite:///{tmp_path}/m.db")

    def run(job, asked: int = 0) -> int:
        if job is not None:
            monkeypatch.setattr(run_stage, "done", job)
        return run_stage.main(command.arguments("ingest", place, resolve({}), job=JOB, asked=asked))

    yield run
    logging.basicConfig(force=True, level=logging.WARNING)


def made(work) -> Result:
    """A job that writes what a stage writes, and nothing else."""
    files = dict.fromkeys(("images", "placements", "rejects", "roster", "annotations"), ())
    work.lake.write_manifest(work.run, "ingest", files, job=work.order.job)
    return Result("all well", files)


def never(_):
    raise AssertionError("it was to be done once")


def test_a_job_that_is_done_is_not_done_again(ordered, lake):
    assert ordered(made) == 0
    assert errand.settled(lake, RUN, "ingest", JOB)["line"] == "all well"
    assert ordered(never) == 0
    assert errand.settled(lake, RUN, "ingest", JOB)["line"] == "all well"


def test_without_the_manifest_a_job_is_not_done_whatever_its_outcome_says(ordered, lake):
    assert ordered(made) == 0
    lake.remove(f"runs/{RUN}/manifests/ingest.json")
    assert errand.settled(lake, RUN, "ingest", JOB) is None
    assert ordered(made) == 0
    assert errand.settled(lake, RUN, "ingest", JOB) is not None


def test_what_another_job_of_the_stage_did_settles_nothing(ordered, lake):
    assert ordered(made) == 0
    assert errand.settled(lake, RUN, "ingest", JOB + "-cleared") is None


def test_the_log_of_a_job_lies_in_the_lake_with_its_last_line(ordered, lake):
    ordered(made)
    said = errand.log(lake, RUN, JOB)
    assert "ingest of run r: labels=" in said and said.splitlines()[-1].endswith("ingest: all well (0.0 s)")
    assert errand.log(lake, RUN, "another") == ""


def test_a_note_in_the_lake_interrupts_the_job_and_its_outcome_says_so(ordered, lake, monkeypatch):
    monkeypatch.setattr(errand, "LOOK_S", 0.05)

    def long(_):
        errand.ask_to_end(lake, RUN, JOB)
        time.sleep(30)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ordered(long)
    assert time.monotonic() - began < 20
    assert lake.outcome(RUN, "ingest")["line"] == "ended from outside before it was done"
    assert "asked to end" in errand.log(lake, RUN, JOB)
    # Its lease is free, and the note of the past does not end the next try.
    assert errand.n_asked(lake, RUN, JOB) == 1
    assert ordered(made, asked=1) == 0


def test_a_job_that_was_asked_to_end_before_it_began_does_nothing(ordered, lake):
    errand.ask_to_end(lake, RUN, JOB)
    with pytest.raises(KeyboardInterrupt):
        ordered(lambda _: time.sleep(30))


def test_a_job_deaf_to_the_interrupt_is_ended_all_the_same(lake):
    program = (
        "import signal, sys, time\n"
        "from pomona import errand\nfrom pomona.lake import Lake\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "errand._GRACE_S = 0.2\n"
        f"with errand.in_touch(Lake({lake.root!r}, 'n'), 'r', {JOB!r}, 0): time.sleep(60)\n"
    )
    errand.ask_to_end(lake, RUN, JOB)
    assert subprocess.run([sys.executable, "-c", program], timeout=40, check=False).returncode == 1


def test_a_copy_of_a_job_at_work_ends_and_one_of_a_dead_job_takes_over(ordered, lake, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    monkeypatch.setattr(lease, "_WAIT_S", 0.05)
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with lease.hold(lake, "ingest of run r", f"{JOB} 0"):
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=first)
    holder.start()
    entered.wait(10)
    try:
        assert ordered(never) == 0
        assert lake.outcome(RUN, "ingest") is None
    finally:
        leave.set()
        holder.join()
    # One that died on another machine renews nothing: its copy waits, takes the lake over and works.
    dead = {**lake.entry("leases", 1), "released": False, "machine": "elsewhere", "pid": os.getpid()}
    lake.put_document(f"leases/{lake.last_number('leases'):06d}.json", dead)
    monkeypatch.setattr(lease, "EXPIRE_S", 0.3)
    assert ordered(made) == 0
    assert errand.settled(lake, RUN, "ingest", JOB) is not None
