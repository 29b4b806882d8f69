"""The question before a promotion in a real Airflow: `airflow dags test` does not wait for an answer that nobody can give."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pomona_airflow.deployment import Deployment
from run.airflow_home import BIN, AirflowHome

ASKED = Path(__file__).with_name("asked")
# On an idle machine 15 s; waiting for an answer it would go on for ever.
LIMIT_S = 150


@pytest.mark.heavy
def test_dags_test_ends_although_a_promotion_needs_an_answer(tmp_path: Path) -> None:
    settings = {
        "POMONA_LAKE": str(tmp_path / "lake"),
        "POMONA_NAME": "fruit",
        "POMONA_STATE": str(tmp_path),
        "POMONA_REQUIRE_APPROVAL": "true",
    }
    home = AirflowHome.of(tmp_path / "airflow", Deployment.from_environment(settings), core__dags_folder=str(ASKED))
    home.migrate()
    command = [BIN / "airflow", "dags", "test", "retrain"]
    environment = {**home.environment, **settings}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = (tmp_path / "lake" / "fruit" / "told.txt").read_text()
    assert told == "not approved, for nobody can be asked in a run of `make run` or `airflow dags test`"
