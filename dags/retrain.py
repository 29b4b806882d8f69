"""### Retrain

Keeps the classifier in step with the pictures in the landing zone: takes in what is new, describes it, learns a vocabulary, encodes,
trains, judges the model against the champion and registers it. One task is one stage and one Spark application.

- **Nothing new**: the run ends after `ingest`, the later tasks are skipped, and the log says why.
- **On EMR** a run has a cluster of its own, made when there is work for it and ended however the run ends.
- **A refused model** is an outcome: the run succeeds, the version is registered, the champion stays.
- **Drift** of new pictures starts a run too, where the deployment wants that; without new pictures or labels it is nothing new.
- **Approval**, where the deployment requires it, is asked of a person when the verdict says *promote*: under *Required Actions*.
- **Knobs** left empty have the value of the preset. A task may be cleared at any time; it gives the same result.
- Folder names are labels. Where to put pictures, and what became of each run: the page *Pomona* in the menu.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable

from pomona.stages import STAGES, edges
from pomona_airflow.deployment import Deployment
from pomona_airflow.emr.cluster_operators import around
from pomona_airflow.form import params
from pomona_airflow.landing_trigger import LandingTrigger
from pomona_airflow.stage_operator import StageOperator

deployment = Deployment.from_environment()
watch = deployment.watch
trigger = LandingTrigger(
    dag_id="retrain",
    landing=deployment.landing,
    labels=deployment.labels,
    lake=deployment.lake,
    name=deployment.name,
    s3=deployment.s3.text,
    min_new_images=watch.min_new_images,
    settle_s=watch.settle_s,
    max_wait_s=watch.max_wait_s,
    poll_s=watch.poll_s,
    sqs_queue=watch.sqs_queue,
)
landing = Asset(
    name=f"landing_{deployment.name}",
    uri=deployment.landing_uri,
    group="pomona",
    watchers=[AssetWatcher(name="arrivals", trigger=trigger)] if watch.poll_s else [],
)
# A list of assets means all of them, `|` any.
woken_by = landing | Asset(deployment.drifted) if deployment.drift.retrain else [landing]

with DAG(
    dag_id="retrain",
    dag_display_name="Retrain",
    description="Pictures in the landing zone become a registered model",
    doc_md=__doc__,
    tags=["pomona", deployment.name],
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable(deployment.schedule, timezone="UTC"), assets=woken_by)
    if deployment.schedule
    else woken_by,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    params=params(),
    default_args={"owner": "pomona", "retries": 1, "retry_delay": timedelta(seconds=15)},
):
    # Whoever waits for models hears of each; whether it became champion the registry says.
    outlets = {"register": [Asset(deployment.registered)]}
    tasks = {stage: StageOperator(stage=stage, outlets=outlets.get(stage)) for stage in STAGES}
    for earlier, later in edges():
        tasks[earlier] >> tasks[later]
    if deployment.require_approval:
        from pomona_airflow.approval import before_register

        before_register(tasks, deployment)
    if deployment.engine == "emr" and not deployment.emr.cluster:
        around(tasks.values())
