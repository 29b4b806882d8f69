"""The Airflow of a command: it works over the deployment that the command was given, wherever its own folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pomona_airflow.deployment import Deployment
from run.airflow_home import AirflowHome

RELATIVE = {name: f"here/{name.lower()}" for name in ("LANDING", "LABELS", "UNLABELLED", "LAKE", "STATE", "SPARK_EVENTS", "S3_JARS")}


@pytest.mark.parametrize(
    "given", [{}, RELATIVE, {"LANDING": "s3://bucket"}, dict.fromkeys(("LABELS", "UNLABELLED", "SPARK_EVENTS"), "none")]
)
def test_airflow_reads_the_places_that_the_command_was_given(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {f"POMONA_{name}": value for name, value in given.items()}
    monkeypatch.chdir(tmp_path)
    told = Deployment.from_environment(settings)
    home = AirflowHome.of(tmp_path / "airflow", told)
    monkeypatch.chdir(home.folder)
    assert Deployment.from_environment({**settings, **home.variables}) == told
