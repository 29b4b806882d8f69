"""What an SQS queue may do to the watcher: wake it, and nothing else, whatever becomes of its messages."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pomona_airflow import wake
from tests.played_trigger import fired, send, trigger

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def sqs() -> Iterator[Any]:
    """moto's SQS server and a client of it; the trigger finds its credentials as AWS's own chain does."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
    before = {name: os.environ.get(name) for name in keys}
    os.environ |= keys
    yield boto3.client("sqs", endpoint_url=f"http://{host}:{port}")
    server.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def queue(sqs: Any, request: pytest.FixtureRequest) -> str:
    return str(sqs.create_queue(QueueName=request.node.name[:70].replace("[", "-").replace("]", ""))["QueueUrl"])


def messages_left(sqs: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(int(value) for value in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())


def event(name: str) -> str:
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": f"Training/a/{name}"}}}]})


def test_a_message_means_look_now(places, sqs, queue):
    async def play() -> tuple[float, list[str]]:
        began = time.monotonic()
        listening = asyncio.create_task(fired(trigger(places, sqs_queue=queue, poll_s=600, settle_s=0), 20))
        await asyncio.sleep(0.5)
        send(places, "1.jpg", "2.jpg")
        assert not Path(places["lake"]).exists(), "nobody has looked yet"
        sqs.send_message(QueueUrl=queue, MessageBody=event("1.jpg"))
        while not Path(places["lake"], "n", "calls").exists():
            await asyncio.sleep(0.02)
            assert time.monotonic() - began < 20
        return time.monotonic() - began, await listening

    seconds, lines = asyncio.run(play())
    assert len(lines) == 1
    assert seconds < 20, "by the clock it would have been ten minutes"


@pytest.mark.parametrize("fate", ["dropped", "doubled", "reordered", "garbage"])
def test_whatever_becomes_of_the_messages_each_batch_is_called_for_once(places, sqs, queue, fate):
    bodies = {
        "dropped": [],
        "doubled": [event("1.jpg"), event("2.jpg")] * 30,
        "reordered": [event("2.jpg"), event("1.jpg"), json.dumps({"Records": [{"eventName": "ObjectRemoved:Delete"}]})],
        "garbage": ["no JSON", "{}", "[]", "\u00e9" * 500],
    }[fate]

    # All lies there before the first look, and the queue is asked before pictures have settled: what comes behind the call would stay.
    send(places, "1.jpg", "2.jpg")
    for body in bodies:
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    assert len(asyncio.run(fired(trigger(places, sqs_queue=queue, poll_s=3, settle_s=3), 30))) == 1
    assert messages_left(sqs, queue) == 0


def test_a_queue_that_cannot_be_asked_leaves_the_clock(places, sqs, queue, capsys):
    send(places, "1.jpg", "2.jpg")
    assert len(asyncio.run(fired(trigger(places, sqs_queue=f"{queue}-no-such", poll_s=3, settle_s=3), 30))) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if "looks by the clock" in line]
    assert len(told) == 1
    assert "QueueDoesNotExist" in told[0]


def test_the_region_of_a_queue_of_aws_is_read_off_its_address(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = wake.Queue("https://sqs.eu-central-1.amazonaws.com/123456789012/pictures")._client
    assert (client.meta.region_name, client.meta.endpoint_url) == ("eu-central-1", "https://sqs.eu-central-1.amazonaws.com")
    assert wake.Queue("http://127.0.0.1:9/1/q", "eu-north-1")._client.meta.region_name == "eu-north-1"
