"""A spot instance that is taken away in the middle of a stage: Spark does the lost tasks again, and nobody else notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from pomona_airflow.engines import engine_of
from pomona_airflow.remote import Errand
from pomona_airflow.stage_operator import StageOperator
from tests.emr.aws import Account
from tests.emr.conftest import Place, sent
from tests.waiting import wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
RUN = "one"


def executors(place: Place) -> list[psutil.Process]:
    """The executors of the live job whose Python is at work."""
    found = [process for one in place.runner.live for process in one.below()]
    at_work = {parent.pid for process in found if "pyspark.daemon" in line_of(process) for parent in process.parents()}
    return [process for process in found if "CoarseGrainedExecutorBackend" in line_of(process) and process.pid in at_work]


def line_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_an_executor_lost_in_the_middle_costs_no_image(
    place: Any, account: Account, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    nodes = {"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}]}
    made = account.client("emr").run_job_flow(Name="given", Instances={"KeepJobFlowAliveWhenNoSteps": True, "InstanceFleets": [nodes]})
    here: Place = place(POMONA_ENGINE="emr", POMONA_EMR_CLUSTER=made["JobFlowId"])
    here.runner.node.executors = 2
    sent(pictures, here)
    deployment = here.deployment
    errand = Errand(engine_of(deployment), RUN, "ingest", "pomona-ingest-with-a-loss")
    operator = StageOperator(stage="ingest")
    job = errand.start(lambda asked: operator.words(RUN, {}, deployment, job=errand.name, asked=asked))

    (lost, *_) = wait_until(lambda: executors(here), 240, "executor at work")
    (application,) = here.runner.live
    lost.kill()
    ended = errand.wait(job)
    outcome = errand.closed(ended)
    assert (ended.said, outcome and outcome["status"]) == ("COMPLETED", "done")
    assert outcome["counts"]["kept"] == 63
    said = (application.folder / "stderr").read_text()
    assert "Lost executor" in said
    assert len(here.runner.applications) == 1
    print(f"an executor lost (spot): {next(line for line in said.splitlines() if 'Lost executor' in line)[:160]}; {outcome['line']}")
