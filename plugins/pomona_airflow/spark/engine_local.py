"""The engine `local`: driver and executors are one JVM on this machine."""

from __future__ import annotations

from airflow.sdk import Connection

from pomona_airflow.spark.spark_home import LOOPBACK
from pomona_airflow.spark.submit import SubmitEngine


class Engine(SubmitEngine):
    """Runs a stage with as many threads as the deployment says."""

    def connection(self) -> Connection:
        master = f"local[{self.deployment.spark_cores}]"
        return Connection(conn_id=master, conn_type="spark", host=master)

    def conf(self, connection: Connection) -> dict[str, str]:
        return LOOPBACK
