"""### Rollback

Makes an earlier version champion again, after a check of it, and holds automatic promotion until somebody releases it.

- **version**: its number in MLflow; 0 is the champion before this one.
- **reason**: kept in the ledger of promotions, where `make served` finds it.
- **release**: no rollback but the end of its hold: better models are promoted again.
- A version that is broken, or no longer gives the probabilities that it was registered with, is refused; then nothing has changed.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from pomona.stages import ROLLBACK
from pomona_airflow.deployment import Deployment
from pomona_airflow.emr.cluster_operators import around
from pomona_airflow.form import rollback_params
from pomona_airflow.rollback_operator import RollbackOperator

deployment = Deployment.from_environment()

with DAG(
    dag_id="rollback",
    dag_display_name="Rollback",
    description="An earlier version becomes champion again",
    doc_md=__doc__,
    tags=["pomona", deployment.name],
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    params=rollback_params(),
    default_args={"owner": "pomona", "retries": 1, "retry_delay": timedelta(seconds=15)},
):
    task = RollbackOperator()
    if deployment.engine == "emr" and not deployment.emr.cluster:
        around([task], job=ROLLBACK.name)
