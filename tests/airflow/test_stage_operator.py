"""What an exit code and an outcome make of a task."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, DownstreamTasksSkipped

from pomona.stages import STAGES, edges
from pomona_airflow.stage_operator import StageOperator


class Notes:
    """What a task leaves for people to read."""

    def __init__(self) -> None:
        self.left: dict[str, str] = {}

    def xcom_push(self, *, key: str, value: str) -> None:
        self.left[key] = value


@pytest.fixture
def tasks() -> dict[str, StageOperator]:
    with DAG(dag_id="chain", schedule=None):
        made = {stage: StageOperator(stage=stage) for stage in STAGES}
        for earlier, later in edges():
            made[earlier] >> made[later]
    return made


def outcome(status: str) -> dict[str, Any]:
    return {"status": status, "line": "three images of two", "counts": {}, "seconds": 1.0}


@pytest.mark.parametrize("status", ["done", "refused"])
def test_a_refused_model_is_as_good_an_end_as_a_done_one(tasks: dict[str, StageOperator], status: str) -> None:
    notes = Notes()
    tasks["register"]._settle(0, outcome(status), {"ti": notes})
    assert notes.left == {"outcome": "register: three images of two"}


def test_bad_input_fails_at_once_with_the_jobs_own_line(tasks: dict[str, StageOperator]) -> None:
    with pytest.raises(AirflowFailException, match="ingest: three images of two"):
        tasks["ingest"]._settle(2, outcome("bad_input"), {"ti": Notes()})


def test_a_fault_may_be_tried_again(tasks: dict[str, StageOperator]) -> None:
    with pytest.raises(AirflowException) as failed:
        tasks["train"]._settle(1, outcome("fault"), {"ti": Notes()})
    assert not isinstance(failed.value, AirflowFailException)


def test_a_job_that_says_done_and_then_dies_has_failed(tasks: dict[str, StageOperator]) -> None:
    with pytest.raises(AirflowException, match="train"):
        tasks["train"]._settle(137, outcome("done"), {"ti": Notes()})


@pytest.mark.parametrize(
    ("code", "kind"), [(0, AirflowException), (1, AirflowException), (137, AirflowException), (2, AirflowFailException)]
)
def test_a_job_without_an_outcome_has_failed_whatever_it_returned(tasks: dict[str, StageOperator], code: int, kind: type) -> None:
    with pytest.raises(AirflowException, match=f"exit code {code} and left no outcome") as failed:
        tasks["encode"]._settle(code, None, {"ti": Notes()})
    assert type(failed.value) is kind


def test_nothing_new_at_ingest_skips_every_later_task(tasks: dict[str, StageOperator]) -> None:
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        tasks["ingest"]._settle(0, outcome("nothing_new"), {"ti": Notes()})
    assert sorted(skipped.value.tasks) == sorted(set(STAGES) - {"ingest"})


def test_nothing_new_at_a_later_stage_skips_nothing(tasks: dict[str, StageOperator]) -> None:
    tasks["describe"]._settle(0, outcome("nothing_new"), {"ti": Notes()})
