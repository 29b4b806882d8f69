"""Airflow's API server, after the administrator's password went from the environment into the file that Airflow reads it from."""

from __future__ import annotations

import json
import os
from pathlib import Path


def write_passwords(path: Path, password: str) -> None:
    """Only this user can read the file; without it Airflow would make a password up and print it to the log."""
    if not password:
        raise SystemExit("AIRFLOW_ADMIN_PASSWORD is empty: run make compose-env")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"admin": password}, file)


if __name__ == "__main__":
    write_passwords(Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]), os.environ.pop("AIRFLOW_ADMIN_PASSWORD", ""))
    os.execvp("airflow", ["airflow", "api-server"])
