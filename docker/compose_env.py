"""`make compose-env`: the secrets that docker-compose.yaml asks for, drawn at random and written to `.env`, which only you can read.

A value that stands there is never changed: the databases in the volumes know it. What is missing is added at the end.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / ".env"
SECRETS: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(24),
    "AIRFLOW_DB_PASSWORD": lambda: secrets.token_hex(24),
    "MLFLOW_DB_PASSWORD": lambda: secrets.token_hex(24),
    "AIRFLOW_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(15),
    "AIRFLOW_FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "AIRFLOW_JWT_SECRET": lambda: secrets.token_hex(48),
    "S3_ACCESS_KEY": lambda: secrets.token_hex(10),
    "S3_SECRET_KEY": lambda: secrets.token_hex(20),
}


def write(file: Path) -> list[str]:
    """The names that were added to the file, which is made where there is none."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    known = {name.strip() for name, equals, value in (line.partition("=") for line in text.splitlines()) if equals and value.strip()}
    missing = [name for name in SECRETS if name not in known]
    if missing:
        lines = ["# Made by make compose-env for docker-compose.yaml.", *(f"{name}={SECRETS[name]()}" for name in missing)]
        if text and not text.endswith("\n"):
            text += "\n"
        spare = file.with_name(f"{file.name}.new")
        with os.fdopen(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as new:
            new.write(text + "\n".join(lines) + "\n")
        spare.replace(file)
    file.chmod(0o600)
    return missing


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    added = write(file)
    print(f"{file}: {', '.join(added)} added" if added else f"{file} has all that docker compose needs: nothing changed")
