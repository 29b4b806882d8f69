"""The watcher over a prefix of a real S3 server: whole objects only, one call for many, and an outage that is only waited out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pomona.lake import Lake
from pomona.s3 import S3
from tests import s3_server
from tests.played_trigger import Trigger, fired

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
NUMBERS = {"min_new_images": 2, "settle_s": 1, "max_wait_s": 60, "poll_s": 0.3}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.Server]:
    try:
        started = s3_server.start(tmp_path / "s3")
    except s3_server.NoServer as error:
        pytest.skip(str(error))
    for name, value in started.environment.items():
        monkeypatch.setenv(name, value)
    started.make_bucket("pictures")
    yield started
    started.stop()


@pytest.fixture
def places(server: s3_server.Server) -> dict[str, Any]:
    settings = S3(endpoint=server.endpoint, region=server.region).text
    server.client().put_object(Bucket="pictures", Key="in/readme.txt", Body=b"labels are folders")
    return {"dag_id": "retrain", "landing": "s3://pictures/in", "lake": "s3://pictures/lake", "name": "n", "s3": settings}


def test_a_thousand_objects_are_one_call_and_the_next_watcher_knows_of_it(server, places):
    client = server.client()
    for number in range(1050):
        client.put_object(Bucket="pictures", Key=f"in/Training/a/{number}.jpg", Body=b"x")
    (line,) = asyncio.run(fired(Trigger(**places, **NUMBERS), 60))
    assert line.startswith("arrival of 1,050 images, the oldest waited ")
    assert asyncio.run(fired(Trigger(**places, **NUMBERS), 4)) == []
    lake = Lake(places["lake"], "n", S3.parse(places["s3"]))
    assert lake.names("calls") == ["000001.json"]
    assert (lake.entry("calls", 1) or {})["line"] == line


def test_an_upload_in_parts_is_no_arrival_before_it_is_complete(server, places):
    client, key = server.client(), "in/Training/a/large.jpg"
    client.put_object(Bucket="pictures", Key="in/Training/a/small.jpg", Body=b"x")
    upload = client.create_multipart_upload(Bucket="pictures", Key=key)["UploadId"]
    part = client.upload_part(Bucket="pictures", Key=key, UploadId=upload, PartNumber=1, Body=b"y" * 100)
    assert asyncio.run(fired(Trigger(**places, **NUMBERS), 4)) == []
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    client.complete_multipart_upload(Bucket="pictures", Key=key, UploadId=upload, MultipartUpload=parts)
    (line,) = asyncio.run(fired(Trigger(**places, **NUMBERS), 30))
    assert line.startswith("arrival of 2 images")


def test_an_object_that_is_replaced_has_not_come_to_rest(server, places):
    client = server.client()

    async def play() -> list[str]:
        async def replace() -> None:
            for number in range(16):
                for name in ("1.jpg", "2.jpg"):
                    await asyncio.to_thread(client.put_object, Bucket="pictures", Key=f"in/Training/a/{name}", Body=b"%02d" % number)
                await asyncio.sleep(0.25)

        replacing = asyncio.create_task(replace())
        lines = await fired(Trigger(**places, **NUMBERS), 30)
        assert replacing.done(), "it fired while objects of the same size were replaced"
        return lines

    assert len(asyncio.run(play())) == 1


def test_a_store_that_is_away_is_waited_for(server, places, tmp_path):
    """The server goes while two objects wait, is away for a while, and comes back over the same folder."""
    for name in ("1.jpg", "2.jpg"):
        server.client().put_object(Bucket="pictures", Key=f"in/Training/a/{name}", Body=b"x")
    server.stop()
    watched, told = Trigger(**places, **NUMBERS), []

    async def play() -> list[str]:
        watching = asyncio.create_task(fired(watched, 240))
        while not watched._told:
            await asyncio.sleep(0.1)
        told.append(watched._told["landing"])
        again = await asyncio.to_thread(s3_server.start, tmp_path / "s3", port=server.port)
        try:
            return await watching
        finally:
            again.stop()

    (line,) = asyncio.run(play())
    assert line.startswith("arrival of 2 images")
    assert told[0].startswith("cannot look at s3://pictures/in: ")
    assert "\n" not in told[0]


def test_of_three_watchers_at_once_on_s3_one_fires(server, places):
    async def play() -> list[list[str]]:
        return list(await asyncio.gather(*(fired(Trigger(**places, **NUMBERS), 8) for _ in range(3))))

    client = server.client()
    for name in ("1.jpg", "2.jpg"):
        client.put_object(Bucket="pictures", Key=f"in/Training/a/{name}", Body=b"x")
    assert sorted(map(len, asyncio.run(play()))) == [0, 0, 1]
