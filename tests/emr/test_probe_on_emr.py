"""`make check-settings` on AWS: its job goes through a given cluster and through Serverless as a stage does, and leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.emr.conftest import NAME, Place

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

# MLflow's server is one of this machine here, which the check before the probe would refuse.
PROGRAM = """
from pomona_airflow.deployment import Deployment
from run import check_settings
print(check_settings.probe(Deployment.from_environment()))
"""


def probed(here: Place) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM], cwd=PROJECT, env=here.environment, capture_output=True, text=True, check=False)


def test_the_probe_finds_lake_landing_and_mlflow_from_serverless(place: Any) -> None:
    here: Place = place(POMONA_ENGINE="emr-serverless")
    done = probed(here)
    assert done.returncode == 0, done.stderr
    assert "and MLflow reach each other" in done.stdout
    ((name, state),) = here.steps()
    # EMR Serverless takes a second job run of a name for the first, so each probe has its own.
    assert re.fullmatch(rf"pomona-{NAME}-probe-\d{{19}}", name)
    assert state == "SUCCESS"
    assert here.lake.folders("runs") == []


def test_the_probe_is_a_step_of_a_given_cluster(place: Any) -> None:
    here: Place = place(POMONA_ENGINE="emr")
    given = here.account.client("emr").run_job_flow(
        Name="theirs",
        ReleaseLabel="emr-7.13.0",
        JobFlowRole="j",
        ServiceRole="s",
        Instances={
            "InstanceFleets": [
                {"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}]}
            ],
            "KeepJobFlowAliveWhenNoSteps": True,
        },
    )["JobFlowId"]
    done = probed(Place(here.account, here.runner, here.server, here.folder, {**here.variables, "POMONA_EMR_CLUSTER": given}))
    assert done.returncode == 0, done.stderr
    assert [state for _, state in here.steps()] == ["COMPLETED"]
    assert here.lake.folders("runs") == []
