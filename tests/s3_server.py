"""A real S3 server for the tests: versitygw, one small maintained program (Apache-2.0) that keeps `If-None-Match` honestly.

    server = start(folder)                  # its objects lie in folder/buckets/<bucket>/<key>
    server.make_bucket("lake")
    S3(endpoint=server.endpoint, region=server.region), server.environment
    server.stop()

It is built once, by Go, into `.pomona/tools/`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pomona.s3 import S3
from pomona_airflow.deployment import Deployment

MODULE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
TOOLS = Path(__file__).resolve().parent.parent / ".pomona" / "tools"
_START_S = 30.0


class NoServer(RuntimeError):
    """There is no S3 server to be had on this machine; the text says why."""


@dataclass(frozen=True)
class Server:
    """A running server, on loopback only."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes AWS's own chain of credentials find this server's, and nobody's own files or metadata service."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self) -> Any:
        """A boto3 client of it, for a test's own looks and writes."""
        import boto3

        keys = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=self.region, **keys)

    def make_bucket(self, name: str) -> Path:
        """The folder in which the new bucket's objects lie; files put there by hand are listed too."""
        self.client().create_bucket(Bucket=name)
        return self.folder / "buckets" / name

    def stop(self) -> None:
        """Ends the server; its objects stay, so that another `start` over the same folder has them again."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(folder: Path, *, access_key: str = "tests", secret_key: str = "tests-secret-key", port: int = 0) -> Server:
    """A server over the folder that answers.

    Raises
    ------
    NoServer
        When it is not built yet and cannot be.
    """
    program, port = built(), port or free_port()
    (folder / "buckets").mkdir(parents=True, exist_ok=True)
    with (folder / "versitygw.log").open("ab") as log:
        process = subprocess.Popen(
            [program, "--port", f"127.0.0.1:{port}", "--keep-alive", "posix", folder / "buckets"],
            env={**os.environ, "ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    server = Server(folder, port, process, access_key, secret_key)
    end = time.monotonic() + _START_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > end:
            server.stop()
            raise RuntimeError(f"versitygw does not answer: {(folder / 'versitygw.log').read_text()[-2000:]}")
        time.sleep(0.05)
    return server


def built() -> Path:
    """The program, built first where it is missing: a minute or two, once; others that want it meanwhile wait."""
    program = TOOLS / f"versitygw-{VERSION}"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        raise NoServer(f"versitygw {VERSION} is not in {TOOLS} and there is no Go to build it: install Go 1.24 or later")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "versitygw.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            building = TOOLS / "versitygw.building"
            done = subprocess.run(
                [go, "install", f"{MODULE}@{VERSION}"],
                env={**os.environ, "GOBIN": str(building)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise NoServer(f"go install {MODULE}@{VERSION} failed: {done.stderr.strip().splitlines()[-1]}")
            (building / "versitygw").replace(program)
            building.rmdir()
    return program


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def deployment_of(bucket: str, s3: S3, folder: Path) -> Deployment:
    """Landing zone and lake in the bucket, MLflow in the folder."""
    return Deployment.from_environment(
        {
            "POMONA_NAME": "tests",
            "POMONA_LANDING": f"s3://{bucket}/landing",
            "POMONA_LAKE": f"s3://{bucket}/lake",
            "POMONA_TRACKING": f"sqlite:///{folder}/mlflow.db",
            "POMONA_S3_ENDPOINT": s3.endpoint,
            "POMONA_S3_REGION": s3.region,
            "POMONA_S3_ENCRYPTION": s3.encryption,
            "POMONA_SPARK_MEMORY": "1g",
        }
    )
