"""### Tidy

Removes from the lake what nobody needs any more, and packs small parts together.

- **keep_runs**: how many of the last runs stay. Runs of versions that were champion, or that MLflow still has, stay besides.
- **dry**: changes nothing, the log says what would go.
- It starts paused. Unpaused it runs by its own schedule (`POMONA_TIDY_SCHEDULE`), and stages wait while it works.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from pomona.stages import TIDY
from pomona_airflow.deployment import Deployment
from pomona_airflow.emr.cluster_operators import around
from pomona_airflow.form import tidy_params
from pomona_airflow.tidy_operator import TidyOperator

deployment = Deployment.from_environment()

with DAG(
    dag_id="tidy",
    dag_display_name="Tidy",
    description="What nobody needs any more leaves the lake",
    doc_md=__doc__,
    tags=["pomona", deployment.name],
    schedule=CronTriggerTimetable(deployment.tidy_schedule, timezone="UTC") if deployment.tidy_schedule else None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    params=tidy_params(deployment.keep_runs),
    default_args={"owner": "pomona", "retries": 1, "retry_delay": timedelta(seconds=15)},
):
    task = TidyOperator()
    if deployment.engine == "emr" and not deployment.emr.cluster:
        around([task], job=TIDY.name)
