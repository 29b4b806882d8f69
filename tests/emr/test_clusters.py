"""The run's own cluster in real runs of a DAG on the stand-in: one for each run, none where there is no work, and none is left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowException

from pomona import newness, snapshots
from pomona.command import run_key
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.landing import Landing
from pomona.s3 import S3
from pomona.storage import storage
from pomona_airflow.deployment import PROJECT, Deployment
from pomona_airflow.emr.cluster import Cluster, Clusters
from pomona_airflow.emr.cluster_operators import CreateCluster, TerminateCluster
from pomona_airflow.emr.cluster_trigger import ClusterTrigger
from tests.emr.aws import Account
from tests.emr.refusal import Refusal
from tests.s3_server import Server
from tests.waiting import wait_until

FOLDER = Path(__file__).with_name("dags")

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
TASKS = ("create_cluster", "first", "second", "terminate_cluster")
FAILS = {"seed": 13}


@dataclass(frozen=True)
class Runs:
    """Runs of the DAG `with_cluster` in this process, as `airflow dags test` makes them."""

    account: Account
    lake: Lake
    landing: str

    def run(self, date: datetime | None = None, *, changed: Callable[[Any], None] = lambda dag: None, **knobs: Any) -> Any:
        """The run, over; `changed` may change the DAG before."""
        dag = with_cluster()
        changed(dag)
        return dag.test(logical_date=date or datetime.now(UTC), run_conf=knobs)

    def worked(self, run: Any) -> dict[str, str]:
        """The cluster on which each task of the run worked."""
        folder = f"runs/{run_key(run.run_id)}/worked"
        return {name.removesuffix(".json"): self.lake.document(f"{folder}/{name}")["cluster"] for name in self.lake.names(folder)}

    def clusters(self) -> dict[str, str]:
        """State of each cluster that there ever was, once none is ending any more."""
        wait_until(lambda: not self.account.ec2.clusters("TERMINATING"), 120, "end of the clusters")
        return {cluster.id: cluster.state for cluster in self.account.ec2.clusters()}

    def judge(self, run: str = "an earlier run") -> None:
        """A run has reached its verdict over what lies in the landing zone now, with no knob set."""
        listed, places, _ = snapshots.locate(Landing(self.landing, self.lake.s3).files(), group_pattern=resolve({})["group_pattern"])
        rows = [(one.path, one.size, one.version, f"{n:064}", "part", None, True, one.size) for n, one in enumerate(listed)]
        taken = pa.Table.from_pylist([dict(zip(snapshots.taken_schema().names, row, strict=True)) for row in rows]).to_pandas()
        last = snapshots.latest(self.lake)
        state = newness.state(snapshots.save(self.lake, snapshots.follow(last, listed, places, taken)), resolve({}))
        self.lake.open().append("judged", self.lake.last_number("judged") + 1, {"run": run, "state": {**state, "champion": None}})


def dag_of(folder: Path, dag_id: str) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(folder)).dags[dag_id]


def with_cluster() -> Any:
    return dag_of(FOLDER, "with_cluster")


def states(run: Any) -> dict[str, str]:
    """State of the run and of its tasks."""
    return {"run": str(run.state), **{ti.task_id: str(ti.state) for ti in run.get_task_instances()}}


def context(run_id: str) -> dict[str, Any]:
    """What a task without an Airflow around it is given."""
    return {"run_id": run_id, "params": {}, "ti": None, "dag": None}


@pytest.fixture(scope="module", autouse=True)
def airflow() -> Iterator[None]:
    """The Airflow of this process, whatever home it was imported with: its database is made, its DAGs are ours."""
    from airflow import settings

    if settings.Session is None:
        settings.configure_orm()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", str(settings.SQL_ALCHEMY_CONN))
        patched.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(FOLDER))
        patched.setattr(settings, "DAGS_FOLDER", str(FOLDER))
        subprocess.run([Path(sys.executable).with_name("airflow"), "db", "migrate"], check=True, capture_output=True)
        yield


@pytest.fixture
def runs(server: Server, account: Account, credentials: None, tracking: str, monkeypatch: pytest.MonkeyPatch) -> Runs:
    bucket = f"clusters-{os.urandom(4).hex()}"
    server.make_bucket(bucket)
    places = {"LANDING": f"s3://{bucket}/landing", "LAKE": f"s3://{bucket}/lake", "TRACKING": tracking}
    settings = {"NAME": "fruit", "ENGINE": "emr", "S3_ENDPOINT": server.endpoint, "S3_REGION": server.region, "EMR_POLL_S": "1"}
    for name, value in {**places, **settings}.items():
        monkeypatch.setenv(f"POMONA_{name}", value)
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    s3 = S3(server.endpoint, server.region)
    for split, label in (("Training", "a"), ("Training", "b"), ("Test", "a")):
        storage(places["LANDING"], s3).put(f"{split}/{label}/r0_1_100.jpg", b"a picture of " + label.encode())
    return Runs(account, Lake(places["LAKE"], "fruit", s3), places["LANDING"])


def test_a_run_has_one_cluster_which_is_gone_afterwards(runs: Runs) -> None:
    run = runs.run()
    assert states(run) == {"run": "success", **dict.fromkeys(TASKS, "success")}
    ((cluster, state),) = runs.clusters().items()
    assert state == "TERMINATED"
    assert runs.worked(run) == {"first": cluster, "second": cluster}
    lifetime = runs.lake.document(f"runs/{run_key(run.run_id)}/usage/cluster.json")
    assert lifetime["cluster"] == cluster
    assert datetime.fromisoformat(lifetime["created"]) <= datetime.fromisoformat(lifetime["ended"])
    counts = [(one["type"], one["market"], one["count"]) for one in lifetime["instances"]]
    assert counts == [("m5.xlarge", "ON_DEMAND", 3)]


def test_a_failed_task_fails_the_run_and_the_cluster_is_gone_all_the_same(runs: Runs) -> None:
    assert states(runs.run(**FAILS)) == {"run": "failed", **dict.fromkeys(TASKS, "success"), "second": "failed"}
    assert list(runs.clusters().values()) == ["TERMINATED"]


def test_a_cluster_that_does_not_start_fails_the_run_with_emrs_reason(runs: Runs) -> None:
    runs.account.ec2.start_failure = ("VALIDATION_ERROR", "no m5.xlarge left in subnet-1")
    run = runs.run()
    assert states(run) == {"run": "failed", **dict.fromkeys(TASKS, "upstream_failed"), "create_cluster": "failed"}
    assert list(runs.clusters().values()) == ["TERMINATED_WITH_ERRORS"] * 2
    outcome = runs.lake.outcome(run_key(run.run_id), "ingest")
    assert outcome["status"] == "fault"
    assert re.fullmatch("there is no cluster: j-[A-Z0-9]+ did not start: VALIDATION_ERROR: no m5.xlarge left in subnet-1", outcome["line"])


def test_a_rollback_without_a_cluster_is_told_as_a_rollback(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(asked: Any) -> Any:
        raise Refusal("AccessDeniedException", "not authorized to perform elasticmapreduce:RunJobFlow")

    runs.account.ec2.only_RunJobFlow = refused  # type: ignore[attr-defined]
    dags = PROJECT / "dags"
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dags))
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(dags))
    run = dag_of(dags, "rollback").test(logical_date=datetime.now(UTC), run_conf={"reason": "lemons"})
    tasks = {"create_cluster": "failed", "rollback": "upstream_failed", "terminate_cluster": "upstream_failed"}
    assert states(run) == {"run": "failed", **tasks}
    key = run_key(run.run_id)
    assert runs.lake.names(f"runs/{key}/outcomes") == ["rollback.json"]
    outcome = runs.lake.outcome(key, "rollback")
    assert (outcome["stage"], outcome["status"]) == ("rollback", "fault")
    assert outcome["line"].startswith("there is no cluster: EMR refuses the cluster: ")
    assert outcome["line"].endswith("not authorized to perform elasticmapreduce:RunJobFlow")


def test_through_a_throttled_api_there_is_one_cluster_and_it_ends(runs: Runs) -> None:
    runs.account.throttled = 0.4
    assert states(runs.run()) == {"run": "success", **dict.fromkeys(TASKS, "success")}
    assert runs.account.refused.total() > 0
    assert list(runs.clusters().values()) == ["TERMINATED"]


def test_nothing_new_is_seen_without_a_cluster_and_all_else_is_skipped(runs: Runs) -> None:
    runs.judge()
    run = runs.run()
    assert states(run) == {"run": "success", **dict.fromkeys(TASKS, "skipped"), "create_cluster": "success"}
    assert runs.account.calls["RunJobFlow"] == 0
    outcome = runs.lake.outcome(run_key(run.run_id), "ingest")
    assert outcome["status"] == "nothing_new"
    assert "run an earlier run, which reached its verdict" in outcome["line"]


def test_a_cleared_stage_gets_a_cluster_though_the_landing_zone_shows_nothing_new(runs: Runs) -> None:
    runs.judge()
    # The stages before the cleared one have long been done.
    runs.lake.put_outcome("r", "ingest", {"status": "done", "line": "3 in"})
    for _ in range(2):
        CreateCluster().execute(context("r"))
        TerminateCluster().execute(context("r"))
    (first, second), states = runs.clusters(), set(runs.clusters().values())
    assert states == {"TERMINATED"}
    lifetime = runs.lake.document("runs/r/usage/cluster.json")
    assert (lifetime["cluster"], [one["cluster"] for one in lifetime["earlier"]]) == (second, [first])
    assert lifetime["earlier"][0]["ended"]
    runs.account.ec2.start_failure = ("VALIDATION_ERROR", "no subnet")
    with pytest.raises(AirflowException):
        CreateCluster().execute(context("r"))
    assert runs.lake.outcome("r", "ingest")["status"] == "done"


def test_a_cluster_that_ended_by_itself_is_told_of_and_there_is_nothing_to_end(runs: Runs) -> None:
    CreateCluster().execute(context("r"))
    (cluster,) = runs.account.ec2.live()
    runs.account.ec2.fail(cluster, "ALL_SLAVES_TERMINATED", "Cluster was idle")
    TerminateCluster().execute(context("r"))
    assert runs.account.calls["TerminateJobFlows"] == 0
    assert runs.lake.document("runs/r/usage/cluster.json")["ended"]


def test_to_clear_a_stage_clears_its_cluster_with_it() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(with_cluster()))
    cleared = dag.partial_subset(["second"], include_downstream=True, include_upstream=False)
    assert set(cleared.task_dict) == {"create_cluster", "second", "terminate_cluster"}


def test_bad_input_fails_at_once_without_a_cluster(runs: Runs) -> None:
    runs.judge()
    run = runs.run(labels="nonesuch")
    assert states(run) == {"run": "failed", **dict.fromkeys(TASKS, "upstream_failed"), "create_cluster": "failed"}
    assert runs.account.calls["RunJobFlow"] == 0
    assert [ti.try_number for ti in run.get_task_instances() if ti.task_id == "create_cluster"] == [1]
    outcome = runs.lake.outcome(run_key(run.run_id), "ingest")
    assert (outcome["status"], "nonesuch" in outcome["line"]) == ("bad_input", True)


def test_what_fails_behind_the_creation_takes_the_cluster_with_it(runs: Runs, capfd: Any) -> None:
    def refused(asked: Any) -> Any:
        raise Refusal("AccessDeniedException", "not authorized to perform elasticmapreduce:ListInstances")

    runs.account.ec2.only_ListInstances = refused  # type: ignore[method-assign]
    assert states(runs.run())["create_cluster"] == "failed"
    assert list(runs.clusters().values()) == ["TERMINATED"]
    assert "EMR refuses the cluster: " in "".join(capfd.readouterr())


def test_a_creation_that_takes_too_long_is_taken_back(runs: Runs) -> None:
    runs.account.ec2.start_s = 600

    def soon(dag: Any) -> None:
        dag.task_dict["create_cluster"].execution_timeout = timedelta(seconds=4)
        dag.task_dict["create_cluster"].retries = 0

    assert states(runs.run(changed=soon))["create_cluster"] == "failed"
    assert list(runs.clusters().values()) == ["TERMINATED"]


def test_a_killed_task_takes_back_what_it_began_at_once(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.account.ec2.start_s = 600
    # Airflow leaves a task five seconds, and this one looks at the cluster more rarely than that.
    monkeypatch.setenv("POMONA_EMR_POLL_S", "10")
    task, ended = CreateCluster(), []

    def execute() -> None:
        try:
            task.execute(context("r"))
        except AirflowException as error:
            ended.append(str(error))

    thread = threading.Thread(target=execute)
    thread.start()
    wait_until(lambda: runs.account.ec2.live(), 180, "cluster")
    task.on_kill()
    assert not runs.account.ec2.live()
    thread.join(60)
    assert ended[0].startswith("killed while it ")
    assert list(runs.clusters().values()) == ["TERMINATED"]


def test_a_ready_cluster_outlives_a_worker_that_comes_back_from_the_dead(runs: Runs) -> None:
    late, second = CreateCluster(), CreateCluster()
    late.execute(context("r"))
    second.execute(context("r"))
    late.on_kill()
    assert len(runs.account.ec2.live()) == 1


def test_a_creator_whose_worker_dies_is_followed_by_one_that_finds_the_same_cluster(runs: Runs) -> None:
    runs.account.ec2.start_s = 600
    program = f"from pomona_airflow.emr.cluster_operators import CreateCluster; CreateCluster().execute({context('r')})"
    first = subprocess.Popen([sys.executable, "-c", program])
    wait_until(lambda: runs.account.ec2.live(), 240, "cluster")
    first.kill()
    first.wait()
    runs.account.ec2.start_s = 1
    CreateCluster().execute(context("r"))
    assert runs.account.calls["RunJobFlow"] == 1
    TerminateCluster().execute(context("r"))
    assert list(runs.clusters().values()) == ["TERMINATED"]


def test_two_creators_at_once_end_up_with_one_cluster(runs: Runs) -> None:
    both, found = threading.Barrier(2, timeout=60), []

    @dataclass(frozen=True)
    class Late(Clusters):
        """Nobody asks for a cluster before both have seen that there is none."""

        def of_run(self, run: str) -> list[Cluster]:
            seen = super().of_run(run)
            if not seen:
                both.wait()
            return seen

    def create() -> None:
        found.append(Late.of(Deployment.from_environment()).create("r").id)

    threads = [threading.Thread(target=create) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs.account.calls["RunJobFlow"] == 2
    assert len(set(found)) == 1
    assert [one.id for one in runs.account.ec2.live()] == [found[0]]


def test_a_cluster_that_could_not_be_ended_is_seen_and_the_next_run_ends_it(runs: Runs, capfd: Any) -> None:
    def refused(asked: Any) -> Any:
        raise Refusal("AccessDeniedException", "not authorized to perform elasticmapreduce:TerminateJobFlows")

    foreign = runs.account.client("emr").run_job_flow(Name="warehouse", Instances={"KeepJobFlowAliveWhenNoSteps": True})["JobFlowId"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs.account.ec2, "only_TerminateJobFlows", refused)
        run = runs.run()
    assert states(run) == {"run": "success", **dict.fromkeys(TASKS, "success"), "terminate_cluster": "failed"}
    assert "by python -m pomona_airflow.emr.cluster --end" in "".join(capfd.readouterr())
    (left,) = set(runs.worked(run).values())
    runs.run()
    assert runs.clusters()[left] == "TERMINATED"
    assert [one.id for one in runs.account.ec2.live()] == [foreign]


def test_the_triggerer_may_wait_for_the_cluster(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, serialize = [], ClusterTrigger.serialize
    monkeypatch.setattr(ClusterTrigger, "serialize", lambda trigger: waits.append(trigger.cluster) or serialize(trigger))
    monkeypatch.setenv("POMONA_DEFERRABLE", "true")
    assert states(runs.run()) == {"run": "success", **dict.fromkeys(TASKS, "success")}
    assert runs.clusters() == dict.fromkeys(waits, "TERMINATED")
    assert runs.account.calls["RunJobFlow"] == 1


def test_a_cluster_that_does_not_start_while_the_triggerer_waits_fails_the_run(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POMONA_DEFERRABLE", "true")
    runs.account.ec2.start_failure = ("BOOTSTRAP_FAILURE", "no disk")
    run = runs.run()
    assert states(run)["create_cluster"] == "failed"
    assert set(runs.clusters().values()) == {"TERMINATED_WITH_ERRORS"}
    assert "BOOTSTRAP_FAILURE: no disk" in runs.lake.outcome(run_key(run.run_id), "ingest")["line"]


def test_a_deferred_creation_that_is_late_or_that_no_triggerer_waits_for_is_taken_back(runs: Runs) -> None:
    runs.account.ec2.start_s = 600
    for method, arguments in (("resume", {"event": {"cluster": "", "late": True}}), ("__fail__", {"error": "Trigger timeout"})):
        made = Clusters.of(Deployment.from_environment()).create(method, "rollback")
        if method == "resume":
            arguments["event"]["cluster"] = made.id
        with pytest.raises(AirflowException):
            CreateCluster(job="rollback").resume_execution(method, arguments, {"run_id": method})
        assert runs.clusters()[made.id] == "TERMINATED"
        assert runs.lake.outcome(method, "rollback")["line"].startswith("there is no cluster: ")
