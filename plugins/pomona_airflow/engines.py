"""The engine of a deployment: one small file for each, imported only where it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from pomona_airflow.deployment import Deployment


def engine_of(deployment: Deployment) -> Any:
    """A `SubmitEngine` (the stage runs with its task) or a `RemoteEngine` (it runs on AWS)."""
    return importlib.import_module(f"pomona_airflow.engine_{deployment.engine.replace('-', '_')}").Engine(deployment)
