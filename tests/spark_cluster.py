"""A real Spark cluster for the tests: PySpark's own standalone master and workers, on loopback only.

cluster = start(folder, workers=2)
cluster.environment                     # AIRFLOW_CONN_SPARK_DEFAULT and what keeps the driver on loopback
cluster.applications(), cluster.kill_worker()
cluster.stop()
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.s3_server import free_port

_START_S = 120.0
# An executor lives for seconds here.
_FAST_START = {"spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


@dataclass
class Cluster:
    """A running master and its workers, each the leader of a session."""

    folder: Path
    port: int
    page: int
    variables: Mapping[str, str]
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def master(self) -> str:
        return f"spark://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a deployment uses this cluster."""
        return {
            "POMONA_ENGINE": "spark",
            "POMONA_SPARK_DRIVER_HOST": "127.0.0.1",
            "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": self.master, "extra": {"conf": _FAST_START}}),
        }

    def state(self) -> dict[str, Any]:
        """What the master says of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page}/json/", timeout=10) as answer:
            said: dict[str, Any] = json.load(answer)
        return said

    def workers(self) -> int:
        return sum(worker["state"] == "ALIVE" for worker in self.state()["workers"])

    def applications(self) -> list[str]:
        """The names of those that the master still holds as running or waiting."""
        return [app["name"] for app in self.state()["activeapps"]]

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """A daemon of the cluster: master or worker."""
        package = importlib.util.find_spec("pyspark")
        assert package is not None and package.origin is not None
        home = Path(package.origin).parent
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_", "POMONA_"))}
        own = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost", "SPARK_DAEMON_MEMORY": "256m"}
        with (self.folder / f"{len(self.daemons)}.log").open("wb") as log:
            daemon = subprocess.Popen(
                [str(home / "bin" / "spark-class"), *words],
                env={**environment, **own, **self.variables},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.daemons.append(daemon)
        return daemon

    def add_worker(self, memory: str = "1500m") -> subprocess.Popen[bytes]:
        words = ("--host", "127.0.0.1", "--port", str(free_port()), "--webui-port", str(free_port()), "--cores", "1", "--memory", memory)
        work = self.folder / f"work-{len(self.daemons)}"
        return self.begin("org.apache.spark.deploy.worker.Worker", *words, "--work-dir", str(work), self.master)

    def await_workers(self, number: int) -> None:
        """Returns once the master has so many.

        Raises
        ------
        RuntimeError
            With the end of the daemons' logs, when it takes too long.
        """
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            # Before its page is whole the master answers with another one.
            with contextlib.suppress(OSError, ValueError):
                if self.workers() == number:
                    return
            time.sleep(0.2)
        logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in sorted(self.folder.glob("*.log")))
        raise RuntimeError(f"the cluster has not {number} workers after {_START_S:.0f} s:\n{logs}")

    def kill_worker(self, number: int = -1) -> int:
        """How many processes went with a worker's SIGKILL: the worker, its executors, their Python."""
        daemon = self.daemons[number]
        doomed = [psutil.Process(daemon.pid), *psutil.Process(daemon.pid).children(recursive=True)]
        for process in doomed:
            process.kill()
        daemon.wait()
        return len(doomed)

    def stop(self) -> None:
        """Ends all daemons and what they started."""
        alive = [daemon for daemon in self.daemons if daemon.poll() is None]
        trees = [process for daemon in alive for process in psutil.Process(daemon.pid).children(recursive=True)]
        for daemon in reversed(alive):
            daemon.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs([*trees, *(psutil.Process(daemon.pid) for daemon in alive if daemon.poll() is None)], timeout=10)
        for process in left:
            process.kill()
        for daemon in self.daemons:
            daemon.wait(10)


def start(folder: Path, *, workers: int = 2, variables: Mapping[str, str] | None = None) -> Cluster:
    """A cluster whose workers have come to the master; `variables` are what its machines have in their environment."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder, free_port(), free_port(), variables or {})
    words = ("--host", "127.0.0.1", "--port", str(cluster.port), "--webui-port", str(cluster.page))
    try:
        cluster.begin("org.apache.spark.deploy.master.Master", *words)
        cluster.await_workers(0)
        for _ in range(workers):
            cluster.add_worker()
        cluster.await_workers(workers)
    except BaseException:
        cluster.stop()
        raise
    return cluster
