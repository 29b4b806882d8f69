"""A landing folder, and a trigger in no hurry to rest. Airflow's home is the tests' own before anything imports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import own_airflow

own_airflow.use()

from pomona_airflow import landing_trigger  # noqa: E402


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks may follow each other at once: the tests have no minutes."""
    monkeypatch.setattr(landing_trigger, "_LEAST_S", 0.02)
    monkeypatch.setattr(landing_trigger, "_REST_PER_LOOK", 0)


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "landing" / "Training" / "a").mkdir(parents=True)
    return {"dag_id": "retrain", "landing": str(tmp_path / "landing"), "lake": str(tmp_path / "lake"), "name": "n", "s3": "{}"}
