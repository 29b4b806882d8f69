"""Drift in a real Airflow: the run's note says it in words, and the asset's event."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pomona_airflow.deployment import Deployment
from run.airflow_home import BIN, AirflowHome

NOTICED = Path(__file__).with_name("noticed")
# On an idle machine 15 s.
LIMIT_S = 150


# As the scheduler does it, which alone may write a note: within its session.
ENDED = """
import airflow.settings
from airflow.listeners.listener import get_listener_manager
from airflow.models.dagrun import DagRun
from sqlalchemy import select

session = airflow.settings.Session()
run = session.scalars(select(DagRun)).one()
get_listener_manager().hook.on_dag_run_success(dag_run=run, msg="success")
session.commit()
"""


@pytest.mark.heavy
def test_a_run_in_which_drift_began_says_so_in_its_note_and_to_who_waits_for_the_asset(tmp_path: Path) -> None:
    settings = {"POMONA_LAKE": str(tmp_path / "lake"), "POMONA_NAME": "fruit", "POMONA_STATE": str(tmp_path)}
    home = AirflowHome.of(tmp_path / "airflow", Deployment.from_environment(settings), core__dags_folder=str(NOTICED))
    home.migrate()
    environment = {**home.environment, **settings}
    for command in ([BIN / "airflow", "dags", "test", "score"], [sys.executable, "-c", ENDED]):
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with sqlite3.connect(tmp_path / "airflow" / "airflow.db") as database:
        notes = database.execute("SELECT content FROM dag_run_note").fetchall()
        events = database.execute("SELECT extra FROM asset_event").fetchall()
    words = "drift began with 200 pictures, 2.0 times as far from training as is usual: the pictures themselves have changed"
    assert notes == [(f"{words} (darker than in training)",)]
    assert [json.loads(extra) for (extra,) in events] == [{"payload": {"started_by": "drift: darker than in training"}}]
