"""The lease: one writer at a time, a dead one's place is free at once, a lost one is noticed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time

import pytest

from pomona import lease
from pomona.lake import Lake


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path), "n").open()


def test_the_second_waits_says_for_whom_and_gets_it_next(lake, caplog):
    order = []

    def second():
        with lease.hold(lake, "second"):
            order.append("second")

    with caplog.at_level(logging.INFO, "pomona"), lease.hold(lake, "first"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(1.2)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert "waiting for first, which works on this lake" in caplog.text


def test_twenty_at_once_are_never_two_inside(lake):
    inside, most = [], []

    def job(n):
        with lease.hold(lake, f"job {n}"):
            inside.append(n)
            most.append(len(inside))
            time.sleep(0.01)
            inside.remove(n)

    threads = [threading.Thread(target=job, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 20


def test_a_killed_holder_is_succeeded_at_once(lake):
    script = f"import os\nfrom pomona import lease, lake\nwith lease.hold(lake.Lake({lake.root!r}, 'n'), 'victim'): os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert not lake.entry("leases", 1)["released"]
    started = time.monotonic()
    with lease.hold(lake, "heir"):
        assert time.monotonic() - started < 5


def test_a_holder_on_another_machine_is_waited_for_until_it_no_longer_renews(lake, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRE_S", 2.0)
    elsewhere = {
        "number": 1,
        "owner": "far",
        "nonce": "n",
        "host": "elsewhere",
        "pid": 1,
        "process": "1",
        "renewed": time.time(),
        "released": False,
    }
    lake.append("leases", 1, elsewhere)
    started = time.monotonic()
    with lease.hold(lake, "near"):
        assert 1.5 < time.monotonic() - started < 6


@pytest.mark.parametrize("skew_s", [-7200, 7200])
def test_a_clock_two_hours_off_neither_ends_a_lease_nor_prolongs_it(lake, monkeypatch, skew_s):
    monkeypatch.setattr(lease, "EXPIRE_S", 1.0)
    far = {
        "number": 1,
        "owner": "far",
        "nonce": "n",
        "host": "elsewhere",
        "machine": "another",
        "pid": 1,
        "process": "1",
        "released": False,
    }
    lake.append("leases", 1, {**far, "renewed": time.time() + skew_s})
    started = time.monotonic()

    def renew():
        for beat in range(1, 4):
            time.sleep(0.4)
            lake.put_document("leases/000001.json", {**far, "renewed": time.time() + skew_s + beat})

    thread = threading.Thread(target=renew)
    thread.start()
    with lease.hold(lake, "near"):
        assert 1.2 + 0.7 < time.monotonic() - started < 10
    thread.join()


def test_a_renewal_that_fails_is_tried_again_and_costs_nothing(lake, monkeypatch, caplog):
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    put, failed = Lake.put_document, []

    def put_document(self, path, document):
        if path.startswith("leases/") and len(failed) < 3:
            failed.append(path)
            raise OSError("the store is away")
        put(self, path, document)

    monkeypatch.setattr(Lake, "put_document", put_document)
    with lease.hold(lake, "patient"):
        first = lake.entry("leases", 1)["renewed"]
        time.sleep(1)
        assert lake.entry("leases", 1)["renewed"] > first
    assert lake.entry("leases", 1)["released"]
    assert caplog.text.count("the lease could not be written: the store is away") == 3


def test_a_holder_that_was_taken_for_dead_learns_it(lake):
    with pytest.raises(lease.LeaseLost, match="slow lost its lease to another job"), lease.hold(lake, "slow"):
        lake.append("leases", 2, json.loads(lake.get("leases/000001.json")))
