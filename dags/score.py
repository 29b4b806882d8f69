"""### Score

Asks the champion about the pictures in the folder `unlabelled`, beside the landing zone: label, probability, margin, and whether they are
like anything that the model knows.

- **Only what is new** is asked about; all pictures again when another version has become champion.
- It runs by its schedule, and when a run of `retrain` has registered a model.
- The answers: `scored.csv` in the run's folder of the lake, one line per picture, the model's version in each.
- **notice** is skipped unless new pictures no longer look as in training.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable

from pomona.stages import SCORE
from pomona_airflow.deployment import Deployment
from pomona_airflow.emr.cluster_operators import around
from pomona_airflow.notice import Notice
from pomona_airflow.score_operator import ScoreOperator

deployment = Deployment.from_environment()

with DAG(
    dag_id="score",
    dag_display_name="Score",
    description="The champion's word on pictures that nobody has labelled",
    doc_md=__doc__,
    tags=["pomona", deployment.name],
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(deployment.score_schedule, timezone="UTC"), assets=[Asset(deployment.registered)]
    ),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args={"owner": "pomona", "retries": 1, "retry_delay": timedelta(seconds=15)},
):
    task = ScoreOperator()
    if deployment.engine == "emr" and not deployment.emr.cluster:
        around([task], job=SCORE.name)
    # Behind the cluster's ties: it needs none.
    task >> Notice(drifted=Asset(deployment.drifted))
