"""The engine `local`: a stage is a spark-submit in client mode on this machine, on a leash (see `leash`)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException

from pomona_airflow import leash
from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.spark_home import LOCAL_CONF, prepared

APPLICATION = PROJECT / "spark_jobs" / "run_stage.py"
# The JVM says this before any logging of its own can be told to be quiet.
_NOISE = "WARNING: Using incubator modules: jdk.incubator.vector"


class LeashedSubmit(SparkSubmitHook):
    """The provider's hook, with its connection given and its spark-submit on a leash."""

    def __init__(self, *, master: str, submit: Path, **options: Any) -> None:
        self.submit_path = submit
        super().__init__(conn_id=master, deploy_mode="client", **options)

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        """A connection whose id is its master: one that nobody had made would silently mean YARN."""
        return Connection(conn_id=conn_id, conn_type="spark", host=conn_id)

    def _get_spark_binary_path(self) -> list[str]:
        return [sys.executable, str(Path(leash.__file__)), str(os.getpid()), str(self.submit_path)]

    def _process_spark_submit_log(self, itr: Iterator[Any]) -> None:
        """Logs each line with its indentation; the provider's own reading looks for ids of clusters."""
        for line in itr:
            if line.strip() != _NOISE:
                self.log.info(line.rstrip())

    @property
    def process(self) -> subprocess.Popen[str] | None:
        return self._submit_sp

    def on_kill(self) -> None:
        """Ends the whole session: spark-submit, JVM, Python driver, daemon and workers."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=leash.GRACE_S + 2)
        except subprocess.TimeoutExpired:
            self.process.kill()
        leash.end(self.process.pid, grace_s=0)


class Engine:
    """Runs one stage at a time; what another engine (a cluster, a cloud) has to offer too is `run` and `kill`."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.hook: LeashedSubmit | None = None

    def run(self, job: str, words: list[str], *, application: Path = APPLICATION) -> int:
        """The exit code of the application after its output went to the task's log, line by line."""
        home = prepared(self.deployment.state)
        self.hook = LeashedSubmit(
            master=f"local[{self.deployment.spark_cores}]",
            submit=home.submit,
            name=job,
            conf=self._conf(),
            env_vars=home.environment(),
            driver_memory=self.deployment.spark_memory,
            application_args=words,
        )
        try:
            self.hook.submit(
                str(application),
                start_new_session=True,
                cwd=self.deployment.state,
                stdin=subprocess.DEVNULL,
                encoding="utf-8",
                errors="replace",
            )
        except AirflowException:
            if self.hook.process is None or not self.hook.process.returncode:
                raise
        finally:
            # The leash itself may have been killed.
            if self.hook.process is not None:
                leash.end(self.hook.process.pid)
        return self.hook.process.returncode if self.hook.process else 1

    def kill(self) -> None:
        """Ends the running stage and every process of it; returns when they are gone."""
        if self.hook is not None:
            self.hook.on_kill()

    def _conf(self) -> dict[str, str]:
        conf = dict(LOCAL_CONF)
        conf["spark.ui.enabled"] = str(self.deployment.spark_ui).lower()
        conf["spark.sql.warehouse.dir"] = str(self.deployment.state / "warehouse")
        if self.deployment.spark_events:
            conf |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": self.deployment.spark_events}
        return conf
