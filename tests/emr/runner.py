"""Takes each waiting step and submitted job run of the stand-in, runs its own spark-submit on a node, and sets the state that comes of it.

A step's application is a process of its own: cancelling the step leaves it alive, as on YARN in cluster mode; the end of the cluster does
not. A job run that is cancelled is ended. Drivers' logs go, packed, to the log folder.
"""

from __future__ import annotations

import gzip
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pomona_airflow.spark import leash
from tests.emr.aws import Account
from tests.emr.node import Node
from tests.emr.on_ec2 import LIVE
from tests.emr.submission import BadSubmission, Submission

_LOOK_S = 0.1
# What a worker of EMR Serverless is billed with here, whatever it was.
_VCPU, _MEMORY_GB = 4.0, 16.0


@dataclass
class Application:
    """One driver with all below it: of a step (`cluster` and `step`) or of a job run (`run`)."""

    number: int
    submission: Submission
    folder: Path
    process: subprocess.Popen[bytes]
    cluster: Any = None
    step: Any = None
    run: Any = None
    ended: bool = False

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """Ends driver, JVM, executors and workers at once."""
        leash.end(self.process.pid, grace_s=0)
        self.process.wait()

    def below(self) -> list[psutil.Process]:
        """The live processes of this application."""
        return [psutil.Process(pid) for pid in leash.members(self.process.pid)]

    @property
    def name(self) -> str:
        """As YARN counts applications."""
        return f"application_1_{self.number:04d}"


@dataclass
class Runner:
    """Runs what the account has to run until it is stopped; `applications` are all that it started, the first one first.

    `faults` says what becomes of the next ones: "lost" (said to be done, never run) or "refused" (failed before it ran).
    """

    account: Account
    node: Node
    paused: bool = False
    faults: list[str] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def start(self) -> Runner:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends everything that it started.

        Raises
        ------
        AssertionError
            When the runner itself came to grief meanwhile.
        """
        self._stop.set()
        self._thread.join()
        for one in self.applications:
            one.end()
        assert not self.errors, self.errors

    @property
    def live(self) -> list[Application]:
        return [one for one in self.applications if one.alive]

    def _loop(self) -> None:
        try:
            while not self._stop.wait(_LOOK_S):
                self._turn()
        except BaseException as error:
            self.errors.append(error)
            raise

    def _turn(self) -> None:
        for one in self.applications:
            if not one.ended:
                self._look_after(one)
        if not self.paused:
            for cluster in self.account.ec2.clusters("WAITING", "RUNNING"):
                self._next_steps(cluster)
            for run in self.account.serverless.job_runs("SUBMITTED"):
                self.account.serverless.set_run(run, "RUNNING")
                self._begin(run=run)

    def _next_steps(self, cluster: Any) -> None:
        """As many steps at a time as the cluster's concurrency allows."""
        with self.account.lock:
            running = [step for step in cluster.steps if step.state == "RUNNING"]
            pending = [step for step in cluster.steps if step.state == "PENDING"]
            begun = pending[: max(0, int(cluster.step_concurrency_level or 1) - len(running))]
            for step in begun:
                self.account.ec2.set_step(step, "RUNNING")
            if cluster.state in LIVE:
                cluster.state = "RUNNING" if running or pending else "WAITING"
        for step in begun:
            self._begin(cluster=cluster, step=step)

    def _begin(self, cluster: Any = None, step: Any = None, run: Any = None) -> None:
        fault = self.faults.pop(0) if self.faults else ""
        if fault:
            self._settle(step, run, "" if fault == "lost" else "it could not be started")
            return
        try:
            submission = Submission.of_step(step.args) if step else Submission.of_job_run(run.name, run.job_driver)
        except BadSubmission as error:
            self._settle(step, run, str(error))
            return
        number = len(self.applications) + 1
        folder = self.node.folder / "containers" / f"{number:04d}"
        process = self.node.begin(submission, folder)
        self.applications.append(Application(number, submission, folder, process, cluster, step, run))

    def _settle(self, step: Any, run: Any, failure: str) -> None:
        """The end of what is still said to run; cancelled ones stay cancelled."""
        with self.account.lock:
            if step is not None and step.state == "RUNNING":
                self.account.ec2.set_step(step, "FAILED" if failure else "COMPLETED", failure)
            if run is not None and run.state == "RUNNING":
                self.account.serverless.set_run(run, "FAILED" if failure else "SUCCESS", failure, vcpu=_VCPU, memory_gb=_MEMORY_GB)

    def _look_after(self, one: Application) -> None:
        if one.cluster is not None and one.cluster.state not in LIVE:
            one.end()
        if one.run is not None and one.run.state == "CANCELLING":
            one.end()
            self.account.serverless.set_run(one.run, "CANCELLED", "cancelled by a request", vcpu=_VCPU, memory_gb=_MEMORY_GB)
        if not one.alive:
            one.end()
            one.ended = True
            self._keep_logs(one)
            code = one.process.returncode
            # What ended with its cluster, the cluster's end says.
            if one.cluster is None or one.cluster.state in LIVE:
                self._settle(one.step, one.run, f"exit code {code}" if code else "")

    def _keep_logs(self, one: Application) -> None:
        """The driver's output, and what a step's spark-submit says of it, where EMR puts them."""
        driver = {name: (one.folder / name).read_bytes() for name in ("stdout", "stderr")}
        if one.run is not None:
            monitoring = (one.run.configuration_overrides or {}).get("monitoringConfiguration", {})
            root = monitoring.get("s3MonitoringConfiguration", {}).get("logUri", "")
            files = {f"applications/{one.run.application_id}/jobs/{one.run.id}/SPARK_DRIVER/{name}": text for name, text in driver.items()}
        else:
            root, container = one.cluster.log_uri, one.name.replace("application", "container") + "_01_000001"
            files = {f"{one.cluster.id}/containers/{one.name}/{container}/{name}": text for name, text in driver.items()}
            files[f"{one.cluster.id}/steps/{one.step.id}/stderr"] = f"INFO Client: Submitted application {one.name}\n".encode()
        if root:
            bucket, _, key = root.removeprefix("s3://").rstrip("/").partition("/")
            for name, text in files.items():
                self.node.s3.client().put_object(Bucket=bucket, Key=f"{key}/{name}.gz", Body=gzip.compress(text))
