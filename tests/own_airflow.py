"""An Airflow home for the tests, set before anything imports Airflow: the user's own is never read or written."""

from __future__ import annotations

import os
import tempfile


def use() -> None:
    """Points this process, and those that it starts, to a home in the temporary folder."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "POMONA_")) and name != "POMONA_REAL_IMAGES"]:
        del os.environ[name]
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="pomona-tests-airflow-")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{os.environ['AIRFLOW_HOME']}/airflow.db"
