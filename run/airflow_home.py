"""An Airflow of one's own: its home, its settings and its database, in a folder of the state folder."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pomona_airflow.deployment import PROJECT, Deployment

BIN = Path(sys.executable).parent
HOST = "127.0.0.1"


@dataclass(frozen=True)
class AirflowHome:
    """The folder, and the variables that make any `airflow` command work in it."""

    folder: Path
    variables: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, deployment: Deployment, **settings: str) -> AirflowHome:
        """A home for this deployment; `settings` as `section__key`, beside those that every home has."""
        folder.mkdir(parents=True, exist_ok=True)
        every = {
            "core__dags_folder": str(PROJECT / "dags"),
            "core__plugins_folder": str(PROJECT / "plugins"),
            "core__load_examples": "False",
            "core__executor": "LocalExecutor",
            # A laptop's two or four cores, one run at a time: each idle worker is 100 MB.
            "core__parallelism": "2",
            "database__sql_alchemy_conn": f"sqlite:///{folder / 'airflow.db'}",
            "logging__base_log_folder": str(folder / "logs"),
            "dag_processor__refresh_interval": "60",
            "usage_data_collection__enabled": "False",
        }
        variables = {f"AIRFLOW__{name.upper()}": value for name, value in {**every, **settings}.items()}
        # Airflow works in its own folder, where a relative place would be another one than where the command was given.
        pomona = {
            "POMONA_NAME": deployment.name,
            "POMONA_LANDING": deployment.landing,
            "POMONA_LABELS": deployment.labels or "none",
            "POMONA_UNLABELLED": deployment.unlabelled or "none",
            "POMONA_LAKE": deployment.lake,
            "POMONA_TRACKING": deployment.tracking,
            "POMONA_STATE": str(deployment.state),
            "POMONA_SPARK_EVENTS": deployment.spark_events or "none",
            "POMONA_S3_JARS": str(deployment.s3_jars),
        }
        return cls(folder, {"AIRFLOW_HOME": str(folder), **variables, **pomona, "PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore"})

    @classmethod
    def with_pages(cls, folder: Path, deployment: Deployment, port: int, **settings: str) -> AirflowHome:
        """A home whose pages answer on this port of 127.0.0.1, without a login: nobody but this machine's users gets there."""
        url = f"http://{HOST}:{port}"
        pages = {
            "api__host": HOST,
            "api__port": str(port),
            "api__base_url": url,
            "api__workers": "1",
            "core__execution_api_server_url": f"{url}/execution/",
            "core__auth_manager": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "core__simple_auth_manager_all_admins": "True",
            "dag_processor__parsing_processes": "1",
        }
        return cls.of(folder, deployment, **{**pages, **settings})

    @property
    def environment(self) -> dict[str, str]:
        """The process's environment with the home's variables over it; of another Airflow's only connections shine through."""
        # Without bytecode every process would compile Airflow anew, for 2 s.
        hidden = ("AIRFLOW", "PYTHONDONTWRITEBYTECODE")
        seen = {name: value for name, value in os.environ.items() if not name.startswith(hidden) or name.startswith("AIRFLOW_CONN_")}
        return {**seen, **self.variables}

    @property
    def migrated(self) -> Path:
        """A file that says that the database fits this Airflow."""
        return self.folder / f"migrated-{importlib.metadata.version('apache-airflow')}"

    def migrate(self) -> None:
        """Makes the database, or brings it up to this Airflow; nothing when it fits.

        Raises
        ------
        RuntimeError
            With the last line of what Airflow said, and the file that has the rest.
        """
        if self.migrated.exists() and (self.folder / "airflow.db").exists():
            return
        log = self.folder / "migrate.log"
        with log.open("w") as out:
            code = subprocess.run([BIN / "airflow", "db", "migrate"], env=self.environment, stdout=out, stderr=out, check=False).returncode
        if code:
            last = (log.read_text(errors="replace").strip() or "no output").splitlines()[-1]
            raise RuntimeError(f"Airflow's database {self.folder / 'airflow.db'} could not be made: {last} (all of it: {log})")
        self.migrated.touch()


def use_airflow(deployment: Deployment) -> None:
    """Makes this process a part of the Airflow that is there, or of that of `make up`: connections are looked up in it."""
    if "AIRFLOW_HOME" in os.environ:
        there = True
    else:
        home = AirflowHome.of(deployment.state / "up" / deployment.name, deployment)
        os.environ |= home.environment
        there = home.migrated.exists()
    if there:
        # Airflow's own word for "may read the database"; without it only the environment is asked for connections.
        os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
