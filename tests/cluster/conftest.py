"""What the suites on a cluster share: the whole chain through `airflow dags test`, and what the local engine makes of the same pictures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.s3 import S3
from tests import s3_server, spark_cluster
from tests.conftest import PROJECT, SMALL
from tests.s3_server import NoServer, Server
from tests.spark_cluster import Cluster

NAME = "cluster"
# Two folds: the cross-validation is a Spark job of its own.
KNOBS = {**SMALL, "folds": 2, "fold_images": 50}


@dataclass(frozen=True)
class Chain:
    """A deployment whose whole chain is run as a user runs it; `variables` make the difference between one and another."""

    folder: Path
    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "POMONA_NAME": NAME,
            "POMONA_LAKE": str(self.folder / "lake"),
            "POMONA_TRACKING": f"sqlite:///{self.folder}/mlflow.db",
            "POMONA_SPARK_MEMORY": "1g",
            "POMONA_SPARK_EXECUTOR_MEMORY": "700m",
            # The project's own: Spark's class archives are made once for everybody.
            "POMONA_STATE": str(PROJECT / ".pomona"),
            **self.variables,
        }

    def begin(self, landing: str, knobs: Mapping[str, Any] = KNOBS) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "run.chain", "--images", landing, "--knobs", json.dumps(resolve(dict(knobs)))]
        return subprocess.Popen(
            command, cwd=PROJECT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def run(self, landing: str) -> str:
        """What the run said; it succeeded."""
        process = self.begin(landing)
        said, _ = process.communicate()
        assert process.returncode == 0, said
        return said

    @property
    def lake(self) -> Lake:
        return Lake(self.environment["POMONA_LAKE"], NAME, S3(self.variables.get("POMONA_S3_ENDPOINT", ""), "us-east-1"))

    def runs(self) -> list[str]:
        """The run keys, the oldest first."""
        return self.lake.folders("runs")

    def hashes(self, run: str) -> dict[str, str]:
        """SHA-256 of what the run fitted."""
        return {name: self.lake.files(run, name)[0].sha256 for name in ("vocabulary", "encoder", "model")}


@pytest.fixture(scope="session")
def logs() -> Iterator[Path]:
    """The folder of `make run` for this suite's name, with every task's log; taken away at the end."""
    folder = PROJECT / ".pomona" / "run" / NAME
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pictures(orchard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The orchard's pictures under names that sort; nobody changes them."""
    return Path(shutil.copytree(orchard, tmp_path_factory.mktemp("pictures") / "landing"))


@pytest.fixture(scope="session")
def reference(pictures: Path, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The chain on this machine, already run once."""
    chain = Chain(tmp_path_factory.mktemp("reference"), {"POMONA_ENGINE": "local"})
    chain.run(str(pictures))
    return chain


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server whose secret key nobody can overlook."""
    try:
        server = s3_server.start(tmp_path_factory.mktemp("s3"), secret_key="recognisable-secret-of-the-s3-server")
    except NoServer as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """A master and two workers, which have the variables that the test names by `environment_of`."""
    variables = request.getfixturevalue("machine") if "machine" in request.fixturenames else {}
    made = spark_cluster.start(tmp_path / "cluster", variables=variables)
    yield made
    made.stop()
