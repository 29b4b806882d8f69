"""A real `airflow standalone` for the tests: its own home, free ports of 127.0.0.1, and nothing left of it afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pomona_airflow.deployment import Deployment
from run.airflow_home import BIN, HOST, AirflowHome
from run.rest import Rest
from tests.waiting import wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class StandaloneAirflow:
    """`airflow standalone` over a deployment, driven through its REST API as a person would through the pages."""

    folder: Path
    variables: dict[str, str]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = AirflowHome.with_pages(
            self.folder,
            Deployment.from_environment(self.variables),
            self.port,
            dag_processor__min_file_process_interval="5",
            scheduler__scheduler_health_check_threshold="120",
            triggerer__triggerer_health_check_threshold="15",
            # Logs are served by the scheduler and the triggerer on fixed ports otherwise.
            logging__worker_log_server_port=str(free_port()),
            logging__trigger_log_server_port=str(free_port()),
        )
        # `airflow standalone` starts the others as `airflow`, wherever that is.
        self.environment = {**self.home.environment, **self.variables, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def start(self) -> None:
        self.home.migrate()
        self.process = self._started("standalone")
        wait_until(lambda: self._answer("/api/v2/monitor/health"), 180, "answer of Airflow's API")
        wait_until(lambda: self._answer("/api/v2/dags/retrain/details"), 180, "DAG retrain")

    def _started(self, command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command}.log").open("ab") as log:
            return subprocess.Popen(
                [BIN / "airflow", command],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ends everything that was started, whatever session it has moved to."""
        started = [one for one in (self.process, *self.others) if one is not None]
        below = [psutil.Process(one.pid) for one in started if psutil.pid_exists(one.pid)]
        below += [child for parent in list(below) for child in parent.children(recursive=True)]
        for one in started:
            one.terminate()
        _, alive = psutil.wait_procs(below, timeout=8)
        for left in alive:
            left.kill()
        for one in started:
            one.wait()

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def kill_triggerer(self) -> int:
        """SIGKILL for the triggerer with all below it; how many processes that were."""
        assert self.process is not None
        parents = [self.process, *self.others]
        found = [child for parent in parents if psutil.pid_exists(parent.pid) for child in _tree(parent.pid) if _is_triggerer(child)]
        below = {one.pid: one for process in found for one in [process, *process.children(recursive=True)]}
        for one in below.values():
            one.kill()
        psutil.wait_procs(list(below.values()), timeout=10)
        return len(below)

    def start_triggerer(self) -> None:
        self.others.append(self._started("triggerer"))

    # ---- the REST API

    @property
    def rest(self) -> Rest:
        return Rest(f"http://{HOST}:{self.port}")

    def _answer(self, path: str) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.poll() is None, self.log()[-2000:]
        try:
            return self.rest.ask(path)
        except OSError:
            return {}

    def pause(self, paused: bool) -> None:
        self.rest.pause("retrain", paused)

    def trigger(self, **body: Any) -> str:
        return self.rest.trigger("retrain", **body)

    def runs(self) -> list[dict[str, Any]]:
        """All runs of the DAG, the first one first."""
        return self.rest.runs("retrain")

    def events(self) -> list[dict[str, Any]]:
        return list(self.rest.ask("/api/v2/assets/events?limit=100")["asset_events"])


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _is_triggerer(process: psutil.Process) -> bool:
    try:
        return "triggerer" in " ".join(process.cmdline())
    except psutil.Error:
        return False
