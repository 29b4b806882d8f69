"""`make up` and `make down`: Airflow's and MLflow's pages on 127.0.0.1, as one session of processes that ends as a whole."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import psutil

from pomona_airflow.deployment import Deployment, NotReady, of_others
from pomona_airflow.settings.checks import BadSetting
from pomona_airflow.spark import leash
from pomona_airflow.spark.spark_home import home_of, rehearse
from run.airflow_home import BIN, HOST, AirflowHome
from run.rest import Rest, asked

# A laptop that is busy with something else takes minutes.
_WAIT_S = 300.0
_PAUSE_S = 3.0
_HOLD = ["-m", "run.services", "hold"]


@dataclass(frozen=True)
class Services:
    """The services of one name: their commands, their home and the file that remembers who runs them."""

    deployment: Deployment
    home: AirflowHome

    @classmethod
    def of(cls, deployment: Deployment) -> Services:
        home = AirflowHome.with_pages(
            deployment.state / "up" / deployment.name,
            deployment,
            deployment.airflow_port,
            scheduler__scheduler_health_check_threshold="60",
        )
        return cls(deployment, home)

    @property
    def urls(self) -> dict[str, str]:
        """Page by name; MLflow's own address when it runs somewhere else."""
        mlflow = self.deployment.tracking if self._has_mlflow_server else f"http://{HOST}:{self.deployment.mlflow_port}"
        return {"Airflow": f"http://{HOST}:{self.deployment.airflow_port}", "MLflow": mlflow}

    @property
    def _has_mlflow_server(self) -> bool:
        return self.deployment.tracking.startswith(("http://", "https://"))

    @property
    def commands(self) -> dict[str, list[str]]:
        airflow = str(BIN / "airflow")
        commands = {name: [airflow, name] for name in ("api-server", "scheduler", "dag-processor", "triggerer")}
        if not self._has_mlflow_server:
            address = ["--host", HOST, "--port", str(self.deployment.mlflow_port), "--workers", "1"]
            commands["mlflow"] = [str(BIN / "mlflow"), "server", "--backend-store-uri", self.deployment.tracking, *address]
        return commands

    @property
    def ports(self) -> dict[str, int]:
        """The ports that this machine has to have free, by the variable that sets each."""
        ports = {"POMONA_AIRFLOW_PORT": self.deployment.airflow_port}
        if not self._has_mlflow_server:
            ports["POMONA_MLFLOW_PORT"] = self.deployment.mlflow_port
        return ports

    @property
    def record(self) -> Path:
        return self.home.folder / "services.json"

    def holder(self) -> psutil.Process | None:
        """The process that holds the services; None when they are down."""
        if not self.record.exists():
            return None
        try:
            process = psutil.Process(json.loads(self.record.read_text())["pid"])
            # A process of a later time may have the same number. It is told by what it is, for when it began is told otherwise after each
            # step of the clock, as when a laptop wakes up.
            ours = process.cmdline()[-len(_HOLD) :] == _HOLD and process.environ().get("POMONA_NAME") == self.deployment.name
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None


def up(services: Services) -> int:
    """0 when everything answers; 130 after Ctrl-C, which ends what was begun of this name and leaves other names alone.

    Raises
    ------
    RuntimeError
        When a port is taken or something does not come up.
    """
    if services.holder():
        return _say(services, "already up")
    try:
        bring_up(services, tell=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        return down(services) or 130
    return _say(services, "up")


def bring_up(services: Services, *, tell: Callable[[str], None], bound: bool = False) -> None:
    """Starts everything and returns when it answers; what is `bound` ends with this process, however that ends.

    Raises
    ------
    RuntimeError
        When a port is taken or something does not come up: which, and what to do or to read.
    """
    taken = [line for variable, port in services.ports.items() if (line := taken_by(variable, port))]
    if taken:
        raise RuntimeError("\n".join(taken))
    if "://" not in services.deployment.landing:
        Path(services.deployment.landing).mkdir(parents=True, exist_ok=True)
    tell("preparing")
    services.home.migrate()
    rehearse(home_of(services.deployment))
    _start(services, bound)
    tell(f"starting {', '.join(services.commands)}")
    deadline = time.monotonic() + _WAIT_S
    while waiting := unready(services):
        if time.monotonic() > deadline or not services.holder():
            down(services, quiet=True)
            raise RuntimeError(f"{waiting} did not come up: see {services.home.folder / 'services'}")
        time.sleep(0.5)


def _start(services: Services, bound: bool) -> None:
    """Starts the holder in a session of its own, away from this terminal."""
    logs = services.home.folder / "services"
    logs.mkdir(exist_ok=True)
    leashed = [sys.executable, leash.__file__, str(os.getpid())] if bound else []
    with (logs / "holder.log").open("w") as log:
        command = [*leashed, sys.executable, *_HOLD]
        holder = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **_pomona(services)}
        )
    services.record.write_text(json.dumps({"pid": holder.pid, "urls": services.urls, "landing": services.deployment.landing}))


def _pomona(services: Services) -> dict[str, str]:
    return {name: value for name, value in services.home.variables.items() if name.startswith("POMONA_")}


def hold(services: Services) -> int:
    """Keeps every service running until SIGTERM, then ends them; a service that ends is started again after a pause."""
    environment = {**services.home.environment, **_log_servers(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    running: dict[str, subprocess.Popen[bytes]] = {}
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopped:
        for name, command in services.commands.items():
            if name in running and running[name].poll() is None:
                continue
            # A disk that is full, no memory for a process: that passes, and what runs must not be left without its holder.
            with contextlib.suppress(OSError):
                if name in running:
                    print(f"{name} ended with {running[name].returncode}: started again", flush=True)
                with (services.home.folder / "services" / f"{name}.log").open("a") as log:
                    running[name] = subprocess.Popen(
                        command, env=environment, cwd=services.home.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                    )
        time.sleep(_PAUSE_S)
    leash.end(os.getsid(0), grace_s=10)
    return 0


def down(services: Services, *, quiet: bool = False) -> int:
    """0 when nothing is left of the services, their tasks and their jobs."""
    holder = services.holder()
    if holder is None:
        services.record.unlink(missing_ok=True)
        return 0
    below = [holder, *holder.children(recursive=True)]
    holder.terminate()
    _, alive = psutil.wait_procs(below, timeout=25)
    # Tasks and their jobs have sessions of their own; their leashes end them when their parent is gone.
    for process in alive:
        process.kill()
    _, alive = psutil.wait_procs(alive, timeout=5)
    services.record.unlink(missing_ok=True)
    if alive:
        print(f"still there: {', '.join(str(process.pid) for process in alive)}", file=sys.stderr)
        return 1
    if not quiet:
        print(f"{services.deployment.name}: down, {len(below)} processes ended")
    return 0


def down_all(deployment: Deployment) -> int:
    """0 when nothing is left of what `make up` started, whatever names it was started under."""
    found = [
        Services.of(replace(deployment, name=record.parent.name)) for record in sorted((deployment.state / "up").glob("*/services.json"))
    ]
    if not any(services.holder() for services in found):
        print("nothing was up")
    return max((down(services, quiet=services.holder() is None) for services in found), default=0)


def taken_by(variable: str, port: int) -> str:
    """One line when somebody listens on the port; empty when it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return f"port {port} is taken by {_listener(port)}: set {variable} to another one"
    return ""


def _listener(port: int) -> str:
    try:
        found = [c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN]
        if found and found[0]:
            process = psutil.Process(found[0])
            return f"{process.name()} (process {process.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return "another program"


def free_ports(n: int) -> list[int]:
    """So many ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(n)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _log_servers() -> dict[str, str]:
    """Ports for the logs that scheduler and triggerer serve: those that Airflow takes by itself are the same for every name."""
    worker, trigger = free_ports(2)
    return {"AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker), "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger)}


def unready(services: Services) -> str:
    """What does not answer yet, in words; empty when all do."""
    airflow, waiting = Rest(services.urls["Airflow"]), "Airflow's page"
    try:
        health = asked(f"{airflow.url}/api/v2/monitor/health", timeout_s=5)
        for name in ("scheduler", "dag_processor", "triggerer"):
            if health.get(name, {}).get("status") != "healthy":
                return f"Airflow's {name}"
        waiting = "the DAG retrain"
        airflow.ask("/api/v2/dags/retrain/details", timeout_s=5)
        waiting = "MLflow's page"
        if "mlflow" in services.commands:
            asked(f"{services.urls['MLflow']}/version", timeout_s=5)
    except OSError:
        return waiting
    return ""


def _say(services: Services, state: str) -> int:
    """Prints where everything is, by the settings that it was started with; 0."""
    deployment, now = services.deployment, {"urls": services.urls, "landing": services.deployment.landing}
    there = {**now, **json.loads(services.record.read_text())}
    urls, landing = there["urls"], there["landing"]
    print(f"{deployment.name} is {state}; make down ends it")
    print(f"  Airflow   {urls['Airflow']}   no login on this machine; the DAG retrain starts paused")
    print(f"  MLflow    {urls['MLflow']}")
    empty = f" is empty: {urls['Airflow']}/pomona/ says what to do" if replace(deployment, landing=landing).landing_is_empty else ""
    print(f"  pictures  {landing}{empty}")
    if (urls, landing) != (now["urls"], now["landing"]):
        print("  other ports or places that are set by now hold from the next make down and make up on")
    return 0


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m run.services", description="Airflow's and MLflow's pages on this machine.")
    parser.add_argument("what", choices=("up", "down", "hold"))
    given = parser.parse_args(words)
    os.environ |= of_others()
    try:
        deployment = Deployment.from_environment()
        if given.what == "down":
            return down_all(deployment)
        services = Services.of(deployment)
        return up(services) if given.what == "up" else hold(services)
    except (BadSetting, NotReady, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # `down` is asked again: what it has begun to end is not left half ended.
        return (down_all(deployment) if given.what == "down" else 0) or 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
