"""What a stage's spark-submit says on EMR, on EC2 as on Serverless: Spark's settings, and the Python that came in the archive."""

from __future__ import annotations

import re

from pomona_airflow.deployment import Deployment
from pomona_airflow.spark.s3a import event_log, settings
from pomona_airflow.spark.spark_home import CONF

# As YARN and Serverless unpack what is called so behind the #.
ENVIRONMENT = "environment"
PYTHON = f"./{ENVIRONMENT}/bin/python"
# EMR finds credentials, buffers and retries for itself; only what a deployment says is said.
_OURS = re.compile(r"endpoint|endpoint\.region|path\.style\.access|connection\.ssl\.enabled|encryption\.\w+")
_S3A = "spark.hadoop.fs.s3a."


def conf(deployment: Deployment, *, cores: int) -> dict[str, str]:
    """Spark's settings that both kinds of EMR share, for so many cores at most."""
    s3 = {name: value for name, value in settings(deployment.s3).items() if _OURS.fullmatch(name.removeprefix(_S3A))}
    return {
        **{name: value for name, value in CONF.items() if not name.startswith("spark.ui.")},
        "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
        # Tasks follow the machines that may come, not the one executor that is there at first.
        "spark.default.parallelism": str(cores),
        "spark.driver.memory": deployment.spark_memory,
        "spark.executor.memory": deployment.spark_executor_memory,
        # NumPy, OpenCV and faiss work outside the JVM.
        "spark.executor.memoryOverheadFactor": "0.6",
        "spark.driver.memoryOverhead": "3g",
        **(s3 if deployment.s3.endpoint or deployment.s3.encryption or deployment.s3.region else {}),
        **event_log(deployment),
    }


def flags(conf: dict[str, str]) -> list[str]:
    """The settings as spark-submit's arguments."""
    return [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]


def vcpus(instance_type: str) -> int:
    """How many vCPUs an instance of the type has, by its size: large 2, xlarge 4, 2xlarge 8; 4 where the size says nothing."""
    size = instance_type.rpartition(".")[2]
    times = re.fullmatch(r"(\d*)xlarge", size)
    return 4 * int(times[1] or 1) if times else 2 if size == "large" else 4
