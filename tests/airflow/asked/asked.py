"""The question before a promotion between two tasks that stand for the chain's: one leaves a verdict, the other tells the answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

from pomona_airflow.approval import before_register
from pomona_airflow.deployment import Deployment


def lake() -> Any:
    from pomona.lake import Lake

    deployment = Deployment.from_environment()
    return Lake(deployment.lake, deployment.name, deployment.s3).open()


def evaluate(run_id: str) -> None:
    """Leaves a verdict that is for the model."""
    from pomona.command import run_key

    place, run = lake(), run_key(run_id)
    document = {"decision": "promote", "reason": "better", "words": "It is better.", "champion": 2, "rule": "", "checks": []}
    rest: dict[str, Any] = {"figures": {}, "per_class": [], "baselines": {}, "examples": {}}
    file = place.write_document(f"runs/{run}/verdict", "verdict", {**document, **rest})
    place.write_manifest(run, "evaluate", {"metrics": [], "predictions": [], "verdict": [file]})


def register(run_id: str) -> None:
    """Writes the answer down where the test looks for it."""
    from pomona.approval import answer_of
    from pomona.command import run_key

    answer = answer_of(lake(), run_key(run_id))
    lake().put("told.txt", (answer.line if answer else "nobody was asked").encode())


with DAG(dag_id="retrain", schedule=None, catchup=False, default_args={"retries": 1, "retry_delay": timedelta(seconds=1)}):
    tasks = {
        name: PythonOperator(task_id=name, python_callable=what, do_xcom_push=False)
        for name, what in {"evaluate": evaluate, "register": register}.items()
    }
    tasks["evaluate"] >> tasks["register"]
    before_register(tasks, Deployment.from_environment())
