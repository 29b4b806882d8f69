"""`make history`: Spark's history server over the event logs of this deployment's stages, on loopback, until Ctrl-C."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pomona_airflow.deployment import Deployment, NotReady, of_others
from pomona_airflow.settings.checks import BadSetting
from pomona_airflow.spark.s3a import event_log, s3a
from pomona_airflow.spark.spark_home import SparkHome, home_of
from run.services import taken_by

_SERVER = "org.apache.spark.deploy.history.HistoryServer"


def main() -> None:
    """Becomes the history server; ends with a line on what is missing when it cannot."""
    os.environ |= of_others()
    try:
        deployment = Deployment.from_environment()
        # Spark itself would go on to the next port, and the address below would be another server's.
        if taken := taken_by("POMONA_HISTORY_PORT", deployment.history_port):
            raise NotReady(taken)
        home = home_of(deployment)
        settings = options(deployment)
    except (BadSetting, NotReady) as error:
        sys.exit(str(error))
    print(
        f"Spark's pages of past stages: http://127.0.0.1:{deployment.history_port} (a new one shows after some seconds; Ctrl-C ends this)"
    )
    sys.stdout.flush()
    environment = home.environment()
    # The server is started by another script than a stage, which knows these options by another name.
    daemon = {"SPARK_DAEMON_JAVA_OPTS": environment["SPARK_SUBMIT_OPTS"], "SPARK_DAEMON_MEMORY": "1g"}
    os.execve(command(home)[0], command(home), {**os.environ, **environment, **daemon, **settings})


def command(home: SparkHome) -> list[str]:
    return [str(home.folder / "bin" / "spark-class"), _SERVER]


def options(deployment: Deployment) -> dict[str, str]:
    """The server's settings as its variables.

    Raises
    ------
    NotReady
        When the deployment keeps no event logs, or their place cannot be reached.
    """
    place = event_log(deployment).get("spark.eventLog.dir")
    if not place:
        raise NotReady("this deployment keeps no event logs: set POMONA_SPARK_EVENTS to a folder and run a stage, or see EMR's console")
    conf = {
        **s3a(deployment),
        "spark.history.fs.logDirectory": place if "://" in place else Path(place).as_uri(),
        "spark.history.ui.port": str(deployment.history_port),
        "spark.history.fs.update.interval": "5s",
        # What is older than a month goes when the server looks.
        "spark.history.fs.cleaner.enabled": "true",
        "spark.history.fs.cleaner.maxAge": "30d",
    }
    return {"SPARK_HISTORY_OPTS": " ".join(f"-D{name}={value}" for name, value in conf.items())}


if __name__ == "__main__":
    main()
