"""What the engines that submit have in common: a stage is a spark-submit in client mode from this machine, on a leash (see `leash`)."""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException

from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.spark import leash
from pomona_airflow.spark.s3a import event_log, s3a
from pomona_airflow.spark.spark_home import CONF, SparkHome, home_of

APPLICATION = PROJECT / "spark_jobs" / "run_stage.py"
# The JVM says this before any logging of its own can be told to be quiet.
_NOISE = "WARNING: Using incubator modules: jdk.incubator.vector"


class LeashedSubmit(SparkSubmitHook):
    """The provider's hook, with its connection given and its spark-submit on a leash."""

    def __init__(self, *, connection: Connection, submit: Path, **options: Any) -> None:
        self.submit_path = submit
        self._given = connection
        super().__init__(conn_id=connection.conn_id, deploy_mode="client", **options)

    def get_connection(self, conn_id: str) -> Connection:  # type: ignore[override]
        """The given one: one that the hook looks up and does not find would silently mean YARN."""
        return self._given

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


class SubmitEngine(ABC):
    """Runs one stage at a time; what any engine has to offer is `run` and `kill`."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.hook: LeashedSubmit | None = None

    @abstractmethod
    def connection(self) -> Connection:
        """The connection that names the master.

        Raises
        ------
        NotReady
            When there is none that fits.
        """

    @abstractmethod
    def conf(self, connection: Connection) -> dict[str, str]:
        """Spark's settings beside those that every engine has.

        Raises
        ------
        NotReady
            When the connection brings some that cannot be used.
        """

    def options(self) -> dict[str, Any]:
        """More of the hook's own options."""
        return {}

    def variables(self, home: SparkHome) -> Mapping[str, str]:
        """What the driver's environment has beside this process's own."""
        return home.environment()

    def run(self, job: str, words: list[str], *, application: Path = APPLICATION) -> int:
        """The exit code of the application after its output went to the task's log, line by line.

        Raises
        ------
        NotReady
            Before anything starts, when Java, jars or the connection are missing.
        """
        home, connection = home_of(self.deployment), self.connection()
        self.hook = LeashedSubmit(
            connection=connection,
            submit=home.submit,
            name=job,
            conf=self._conf(connection),
            driver_memory=self.deployment.spark_memory,
            application_args=words,
            **self.options(),
        )
        try:
            self.hook.submit(
                str(application),
                start_new_session=True,
                cwd=self.deployment.state,
                # Not by the hook's env_vars: for Kubernetes and YARN it makes arguments of them.
                env={**os.environ, **self.variables(home)},
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

    def _conf(self, connection: Connection) -> dict[str, str]:
        deployment = self.deployment
        page = {"spark.ui.enabled": str(deployment.spark_ui).lower()}
        return CONF | page | event_log(deployment) | s3a(deployment) | self.conf(connection)
