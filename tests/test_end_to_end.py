"""The whole chain as a user runs it: through `airflow dags test`, spark-submit and MLflow, and once more with nothing new."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, SMALL


@pytest.fixture
def name(tmp_path: Path):
    """A name of this test's own; what `make run` keeps for it is removed. Spark's class archive stays shared."""
    name = f"e2e-{os.getpid()}"
    yield name
    shutil.rmtree(PROJECT / ".pomona" / "run" / name, ignore_errors=True)


def make_run(name: str, folder: Path, landing: Path, **knobs: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "POMONA_NAME": name,
        "POMONA_LAKE": str(folder / "lake"),
        "POMONA_TRACKING": f"sqlite:///{folder}/mlflow.db",
        "POMONA_SPARK_MEMORY": "1g",
    }
    command = [sys.executable, "-m", "run.chain", "--images", str(landing), "--knobs", json.dumps(knobs)]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


def test_a_folder_of_pictures_becomes_a_registered_champion(name, tmp_path, landing):
    first = make_run(name, tmp_path, landing, **SMALL)
    assert first.returncode == 0, first.stdout + first.stderr
    for said in ("60 in, 60 kept, 0 rejected, 1 ignored", f"{name} version 1, now champion", "promote: the first model"):
        assert said in first.stdout
    (summary,) = (tmp_path / "lake" / name / "runs").glob("*/summary.json")
    document = json.loads(summary.read_text())
    assert (document["summary"], document["model"]["version"], document["model"]["champion"]) == (1, 1, True)
    assert document["counts"]["kept"] == 60
    assert document["started_by"].split(" ")[0] == "person"
    for file in document["files"].values():
        assert (summary.parent / file).exists(), file
    features = (summary.parent / "features.csv").read_text().splitlines()
    assert len(features) == 61
    assert features[0].replace('"', "").startswith("image,label,split,group,f0,f1")

    second = make_run(name, tmp_path, landing, **SMALL)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "nothing new: pictures, knobs, code and champion (version 1)" in second.stdout


def test_bad_pictures_and_bad_knobs_are_one_line_and_exit_code_2(name, tmp_path, landing):
    missing = make_run(name, tmp_path, tmp_path / "nowhere")
    assert (missing.returncode, missing.stderr.strip()) == (2, f"IMAGES={tmp_path}/nowhere: there is no such folder")
    wild = make_run(name, tmp_path, landing, n_words=99_999)
    assert (wild.returncode, "n_words=99999 is out of bounds (0 to 20,000)" in wild.stderr) == (2, True)
    assert "Traceback" not in missing.stderr + wild.stderr
