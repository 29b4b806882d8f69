"""The store and the service that most tests ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving.services import crown, register, service


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Version 1 of `drawn` is the champion; version 2 is not."""
    folder = tmp_path_factory.mktemp("mlflow")
    for run in ("r1", "r2"):
        uri = register(folder, "drawn", run)
    crown(uri, "drawn", 1)
    return uri


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the service keeps every image that it is asked."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="session")
def client(store: str, kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    log = tmp_path_factory.mktemp("logs") / "service.log"
    words = ("--max-mb", "0.5", "--workers", "1")
    with service(store, "drawn", log, *words, POMONA_SERVE_LOG=str(kept), POMONA_SERVE_SAMPLE="1") as (client, _):
        yield client
