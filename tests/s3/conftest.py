"""A real S3 server for the suite (versitygw: one small program that Go builds anywhere, Apache-2.0, maintained, honest about
`If-None-Match`), its credentials in the environment, a new bucket for each test, and a proxy that makes faults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pomona.bucket import _connected
from pomona.s3 import S3
from tests import own_airflow, s3_server
from tests.s3.fault_proxy import FaultProxy
from tests.s3_server import NoServer, Server

own_airflow.use()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    try:
        running = s3_server.start(tmp_path_factory.mktemp("s3"))
    except NoServer as error:
        pytest.skip(str(error))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def credentials(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process and its children find the server's keys, and nobody's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    _connected.cache_clear()
    yield
    _connected.cache_clear()


@pytest.fixture
def bucket(server: Server, request: pytest.FixtureRequest) -> str:
    """The name of a new bucket."""
    name = "".join(sign if sign.isalnum() else "-" for sign in request.node.name.lower())[:55].strip("-")
    server.make_bucket(name)
    return name


@pytest.fixture
def folder(server: Server, bucket: str) -> Path:
    """The folder in which the bucket's objects lie."""
    return server.folder / "buckets" / bucket


@pytest.fixture
def s3(server: Server) -> S3:
    """The settings that lead to the server."""
    return S3(server.endpoint, server.region)


@pytest.fixture
def proxied(server: Server) -> Iterator[Callable[..., FaultProxy]]:
    """Makes proxies before the server, and ends them."""
    made: list[FaultProxy] = []

    def make(**options: Any) -> FaultProxy:
        made.append(FaultProxy(server.port, **options))
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()
