"""What MLflow says of the champion, asked in a process of its own: `python -m serving.registry NAME TRACKING`.

MLflow's import takes seconds and 200 MB, and a server that is away holds whoever asks it for as long: the process that answers
requests does neither. It replies to LOOK with the champion's number, and to FETCH with the version's run after its files were laid down.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from serving.worker import Handle, Reply, obey

log = logging.getLogger("serving.registry")
LOOK, FETCH = b"l", b"f"
ALIAS = "champion"


def registry(name: str, tracking: str) -> Handle:
    """Replies to LOOK (`version`, null without a champion) and FETCH (`run`); `problem` where MLflow cannot be asked."""
    client = _client(tracking) if _has_store(tracking) else None

    def handle(kind: bytes, data: bytes) -> Reply:
        nonlocal client
        if client is None:
            if not _has_store(tracking):
                return {"version": None}
            client = _client(tracking)
        try:
            return {"version": _champion(client, name)} if kind == LOOK else _fetched(client, name, **json.loads(data))
        except Exception:
            # The reason stays in the log: it may hold the address, and the address a password.
            log.exception("MLflow cannot be asked")
            return {"problem": "the service's log says why"}

    return handle


def _champion(client: Any, name: str) -> int | None:
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(name).aliases.get(ALIAS)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return None if found is None else int(found)


def _fetched(client: Any, name: str, *, version: int, folder: str) -> Reply:
    """The version's run, after its model folder was laid down in `folder`, which exists and is empty."""
    from mlflow.artifacts import download_artifacts

    run = client.get_model_version(name, str(version)).tags.get("pomona.run", "")
    download_artifacts(f"models:/{name}/{version}", dst_path=folder)
    return {"run": run}


def _has_store(tracking: str) -> bool:
    """False where asking would make MLflow create an empty database."""
    return not tracking.startswith("sqlite:///") or Path(tracking.removeprefix("sqlite:///")).is_file()


def _client(tracking: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # A server that does not answer is asked again by the next look; MLflow's own seven attempts would hold this one for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    import mlflow

    mlflow.set_tracking_uri(tracking)
    mlflow.set_registry_uri(tracking)
    return mlflow.MlflowClient(tracking, tracking)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s:     %(message)s")
    obey(lambda: registry(sys.argv[1], sys.argv[2]))
