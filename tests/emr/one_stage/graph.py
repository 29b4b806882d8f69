"""The shortest DAG on AWS: the first stage, with the run's own cluster around it where the engine has one."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from pomona_airflow.deployment import Deployment
from pomona_airflow.emr.cluster_operators import around
from pomona_airflow.form import params
from pomona_airflow.stage_operator import StageOperator


def one_stage(dag_id: str) -> DAG:
    """The DAG of this id; a try that failed is followed by another one at once."""
    with DAG(
        dag_id=dag_id,
        schedule=None,
        params=params(),
        default_args={"owner": "pomona", "retries": 1, "retry_delay": timedelta(seconds=1)},
    ) as dag:
        stage = StageOperator(stage="ingest")
        if Deployment.from_environment().engine == "emr":
            around([stage])
    return dag
