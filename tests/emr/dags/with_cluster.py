"""A DAG with the run's own cluster around two tasks that only note where they would work; the second fails where the knobs say so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator

from pomona.command import run_key
from pomona_airflow.deployment import Deployment
from pomona_airflow.emr.cluster import cluster_of
from pomona_airflow.emr.cluster_operators import around
from pomona_airflow.form import params


class Work(BaseOperator):
    """Notes the cluster in the lake, or fails."""

    def execute(self, context: Any) -> None:
        from pomona.lake import Lake

        deployment, run = Deployment.from_environment(), run_key(context["run_id"])
        lake = Lake(deployment.lake, deployment.name, deployment.s3)
        lake.put_document(f"runs/{run}/worked/{self.task_id}.json", {"cluster": cluster_of(deployment, run)})
        if self.task_id == "second" and context["params"]["seed"] == 13:
            raise RuntimeError("the second task fails")


with DAG(
    dag_id="with_cluster",
    schedule=None,
    params=params(),
    default_args={"owner": "pomona", "retries": 1, "retry_delay": timedelta(seconds=1)},
) as dag:
    first, second = Work(task_id="first"), Work(task_id="second", retries=0)
    first >> second
    around([first, second])
