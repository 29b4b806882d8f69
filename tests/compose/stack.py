"""The services of docker-compose.yaml under a project name, ports and secrets of the test's own, and the questions a test asks them."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.compose.docker_engine import compose_command, docker
from tests.s3_server import free_port

PROJECT = Path(__file__).resolve().parents[2]
PORTS = ("POMONA_AIRFLOW_PORT", "POMONA_MLFLOW_PORT", "POMONA_SERVE_PORT", "S3_PORT", "SPARK_MASTER_PAGE_PORT", "SPARK_HISTORY_PORT")
SERVICES = (
    *("postgres", "s3", "mlflow", "spark-master", "spark-worker-1", "spark-worker-2", "spark-history", "serving"),
    *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
)


@dataclass(frozen=True)
class Stack:
    """One project of Compose; `env` is its .env, which holds secrets and ports."""

    name: str
    env: Path
    values: dict[str, str]
    secrets: dict[str, str]

    @classmethod
    def of(cls, name: str, env: Path, **more: str) -> Stack:
        """A project on free ports, with the secrets that stand in the file already."""
        drawn = _lines(env)
        with env.open("a") as file:
            for variable, value in {**{port: str(free_port()) for port in PORTS}, "IMAGE_TAG": name, **more}.items():
                file.write(f"{variable}={value}\n")
        # An access key's id is a name: it may stand in a log of requests.
        return cls(name, env, _lines(env), {variable: value for variable, value in drawn.items() if variable != "S3_ACCESS_KEY"})

    def compose(self, *words: str, timeout: float = 1800) -> str:
        """What the command printed.

        Raises
        ------
        RuntimeError
            With the end of it, when it failed.
        """
        command = [*compose_command(), "-p", self.name, "--env-file", str(self.env), "-f", str(PROJECT / "docker-compose.yaml"), *words]
        # A variable of the process would win over the file.
        environment = {name: value for name, value in os.environ.items() if name not in self.values and not name.startswith("POMONA_")}
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        said = done.stdout.decode(errors="replace")
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{said[-4000:]}")
        return said

    def container(self, service: str) -> str:
        """The id of the service's container, running or not."""
        labels = (f"label=com.docker.compose.project={self.name}", f"label=com.docker.compose.service={service}")
        return docker("ps", "-aq", *(word for label in labels for word in ("--filter", label))).stdout.split()[0]

    def inspected(self, service: str) -> dict[str, Any]:
        return dict(json.loads(docker("inspect", self.container(service)).stdout)[0])

    def logs(self, service: str) -> str:
        done = docker("logs", self.container(service))
        return done.stdout + done.stderr

    def url(self, port: str, path: str) -> str:
        return f"http://127.0.0.1:{self.values[port]}{path}"

    def ask(self, port: str, path: str, body: Any = None, *, method: str = "", token: str = "") -> Any:
        """The JSON that a service answers; a body is sent as JSON, bytes as they are."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.url(port, path), data, headers, method=method or None)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def airflow(self, path: str, body: Any = None, *, method: str = "") -> Any:
        """Airflow's REST API, with a token for the administrator's password."""
        login = {"username": "admin", "password": self.values["AIRFLOW_ADMIN_PASSWORD"]}
        token = self.ask("POMONA_AIRFLOW_PORT", "/auth/token", login)["access_token"]
        return self.ask("POMONA_AIRFLOW_PORT", f"/api/v2{path}", body, method=method, token=token)

    def runs(self) -> list[dict[str, Any]]:
        """The runs of the DAG, the oldest first."""
        return list(self.airflow("/dags/retrain/dagRuns?order_by=id")["dag_runs"])

    def task_state(self, run: str, task: str) -> str | None:
        return self.airflow(f"/dags/retrain/dagRuns/{run}/taskInstances/{task}")["state"]  # type: ignore[no-any-return]

    def outcomes(self, run: str) -> dict[str, str | None]:
        """State by task; for the message of a test that fails."""
        return {task["task_id"]: task["state"] for task in self.airflow(f"/dags/retrain/dagRuns/{run}/taskInstances")["task_instances"]}

    def s3(self) -> Any:
        """A boto3 client of the S3 server."""
        import boto3

        keys = {"aws_access_key_id": self.values["S3_ACCESS_KEY"], "aws_secret_access_key": self.values["S3_SECRET_KEY"]}
        return boto3.client("s3", endpoint_url=self.url("S3_PORT", ""), region_name="us-east-1", **keys)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def _lines(env: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in env.read_text().splitlines() if "=" in line and not line.startswith("#"))


def eventually(what: str, ask: Callable[[], Any], *, within_s: float) -> Any:
    """The first answer that is neither empty nor an error.

    Raises
    ------
    AssertionError
        When there was none in time.
    """
    deadline, last = time.monotonic() + within_s, None
    while time.monotonic() < deadline:
        try:
            if last := ask():
                return last
        except (urllib.error.URLError, OSError) as error:
            last = error
        time.sleep(1)
    raise AssertionError(f"{what}: not within {within_s:.0f} s, the last answer was {last!r}")
