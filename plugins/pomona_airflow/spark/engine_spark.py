"""The engine `spark`: the driver runs with the task, the executors on the cluster that an Airflow connection names."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException

from pomona_airflow.code_zip import code_zip
from pomona_airflow.deployment import NotReady
from pomona_airflow.spark.s3_jars import needed
from pomona_airflow.spark.spark_home import SparkHome
from pomona_airflow.spark.submit import SubmitEngine

_MASTER = re.compile(r"spark://[^/\s]+:\d+|k8s://\S+|yarn")
# As Spark itself tells what it must not show.
_SECRET = re.compile(r"secret|password|token|access\.?key", re.IGNORECASE)
_EXAMPLE = """{"conn_type":"spark","host":"spark://master:7077"}"""


class NoMaster(NotReady):
    """No Airflow connection names a cluster that can be used."""


class Engine(SubmitEngine):
    """Runs a stage on the cluster of the deployment's connection."""

    def connection(self) -> Connection:
        name = self.deployment.spark_connection
        try:
            found: Connection = Connection.get(name)
        except AirflowException:
            raise NoMaster(f"there is no Airflow connection {name}: set AIRFLOW_CONN_{name.upper()}='{_EXAMPLE}'") from None
        master, extra = master_of(found), found.extra_dejson
        if not _MASTER.fullmatch(master):
            raise NoMaster(
                f"the Airflow connection {name} leads to {master!r}, which is none of spark://host:port, yarn and k8s://: try '{_EXAMPLE}'"
            )
        if extra.get("deploy-mode", "client") != "client":
            raise NoMaster(
                f"the Airflow connection {name} asks for deploy-mode {extra['deploy-mode']}: take it out, the driver runs with the task"
            )
        return found

    def conf(self, connection: Connection) -> dict[str, str]:
        """The deployment's settings, and over them the `conf` of the connection's extra: a Kubernetes image, a YARN queue's limits."""
        deployment, more = self.deployment, connection.extra_dejson.get("conf", {})
        secret = [name for name in more if _SECRET.search(name)]
        if secret:
            raise NoMaster(
                f"the Airflow connection {connection.conn_id} has {secret[0]} in its extra conf, which every process list would show: "
                "put it into the spark-defaults.conf of the cluster's machines"
            )
        conf = {"spark.executor.memory": deployment.spark_executor_memory}
        if deployment.spark_driver_host:
            conf["spark.driver.host"] = deployment.spark_driver_host
        if deployment.spark_cores != "*":
            # The first is a standalone master's; the two others are what YARN and Kubernetes count in.
            standalone = master_of(connection).startswith("spark://")
            one_each = {"spark.executor.instances": deployment.spark_cores, "spark.executor.cores": "1"}
            conf |= {"spark.cores.max": deployment.spark_cores} if standalone else one_each
        return conf | {name: str(value) for name, value in more.items()}

    def options(self) -> dict[str, Any]:
        """The code and the jars go to the executors from the driver."""
        jars = ",".join(str(jar) for jar in needed(self.deployment))
        return {"py_files": str(code_zip(self.deployment.state / "code")), "jars": jars or None}

    def variables(self, home: SparkHome) -> Mapping[str, str]:
        host = self.deployment.spark_driver_host
        python = {"PYSPARK_PYTHON": self.deployment.spark_python or sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
        return {**home.environment(local=False), **python, **({"SPARK_LOCAL_HOSTNAME": host} if host else {})}


def master_of(connection: Connection) -> str:
    """The master that the connection means, read as the provider reads it."""
    host = connection.host or ""
    master = (
        host if connection.conn_type == "spark" and host and ("://" in host or not connection.port) else f"{connection.conn_type}://{host}"
    )
    return f"{master}:{connection.port}" if connection.port else master
