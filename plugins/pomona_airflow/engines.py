"""The engine of a deployment: one small file for each, imported only where it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from pomona_airflow.deployment import ON_AWS, Deployment


def engine_of(deployment: Deployment) -> Any:
    """A `SubmitEngine` (the stage runs with its task) or a `RemoteEngine` (it runs on AWS)."""
    room, name = "emr" if deployment.engine in ON_AWS else "spark", deployment.engine.replace("-", "_")
    return importlib.import_module(f"pomona_airflow.{room}.engine_{name}").Engine(deployment)
