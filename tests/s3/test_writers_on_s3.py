"""Many writers on one lake on S3: one wins, a lost reply is no defeat, a store that cannot promise it is noticed, leases hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import boto3
import pandas as pd
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer

from pomona import lease, snapshots
from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.s3 import S3
from tests.s3.fault_proxy import FaultProxy

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
Made = Callable[..., FaultProxy]
PROMPT = ("500", "503", "reset", "lost", "cut")


@pytest.fixture
def lake(bucket: str, s3: S3) -> Lake:
    return Lake(f"s3://{bucket}/lake", "tests", s3).open()


def through(lake: Lake, proxy: FaultProxy) -> Lake:
    return Lake(lake.root, lake.name, S3(proxy.endpoint, lake.s3.region))


def test_of_sixteen_writers_of_a_number_exactly_one_wins_twenty_times(lake):
    def won(number: int, writer: int) -> bool:
        return lake.append("record", number, {"writer": writer, "text": "x" * 20_000})

    with ThreadPoolExecutor(16) as pool:
        for number in range(1, 21):
            winners = [w for w, first in enumerate(pool.map(won, [number] * 16, range(16))) if first]
            assert [lake.entry("record", number)["writer"]] == winners
    assert lake.last_number("record") == 20


def test_replies_that_get_lost_make_neither_two_winners_nor_none(lake, proxied: Made):
    proxy = proxied(share=0.3, faults=PROMPT, seed=5)
    faulty = through(lake, proxy)

    def won(number: int, writer: int) -> bool:
        return faulty.append("record", number, {"writer": writer})

    with ThreadPoolExecutor(4) as pool:
        for number in range(1, 31):
            winners = [w for w, first in enumerate(pool.map(won, [number] * 4, range(4))) if first]
            assert [lake.entry("record", number)["writer"]] == winners
    assert proxy.met["lost"] + proxy.met["cut"] >= 10


def test_a_lost_reply_of_its_own_is_no_somebody_else(lake, proxied: Made):
    proxy = proxied(share=0.5, faults=("lost",), seed=3)
    faulty = through(lake, proxy)
    assert [faulty.append("record", number, {"n": number}) for number in range(1, 11)] == [True] * 10
    assert proxy.met["lost"] >= 3
    assert [faulty.append("record", number, {"n": -number}) for number in range(1, 11)] == [False] * 10


def test_a_store_that_does_not_know_if_none_match_is_noticed(lake):
    assert lake.creates_exclusively()
    assert lake.names("probes") == []
    # Moto's server checks no signature, so that it can be asked without the header.
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    proxy = FaultProxy(moto.get_host_and_port()[1], dropped="if-none-match")
    try:
        deaf = Lake("s3://deaf", "tests", S3(proxy.endpoint, "us-east-1"))
        boto3.client("s3", endpoint_url=proxy.endpoint, region_name="us-east-1").create_bucket(Bucket="deaf")
        assert not deaf.creates_exclusively()
        assert deaf.names("probes") == []
    finally:
        proxy.stop()
        moto.stop()


def snapshot(lake: Lake, path: str) -> int:
    """The number under which a writer's own path came into the newest snapshot, as ingest does it."""
    while True:
        last = snapshots.latest(lake)
        row = {"path": path, "size": 1, "version": "v", "reason": "r", "final": True, "first_seen": "t"}
        rejects = pd.concat([last.rejects, pa.Table.from_pylist([row], arrow_schema("rejects")).to_pandas()], ignore_index=True)
        saved = snapshots.save(lake, snapshots.Snapshot(last.number, last.placements, rejects))
        if saved is not None:
            return saved.number


def test_two_writers_of_snapshots_lose_nothing(lake, proxied: Made):
    faulty = through(lake, proxied(share=0.1, faults=PROMPT))

    def write(writer: str) -> list[int]:
        return [snapshot(faulty, f"{writer}/{n}") for n in range(6)]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(write, ["one", "two"])
    assert sorted(first + second) == list(range(1, 13))
    assert sorted(snapshots.latest(lake).rejects["path"]) == sorted(f"{writer}/{n}" for writer in ("one", "two") for n in range(6))


def test_the_lease_lets_one_in_at_a_time_and_survives_lost_renewals(lake, proxied: Made, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.2)
    monkeypatch.setattr(lease, "_REMOTE_WAIT_S", 0.1)
    proxy = proxied(share=0.2, faults=PROMPT)
    faulty, inside, most = through(lake, proxy), [], []

    def job(n: int) -> None:
        with lease.hold(faulty, f"job {n}"):
            inside.append(n)
            most.append(len(inside))
            time.sleep(0.5)
            inside.remove(n)

    threads = [threading.Thread(target=job, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1] * 4
    assert lake.last_number("leases") == 4
    assert lake.entry("leases", 4)["released"]


def test_parts_of_a_large_object_are_tried_one_by_one_and_encrypted(lake, proxied: Made):
    proxy = proxied(share=0.15, faults=PROMPT, seed=2)
    faulty = Lake(lake.root, lake.name, S3(proxy.endpoint, lake.s3.region, "AES256"))
    data = bytes(range(256)) * (90 << 12)
    faulty.put("parts/large", data)
    assert lake.get("parts/large") == data
    with faulty.opened("parts/large") as file:
        file.seek(-300, 2)
        assert file.read() == data[-300:]
    assert 3 <= proxy.counts()["part"] < 12
    begun = [request for request in proxy.requests if request.kind == "multipart" and "uploads" in request.target]
    assert {request.headers.get("x-amz-server-side-encryption") for request in begun} == {"AES256"}


def test_the_kms_key_goes_with_what_is_written_and_nothing_grants_rights(lake, proxied: Made):
    proxy = proxied()
    sealed = Lake(lake.root, lake.name, S3(proxy.endpoint, lake.s3.region, "aws:kms", "key-of-the-tests"))
    sealed.put("parts/sealed", b"1")
    assert sealed.append("record", 1, {"n": 1})
    assert sealed.get("parts/sealed") == b"1"
    assert [request.kind for request in proxy.requests] == ["put", "create", "get"]
    for request in proxy.requests[:2]:
        assert request.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert request.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-of-the-tests"
    assert not [name for request in proxy.requests for name in request.headers if name.startswith(("x-amz-acl", "x-amz-grant"))]
