"""The task `notice` behind one that stands for the job: it leaves a document in which drift has begun."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Asset

from pomona_airflow.deployment import Deployment
from pomona_airflow.notice import Notice

deployment = Deployment.from_environment()


def score(run_id: str) -> None:
    """Leaves document and manifest, as the job does."""
    from pomona.command import run_key
    from pomona.lake import Lake

    lake, run = Lake(deployment.lake, deployment.name, deployment.s3).open(), run_key(run_id)
    alarm = {"n_images": 200, "n_rejects": 0, "score": 2.0, "kind": "inputs", "symptoms": ["darker than in training"]}
    lake.append("health", 1, {"number": 1, "run": run, "windows": [{**alarm, "phase": "drift", "began": True}], "n_waiting": 0, "why": ""})
    lake.write_manifest(run, "score", {"scored": [], "observations": []}, notes={"health": 1})


with DAG(dag_id="score", schedule=None, catchup=False, default_args={"retries": 1, "retry_delay": timedelta(seconds=1)}):
    told = PythonOperator(task_id="score", python_callable=score, do_xcom_push=False)
    told >> Notice(drifted=Asset(deployment.drifted))
