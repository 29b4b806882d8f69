"""What the suites without AWS share: an S3 server, the stand-in for AWS with its runner, an MLflow server, and deployments on them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.orchard import KINDS, draw
from tests import own_airflow, s3_server
from tests.conftest import PROJECT, SMALL
from tests.emr.on_serverless import ROLE
from tests.s3_server import NoServer, Server, free_port

own_airflow.use()

from pomona.knobs import resolve  # noqa: E402
from pomona.lake import Lake  # noqa: E402
from pomona.s3 import S3  # noqa: E402
from pomona_airflow.deployment import Deployment  # noqa: E402
from pomona_airflow.emr import packages  # noqa: E402
from tests.emr.aws import Account  # noqa: E402
from tests.emr.node import Node, wrapped  # noqa: E402
from tests.emr.runner import Runner  # noqa: E402
from tests.waiting import wait_until  # noqa: E402

SECRET = "recognisable-secret-of-the-account"
# What `make run` keeps for a name is in the project; two sessions at once have a folder each.
NAME = f"onaws{os.getpid()}"
BUCKET = "pomona"


@dataclass(frozen=True)
class Place:
    """A deployment on the stand-in: its variables, which any process may be started with, and what a test looks at."""

    account: Account
    runner: Runner
    server: Server
    folder: Path
    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """A process's environment with nobody's own AWS, Airflow or Pomona in it."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "POMONA_"))}
        return {**clean, **self.server.environment, **self.account.environment, **self.variables}

    @property
    def deployment(self) -> Deployment:
        return Deployment.from_environment(self.variables)

    @property
    def lake(self) -> Lake:
        return Lake(self.variables["POMONA_LAKE"], NAME, S3(self.server.endpoint, self.server.region))

    def hashes(self, run: str) -> dict[str, str]:
        """SHA-256 of what the run fitted."""
        return hashes(self.lake, run)

    def steps(self) -> list[tuple[str, str]]:
        """Name and state of every step and job run that was ever asked for."""
        steps = [(step.name, step.state) for cluster in self.account.ec2.clusters() for step in cluster.steps]
        return steps + [(run.name, run.state) for run in self.account.serverless.job_runs()]

    def end(self) -> None:
        """Stops the runner and gives back the disk: a packed environment in the bucket and unpacked on the node is over a gigabyte."""
        try:
            self.runner.stop()
        finally:
            shutil.rmtree(self.runner.node.folder)
            shutil.rmtree(self.server.folder / "buckets" / self.variables["POMONA_LAKE"].split("/")[2])

    def chain(self, knobs: Mapping[str, Any]) -> subprocess.Popen[str]:
        """The whole DAG once, as `make run` runs it."""
        return chain(self.variables["POMONA_LANDING"], knobs, self.environment)


def hashes(lake: Lake, run: str) -> dict[str, str]:
    """SHA-256 of what the run fitted, and of the scores of its cross-validation, for which vocabulary and model are fitted in each fold."""
    assert lake.document(lake.files(run, "validation")[0].path)["n_folds"] == KNOBS["folds"]
    return {name: lake.files(run, name)[0].sha256 for name in ("vocabulary", "encoder", "model", "validation")}


def chain(images: str, knobs: Mapping[str, Any], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """`make run`, begun; what it says is in its output."""
    command = [sys.executable, "-m", "run.chain", "--images", images, "--knobs", json.dumps(resolve(dict(knobs)))]
    return subprocess.Popen(
        command, cwd=PROJECT, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server, whose secret key nobody can overlook."""
    try:
        running = s3_server.start(tmp_path_factory.mktemp("s3"), secret_key=SECRET)
    except NoServer as error:
        pytest.skip(str(error))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def credentials(server: Server) -> Iterator[None]:
    """This process finds the server's keys too, and nobody's own."""
    from pomona.bucket import _connected

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        _connected.cache_clear()
        yield
    _connected.cache_clear()


@pytest.fixture
def account() -> Iterator[Account]:
    started = Account.start()
    yield started
    started.stop()


@pytest.fixture
def place(server: Server, account: Account, credentials: None, tmp_path: Path, tracking: str) -> Iterator[Callable[..., Place]]:
    """Makes a deployment on a bucket of its own with the variables that make the difference; its runner runs already."""
    made: list[Place] = []

    def make(**variables: str) -> Place:
        made.append(placed(server, account, tmp_path, POMONA_TRACKING=tracking, **variables))
        return made[-1]

    yield make
    for one in made:
        one.end()


def placed(server: Server, account: Account, folder: Path, *, stub: bool = False, **variables: str) -> Place:
    """A deployment on a bucket of its own, its packages in place and its runner started; `stub` as `node` has it."""
    bucket = f"{BUCKET}-{os.urandom(4).hex()}"
    server.make_bucket(bucket)
    every = {
        "POMONA_NAME": NAME,
        "POMONA_LANDING": f"s3://{bucket}/landing",
        "POMONA_LAKE": f"s3://{bucket}/lake",
        "POMONA_S3_ENDPOINT": server.endpoint,
        "POMONA_S3_REGION": server.region,
        # The project's own: Airflow's database and Spark's class archive are made once for everybody.
        "POMONA_STATE": str(PROJECT / ".pomona"),
        "POMONA_SPARK_MEMORY": "1g",
        "POMONA_SPARK_EXECUTOR_MEMORY": "700m",
        "POMONA_EMR_POLL_S": "1",
        "POMONA_EMR_APPLICATION": account.serverless.application,
        "POMONA_EMR_JOB_ROLE": ROLE,
        **variables,
    }
    found = Place(account, Runner(account, Node(server, folder / "node", stub)), server, folder, every)
    packages.put(found.deployment, packages.environment_name(), wrapped(sys.executable, folder) if stub else environment())
    found.runner.start()
    return found


def environment() -> Path:
    """The packed environment, built when this lock has none yet."""
    from run.environment_archive import kept

    return kept(PROJECT / ".pomona")


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server that keeps artifacts for its clients."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    kept = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--serve-artifacts",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "mlflow", "server", *kept, *address],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    uri = f"http://127.0.0.1:{port}"
    wait_until(lambda: _answers(f"{uri}/health"), 120, f"MLflow: {folder}/log")
    yield uri
    from pomona_airflow.spark import leash

    leash.end(process.pid)
    process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def logs() -> Iterator[Path]:
    """The folder of `make run` for this suite's name, with every task's log; taken away at the end."""
    folder = PROJECT / ".pomona" / "run" / NAME
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn orchard that nobody changes: 3 kinds, two rotations for training, so that groups can be held out, and one for the test."""
    folder = tmp_path_factory.mktemp("pictures") / "landing"
    draw(folder, frames=7, kinds=list(KINDS)[:3], rotations=3, bad=False)
    return folder


def sent(pictures: Path, place: Place) -> None:
    """Puts the pictures into the landing zone, as people do."""
    client, (bucket, _, key) = place.server.client(), place.variables["POMONA_LANDING"].removeprefix("s3://").partition("/")
    for path in sorted(path for path in pictures.rglob("*") if path.is_file()):
        client.upload_file(str(path), bucket, f"{key}/{path.relative_to(pictures).as_posix()}")


# Two folds: the cross-validation is a Spark job of its own.
KNOBS = {**SMALL, "folds": 2, "fold_images": 50}
