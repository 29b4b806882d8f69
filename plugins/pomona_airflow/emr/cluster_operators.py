"""The run's own cluster as tasks of the graph: set up before the first stage when there is work for it, torn down behind the last."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, DownstreamTasksSkipped, TaskDeferred

from pomona.command import run_key
from pomona.knobs import BadKnob, resolve
from pomona.stages import SCORE
from pomona_airflow.deployment import Deployment
from pomona_airflow.emr import cluster_records as records
from pomona_airflow.emr.cluster import Cluster, Clusters
from pomona_airflow.emr.cluster_request import FIRST, owner
from pomona_airflow.links import OutcomeLink
from pomona_airflow.remote import not_ready

_START_MINUTES = 60
_END_MINUTES = 30
_GRACE_MINUTES = 10


def around(stages: Iterable[BaseOperator], *, job: str = FIRST) -> None:
    """Puts the cluster around these tasks: its creation before the first of them, its end behind the last, however they end.

    `job` is what the first of them runs: as its outcome it stands why there is no cluster.
    """
    tasks = list(stages)
    create, terminate = CreateCluster(job=job), TerminateCluster(job=job)
    terminate.as_teardown(setups=create)
    for task in tasks:
        if not task.upstream_task_ids:
            create >> task
    for task in tasks:
        if not task.downstream_task_ids:
            task >> terminate


class CreateCluster(BaseOperator):
    """Creates the run's own cluster and waits until it is ready; for ingest and score only if a listing shows that there is work.

    It passes nothing through XCom: jobs find the cluster by its name.
    """

    ui_color = "#e5eef4"
    operator_extra_links = (OutcomeLink(),)

    def __init__(self, *, job: str = FIRST, **options: Any) -> None:
        self.job = job
        self._killed = False
        self._run_id = ""
        options.setdefault("task_id", "create_cluster")
        options.setdefault("execution_timeout", timedelta(minutes=_START_MINUTES))
        options.setdefault("doc_md", _create_doc(job))
        super().__init__(do_xcom_push=False, **options)

    def execute(self, context: Any) -> None:
        """Looks whether there is work, and creates the cluster if so.

        Raises
        ------
        AirflowFailException
            Bad knobs, bad input, or an account that refuses the cluster: nothing that a retry would mend.
        AirflowException
            A cluster that did not start; what was made of it is ended.
        DownstreamTasksSkipped
            When there is nothing new.
        TaskDeferred
            When the triggerer waits.
        """
        deployment, began, self._run_id = Deployment.from_environment(), datetime.now(UTC), context["run_id"]
        if self.job in (FIRST, SCORE.name):
            self._stop_if_idle(deployment, context, began)
        try:
            clusters = Clusters.of(deployment)
            _reap(self, clusters, self.job, context)
            cluster = clusters.create(context["run_id"], self.job, stopped=lambda: self._killed)
            if cluster is None or self._killed:
                raise AirflowException("killed while it made the cluster")
            records.keep_lifetime(clusters, run_key(context["run_id"]), self.job, cluster)
            self.log.info("%s is %s", cluster.id, cluster.state.lower())
            if deployment.deferrable and not cluster.ready and cluster.live:
                self._defer(deployment, cluster, began)
            self._await(clusters, cluster)
        except TaskDeferred:
            raise
        except BaseException as error:
            self._end(deployment, context["run_id"])
            refusal = not_ready(error, "EMR refuses the cluster") if isinstance(error, Exception) else None
            self._tell(deployment, "fault", f"there is no cluster: {refusal or error}", began)
            if refusal is not None:
                raise AirflowFailException(str(refusal)) from None
            raise

    def resume(self, context: Any, event: Mapping[str, Any]) -> None:
        """What `execute` leaves to be done once the triggerer has seen the cluster ready, ended or late."""
        deployment, began, self._run_id = Deployment.from_environment(), datetime.now(UTC), context["run_id"]
        try:
            clusters = Clusters.of(deployment)
            if event["late"]:
                raise AirflowException(f"{event['cluster']} was not ready within {self.execution_timeout}: it is ended")
            self._await(clusters, clusters.look(event["cluster"]))
        except BaseException as error:
            self._end(deployment, context["run_id"])
            self._tell(deployment, "fault", f"there is no cluster: {error}", began)
            raise

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """As Airflow has it; and when no triggerer was there to wait, or it failed, what was made is ended."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except BaseException as error:
            if next_method != "resume":
                deployment, self._run_id = Deployment.from_environment(), context["run_id"]
                self._end(deployment, self._run_id)
                self._tell(deployment, "fault", f"there is no cluster: {error}", datetime.now(UTC))
            raise

    def on_kill(self) -> None:
        """Ends what is being made; Airflow then leaves `execute` a few seconds, in which it makes no other one."""
        self._killed = True
        if self._run_id:
            self._end(Deployment.from_environment(), self._run_id)

    def _stop_if_idle(self, deployment: Deployment, context: Any, began: datetime) -> None:
        """Ends the run here when ingest would find nothing new, or nothing that it could work with."""
        from pomona.newness import answered, foreseen
        from pomona.outcome import BadInput

        run = run_key(context["run_id"])
        place = deployment.place(run)
        try:
            if records.is_done(deployment, run, self.job):
                # A later stage was cleared: that is a wish to do it anew, whatever the landing zone shows.
                return
            why = foreseen(place, resolve(dict(context["params"]))) if self.job == FIRST else answered(place)
        except BadKnob as error:
            raise AirflowFailException(str(error)) from None
        except BadInput as error:
            self._tell(deployment, "bad_input", str(error), began)
            raise AirflowFailException(f"{self.job}: {error}") from None
        if why:
            self._tell(deployment, "nothing_new", f"nothing new: {why}", began)
            self.log.info("nothing new: %s; no cluster is made, all later tasks are skipped", why)
            raise DownstreamTasksSkipped(tasks=sorted(self.get_flat_relative_ids(upstream=False)))  # type: ignore[no-untyped-call]

    def _tell(self, deployment: Deployment, status: str, line: str, began: datetime) -> None:
        records.tell(deployment, run_key(self._run_id), self.job, status, line, began)

    def _await(self, clusters: Clusters, cluster: Cluster) -> None:
        """Waits until the cluster is ready, within the task's own timeout."""
        while not (cluster.ready or self._killed):
            if not cluster.live:
                raise AirflowException(f"{cluster.id} did not start: {cluster.reason or cluster.state}")
            time.sleep(clusters.deployment.emr.poll_s)
            cluster = clusters.look(cluster.id)
        if self._killed:
            raise AirflowException(f"killed while it waited for {cluster.id}")
        self.log.info("%s is ready", cluster.id)

    def _defer(self, deployment: Deployment, cluster: Cluster, began: datetime) -> None:
        from pomona_airflow.emr.cluster_trigger import ClusterTrigger

        deadline = began + (self.execution_timeout or timedelta(minutes=_START_MINUTES))
        # Airflow's own bound is for a triggerer that is not there: it comes later than the trigger's.
        bound = deadline - datetime.now(UTC) + timedelta(minutes=_GRACE_MINUTES)
        self.defer(trigger=ClusterTrigger(cluster=cluster.id, deadline=deadline.isoformat()), method_name="resume", timeout=bound)

    def _end(self, deployment: Deployment, run_id: str) -> None:
        """Ends what there is of the run's cluster; whatever is wrong with that, the reason of the failure is told.

        One that is ready outlives a task that was killed: a worker that was thought dead is killed when it comes back, and by then
        another try has taken over.
        """
        try:
            clusters = Clusters.of(deployment)
            for one in clusters.of_run(owner(run_key(run_id), self.job)):
                if not (self._killed and one.ready):
                    self.log.info("%s is ended with its task", one.id)
                    clusters.end(one)
        except Exception:
            self.log.exception("the run's cluster could not be ended: it ends when it was idle for %d minutes", deployment.emr.idle_minutes)


class TerminateCluster(BaseOperator):
    """Ends the run's own cluster, however its stages ended, and writes its lifetime into the lake. None being there is fine."""

    ui_color = "#e5eef4"

    def __init__(self, *, job: str = FIRST, **options: Any) -> None:
        self.job = job
        options.setdefault("task_id", "terminate_cluster")
        options.setdefault("execution_timeout", timedelta(minutes=_END_MINUTES))
        options.setdefault("retries", 3)
        options.setdefault("doc_md", _TERMINATE_DOC)
        super().__init__(do_xcom_push=False, **options)

    def execute(self, context: Any) -> None:
        """Ends the cluster and waits until EMR has begun with it.

        Raises
        ------
        AirflowFailException
            When the account refuses that; the cluster then ends when it has been idle.
        """
        deployment = Deployment.from_environment()
        try:
            clusters = Clusters.of(deployment)
            self._terminate(clusters, context)
        except Exception as error:
            refusal = not_ready(error, "EMR refuses to end the cluster")
            if refusal is None:
                raise
            remedy = f"it ends when it was idle for {deployment.emr.idle_minutes} minutes, or by python -m pomona_airflow.emr.cluster --end"
            raise AirflowFailException(f"{refusal}; {remedy}") from None
        _reap(self, clusters, self.job, context)

    def _terminate(self, clusters: Clusters, context: Any) -> None:
        run = run_key(context["run_id"])
        ending = clusters.of_run(owner(run, self.job))
        for one in ending:
            clusters.end(one)
        for one in ending:
            while (now := clusters.look(one.id)).live:
                time.sleep(clusters.deployment.emr.poll_s)
            self.log.info("%s is %s after %.1f hours", now.id, now.state.lower(), now.hours(datetime.now(UTC)))
            records.keep_lifetime(clusters, run, self.job, now)
        if not ending:
            self._tell_of_one_that_ended(clusters, run)

    def _tell_of_one_that_ended(self, clusters: Clusters, run: str) -> None:
        """The lifetime of a cluster that nobody of ours ended: it was idle, or lost, or ended by hand."""
        kept = records.lifetime(clusters.deployment, run, self.job)
        if kept is None or kept["ended"]:
            self.log.info("there is no live cluster of the run")
            return
        cluster = clusters.look(kept["cluster"])
        self.log.warning("%s had ended before: %s", cluster.id, cluster.reason or cluster.state)
        records.keep_lifetime(clusters, run, self.job, cluster)


def _reap(task: BaseOperator, clusters: Clusters, job: str, context: Any) -> None:
    """Ends the clusters of other runs that nobody ended: the second net, whose own faults fail no run."""

    def state_of(run_id: str) -> str | None:
        try:
            state = context["ti"].get_dagrun_state(dag_id=context["dag"].dag_id, run_id=run_id)
        except Exception:  # noqa: BLE001 (a run that Airflow does not know is told by an error of its API)
            return None
        return str(getattr(state, "value", state))

    try:
        for cluster, why in clusters.left(state_of, but_run=owner(run_key(context["run_id"]), job), job=job):
            task.log.warning("%s is ended, for %s", cluster.id, why)
            clusters.end(cluster)
    except Exception:
        task.log.exception("clusters that others left could not be looked for")


def _create_doc(job: str) -> str:
    """The task's page; of the landing zone only where it is looked at."""
    looks = "- First it lists the landing zone: when a run would tell nothing new, no cluster is made and all later tasks are skipped.\n"
    return f"""**create_cluster** makes the run's own cluster on EMR and waits until it is ready.

{looks if job == FIRST else ""}- What does not start is ended at once, and why stands as the outcome of {job}.
- A cluster that was idle for POMONA_EMR_IDLE_MINUTES ends by itself, whatever happens here.
- Clusters that ended runs left behind are ended too."""


_TERMINATE_DOC = """**terminate_cluster** ends the run's own cluster, also after a failure, and writes its lifetime into the lake.

It runs whenever create_cluster has succeeded. Its own failure does not change what became of the run; the cluster then ends by itself
when it was idle, and the next run looks for it.

To stop a run, mark the task at work as failed. A *run* that is marked so while its cluster is up ends this task too, but then
stands as a success (airflow#57061)."""
