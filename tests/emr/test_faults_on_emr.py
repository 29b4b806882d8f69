"""Faults between Airflow and AWS, each in a real Airflow: at most one live job a stage, no cluster left, and the right state at the end.

The DAG is the shortest one, the first stage on the run's own cluster. Its job is the real entry point with its lease, its log and its ear
for notes; only the stage itself is a stub that waits until the test lets it go, for but one of these faults has to do with Spark.
`pytest -s` prints what happened in each.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psutil
import pytest

from pomona.command import run_key
from tests.emr.aws import Account
from tests.emr.conftest import Place, placed
from tests.emr.on_ec2 import LIVE
from tests.s3_server import Server
from tests.standalone_airflow import StandaloneAirflow
from tests.waiting import wait_until

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]
DAGS = Path(__file__).with_name("one_stage")
TOLD: list[tuple[str, str]] = []


@dataclass
class Scene:
    """A real Airflow over the stand-in, and what a test does to the two."""

    place: Place
    airflow: StandaloneAirflow
    dag: str = "retrain"
    run: str = ""
    began: list[str] = field(default_factory=list)

    def start(self, dag: str = "retrain") -> None:
        """A new run; the stub waits at its gate."""
        self.dag = dag
        self.began = [line[1] for line in self.place.runner.node.book]
        self.place.runner.node.gate.unlink(missing_ok=True)
        self.run = f"run-{time.time_ns()}"
        self.ask(f"/api/v2/dags/{dag}", "PATCH", {"is_paused": False})
        self.ask(f"/api/v2/dags/{dag}/dagRuns", "POST", {"logical_date": None, "dag_run_id": self.run})

    @property
    def path(self) -> str:
        return f"/api/v2/dags/{self.dag}/dagRuns/{self.run}"

    def ask(self, path: str, method: str = "GET", body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Airflow's answer. Its SQLite is locked now and then, which is no fault of this suite: what was refused is asked again."""
        for left in reversed(range(10)):
            try:
                return self.airflow.rest.ask(path, method, body)
            except HTTPError as error:
                if error.code == 409 and method == "POST":
                    return {}
                if error.code < 500 or not left:
                    raise
                time.sleep(1)
        raise AssertionError("not reached")

    def let_go(self, *, fault: bool = False) -> None:
        gate = self.place.runner.node.gate
        if fault:
            Path(f"{gate}.fault").touch()
        gate.touch()

    def task(self, name: str = "ingest") -> dict[str, Any]:
        return self.ask(f"{self.path}/taskInstances/{name}")

    def log(self, name: str = "ingest", tries: int = 2) -> str:
        """What the task's tries logged."""
        answers = [self.ask(f"{self.path}/taskInstances/{name}/logs/{n}?full_content=true") for n in range(1, tries + 1)]
        return "\n".join(str(answer.get("content")) for answer in answers)

    def jobs(self) -> list[tuple[str, str]]:
        """Name and state of each step or job run of this run, in order."""
        return [(name, state) for name, state in self.place.steps() if f"-{run_key(self.run)}-" in name]

    def steps(self) -> list[str]:
        return [state for _, state in self.jobs()]

    def works(self) -> bool:
        """Whether a stub of this run stands at its gate."""
        live = [one for one in self.place.runner.live if run_key(self.run) in " ".join(one.submission.words)]
        return bool(live and [line for line in self.place.runner.node.book if line[0] == "begins" and line[1] not in self.began])

    def at_work(self, seconds: float = 120) -> None:
        wait_until(self.works, seconds, f"job at work: {self.jobs()}")

    def over(self, state: str, seconds: float = 240) -> str:
        """What is to be told of the run, once it has ended in this state, nothing lives on, and no two jobs worked at the same time."""

        def ended() -> str:
            found = str(self.ask(self.path)["state"])
            return found if found in ("success", "failed") else ""

        assert wait_until(ended, seconds, f"end of run {self.run}: {self.jobs()}") == state
        wait_until(lambda: not self.place.runner.live, 120, "end of the last job")
        wait_until(lambda: not self.place.account.ec2.clusters(*LIVE, "TERMINATING"), 120, "end of the cluster")
        working: set[str] = set()
        for what, process, *_ in self.place.runner.node.book:
            working = working | {process} if what == "begins" else working - {process}
            # One that was killed tells no end; it is known not to live.
            working = {one for one in working if psutil.pid_exists(int(one)) or one == process}
            assert len(working) <= 1, self.place.runner.node.book
        return f"jobs {' '.join(self.steps())}, {self.task().get('try_number')} tries, run {state}"

    def asking(self, operation: str) -> psutil.Process:
        """The process that asks this of AWS next."""
        found: list[psutil.Process] = []
        self.place.account.meanwhile[operation] = found.append
        return wait_until(lambda: found, 180, f"request {operation}")[0]

    def second_try(self, operation: str, seconds: float = 120) -> None:
        """Waits until the task's second try looks after its job."""
        wait_until(lambda: self.task()["try_number"] == 2 and self.task()["state"] == "running", seconds, "second try")
        self.asking(operation)

    def clear_away(self) -> None:
        """What a test that failed leaves behind must not fail the next one."""
        self.place.account.throttled, self.place.account.ec2.start_failure = 0.0, None
        self.place.account.meanwhile.clear()
        self.place.runner.faults.clear()
        self.let_go()
        if self.run and self.ask(self.path)["state"] not in ("success", "failed"):
            self.ask(self.path, "PATCH", {"state": "failed"})
        for one in self.place.runner.live:
            one.end()
        for cluster in self.place.account.ec2.live():
            self.place.account.ec2.fail(cluster, "USER_REQUEST", "the test is over")


def told(fault: str, what: str) -> None:
    TOLD.append((fault, what))


@pytest.fixture(scope="module")
def stage(server: Server, credentials: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, StandaloneAirflow]]:
    folder, account = tmp_path_factory.mktemp("faults"), Account.start()
    place = placed(server, account, folder, stub=True, POMONA_ENGINE="emr", POMONA_TRACKING="http://127.0.0.1:9")
    client, bucket = server.client(), place.variables["POMONA_LANDING"].split("/")[2]
    for number in range(3):
        client.put_object(Bucket=bucket, Key=f"landing/Training/red/{number}.jpg", Body=b"never looked at")
    settings = {
        "CORE__DAGS_FOLDER": str(DAGS),
        "CORE__PARALLELISM": "4",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "4",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
    }
    variables = {**server.environment, **account.environment, **place.variables}
    airflow = StandaloneAirflow(folder / "airflow", {**variables, **{f"AIRFLOW__{name}": value for name, value in settings.items()}})
    try:
        airflow.start()
        yield place, airflow
    finally:
        airflow.stop()
        place.end()
        account.stop()
        width = max((len(fault) for fault, _ in TOLD), default=0)
        print("\n" + "\n".join(f"{fault:{width}}  {what}" for fault, what in TOLD))


@pytest.fixture
def scene(stage: tuple[Place, StandaloneAirflow]) -> Iterator[Scene]:
    place, airflow = stage
    made = Scene(place, airflow)
    yield made
    made.clear_away()


def test_without_a_fault_a_run_makes_one_job_and_ends_its_cluster(scene: Scene) -> None:
    scene.start()
    scene.at_work()
    scene.let_go()
    line = scene.over("success")
    assert scene.steps() == ["COMPLETED"]
    told("none", line)


def test_a_step_that_fails_is_tried_again_once(scene: Scene) -> None:
    scene.start()
    scene.at_work()
    scene.let_go(fault=True)
    line = scene.over("success")
    assert scene.steps() == ["FAILED", "COMPLETED"]
    assert "a fault, as the test wants it" in scene.log()
    told("step fails", line)


@pytest.mark.parametrize(("fault", "state"), [("lost", "COMPLETED"), ("refused", "FAILED")])
def test_a_step_that_was_lost_or_never_began_is_done_anew(scene: Scene, fault: str, state: str) -> None:
    scene.place.runner.faults.append(fault)
    scene.start()
    scene.let_go()
    line = scene.over("success")
    assert scene.steps() == [state, "COMPLETED"]
    assert "left no manifest" in scene.log()
    told(f"step {fault}", line)


def test_a_cluster_that_dies_under_its_step_fails_the_run_which_says_so(scene: Scene) -> None:
    scene.start()
    scene.at_work()
    (cluster,) = scene.place.account.ec2.live()
    scene.place.account.ec2.fail(cluster, "INSTANCE_FAILURE", "all core nodes were lost")
    line = scene.over("failed")
    assert scene.steps() == ["CANCELLED"]
    told("cluster lost under its step", line)


def test_a_throttled_api_changes_nothing(scene: Scene) -> None:
    scene.place.account.throttled = 0.5
    refused = scene.place.account.refused.total()
    scene.start()
    scene.at_work()
    time.sleep(10)
    scene.let_go()
    line = scene.over("success")
    assert scene.steps() == ["COMPLETED"]
    n = scene.place.account.refused.total() - refused
    assert n >= 3
    told("API throttled", f"{n} requests refused, {line}")


@pytest.mark.parametrize(("dag", "operation"), [("retrain", "AddJobFlowSteps"), ("serverless", "StartJobRun")])
def test_a_task_killed_before_it_knows_what_it_submitted_finds_it_again(scene: Scene, dag: str, operation: str) -> None:
    scene.place.account.meanwhile[operation] = psutil.Process.kill
    scene.start(dag)
    scene.at_work()
    scene.second_try("DescribeStep" if dag == "retrain" else "GetJobRun")
    scene.let_go()
    line = scene.over("success")
    assert len(scene.steps()) == 1
    assert "is at work already" in scene.log()
    told(f"task killed after submit, before recording ({dag})", line)


def test_a_task_killed_while_it_waits_finds_its_job_again(scene: Scene) -> None:
    scene.start()
    scene.at_work()
    scene.asking("DescribeStep").kill()
    scene.second_try("DescribeStep")
    scene.let_go()
    line = scene.over("success")
    assert scene.steps() == ["COMPLETED"]
    told("task killed while waiting (SIGKILL)", line)


def test_a_task_that_is_told_to_end_ends_its_job_and_the_next_try_does_it_anew(scene: Scene) -> None:
    scene.start()
    scene.at_work()
    scene.asking("DescribeStep").send_signal(signal.SIGTERM)
    wait_until(lambda: scene.steps()[0] == "CANCELLED", 180, "cancelled step")
    wait_until(lambda: len(scene.steps()) == 2, 240, "second job")
    scene.let_go()
    line = scene.over("success")
    assert scene.steps() == ["CANCELLED", "COMPLETED"]
    told("task killed while waiting (SIGTERM)", line)


@pytest.mark.parametrize("dag", ["retrain", "deferred", "serverless"])
def test_marking_a_waiting_task_as_failed_ends_its_job_and_its_cluster(scene: Scene, dag: str) -> None:
    scene.start(dag)
    scene.at_work()
    wait_until(lambda: scene.task()["state"] == ("deferred" if dag == "deferred" else "running"), 180, "waiting task")
    cancel = "CancelJobRun" if dag == "serverless" else "CancelSteps"
    before = scene.place.account.calls[cancel]
    scene.ask(f"{scene.path}/taskInstances/ingest", "PATCH", {"new_state": "failed"})
    line = scene.over("failed")
    # The job may have seen the note before the service cancels it; and the cluster may end before the worker sees that its task did.
    assert scene.steps() in (["CANCELLED"], ["FAILED"])
    assert scene.place.account.calls[cancel] > before or dag != "serverless"
    assert "could not be ended" not in scene.airflow.log() + "".join(path.read_text() for path in scene.airflow.folder.rglob("*.trigger.*"))
    told(f"marked as failed while waiting ({dag})", line)


def test_a_deferred_task_ends_in_the_same_way(scene: Scene) -> None:
    scene.start("deferred")
    scene.at_work()
    wait_until(lambda: scene.task()["state"] == "deferred", 180, "deferred task")
    scene.let_go()
    line = scene.over("success")
    assert scene.steps() == ["COMPLETED"]
    told("none, deferred", line)


def test_a_task_cleared_after_its_success_is_done_anew_once(scene: Scene) -> None:
    scene.start()
    scene.let_go()
    scene.over("success")
    asked = {"dry_run": False, "dag_run_id": scene.run, "task_ids": ["ingest"], "only_failed": False, "reset_dag_runs": True}
    scene.ask(f"/api/v2/dags/{scene.dag}/clearTaskInstances", "POST", asked)
    wait_until(lambda: len(scene.steps()) == 2, 240, "second job")
    line = scene.over("success")
    assert scene.steps() == ["COMPLETED", "COMPLETED"]
    assert len(set(scene.jobs())) == 2, "the job after a clear has a name of its own"
    told("task cleared after success", line)


def test_of_two_tries_at_once_both_wait_for_one_job(scene: Scene) -> None:
    """A task that stands still is taken for dead and tried again; then it goes on."""
    scene.start()
    scene.at_work()
    task = scene.asking("DescribeStep")
    stopped = [task, task.parent()]
    for one in stopped:
        one.suspend()
    try:
        scene.second_try("DescribeStep", 180)
    finally:
        for one in stopped:
            one.resume()
    wait_until(lambda: not task.is_running(), 180, "end of the first try")
    scene.let_go()
    line = scene.over("success")
    assert scene.steps() == ["COMPLETED"]
    told("two tries at once", line)


def test_a_cluster_that_fails_to_start_fails_the_run_and_leaves_nothing(scene: Scene) -> None:
    scene.place.account.ec2.start_failure = ("VALIDATION_ERROR", "no m5.xlarge is left in subnet-1")
    before = len(scene.place.account.ec2.clusters())
    scene.start()
    line = None
    wait_until(lambda: scene.ask(scene.path)["state"] == "failed", 240, "failed run")
    assert scene.steps() == []
    states = [cluster.state for cluster in scene.place.account.ec2.clusters()[before:]]
    assert set(states) == {"TERMINATED_WITH_ERRORS"}
    assert "no m5.xlarge is left in subnet-1" in scene.log("create_cluster")
    line = f"no job, clusters {' '.join(states)}, run failed, with EMR's reason"
    told("cluster fails to start", line)


def test_a_scheduler_that_is_killed_leaves_one_job_that_the_next_one_waits_for(scene: Scene) -> None:
    scene.start()
    scene.at_work()
    kill_scheduler(scene.airflow)
    scene.airflow.others.append(scene.airflow._started("scheduler"))
    scene.second_try("DescribeStep", 240)
    scene.let_go()
    line = scene.over("success")
    assert scene.steps() == ["COMPLETED"]
    told("scheduler killed with its workers", line)


def kill_scheduler(airflow: StandaloneAirflow) -> None:
    """SIGKILL for the scheduler and the workers below it, as when its machine goes."""
    assert airflow.process is not None
    below = psutil.Process(airflow.process.pid).children(recursive=True)
    (top,) = [one for one in below if one.cmdline()[-1:] == ["scheduler"]]
    for one in [*top.children(recursive=True), top]:
        one.kill()
