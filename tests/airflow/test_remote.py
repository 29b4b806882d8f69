"""A job on AWS is found by its name or submitted, is one however many submit it, and counts as done only with its manifest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError, EndpointConnectionError

from pomona import errand
from pomona.command import parse
from pomona.lake import Lake
from pomona.store_faults import StoreAway
from pomona_airflow.deployment import Deployment, NotReady
from pomona_airflow.remote import Errand, RemoteEngine, RemoteJob, job_name, not_ready, passes

RUN, STAGE = "manual__2026-01-02", "ingest"
NAME = "pomona-fruit-ingest-manual__2026-01-02-0a1b2c3d"


class Service(RemoteEngine):
    """A service in memory: its jobs in the order of their submission, and what it was asked."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self.all: list[RemoteJob] = []
        self.sent: list[list[str]] = []
        self.cancelled: list[str] = []
        self.blind: list[int] = []
        self.trouble: Exception | None = None

    def place(self, run: str, job: str) -> str:
        return "j-1"

    def jobs(self, place: str, name: str) -> list[RemoteJob]:
        """What a listing shows; a blind look shows only so many, as one that was taken before others submitted."""
        return [job for job in self.all[: self.blind.pop(0) if self.blind else None] if job.name == name]

    def submit(self, place: str, name: str, words: Sequence[str], *, ended: int) -> str:
        self.sent.append(list(words))
        self.all.append(RemoteJob(place, f"s-{len(self.all) + 1}", name, "live", "PENDING"))
        return self.all[-1].id

    def look(self, job: RemoteJob) -> RemoteJob:
        if self.trouble is not None:
            raise self.trouble
        return next(one for one in self.all if one.id == job.id)

    def cancel(self, job: RemoteJob) -> None:
        self.cancelled.append(job.id)
        self.ended(job.id, "failed", "CANCELLED")

    def ended(self, job: str, state: Any, said: str = "COMPLETED") -> None:
        self.all = [replace(one, state=state, said=said) if one.id == job else one for one in self.all]

    def usage(self, job: RemoteJob) -> dict[str, Any]:
        return {"engine": "emr", "seconds": 12.0}

    def tail(self, job: RemoteJob, n_lines: int) -> list[str]:
        return ["Killed by the node's own hand"]

    def pages(self, job: RemoteJob) -> dict[str, str]:
        return {}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(Deployment.from_environment({"POMONA_NAME": "fruit", "POMONA_LAKE": str(tmp_path), "POMONA_EMR_POLL_S": "1"}))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path), "fruit").open()


def sent_by(service: Service) -> Errand:
    return Errand(service, RUN, STAGE, NAME)


def words(asked: int) -> list[str]:
    return ["ingest", "--asked", str(asked)]


def finish(lake: Lake, name: str = NAME, status: str = "done") -> None:
    """What a job leaves that has ended with this status."""
    lake.put_outcome(RUN, STAGE, {"job": name, "status": status, "line": "three images", "counts": {}, "seconds": 1.0})
    if status == "done":
        lake.put_document(f"runs/{RUN}/manifests/{STAGE}.json", {"job": name})


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "DescribeStep")  # type: ignore[typeddict-item]


def test_who_comes_second_finds_the_job_of_the_first(service: Service) -> None:
    first, second = sent_by(service).start(words), sent_by(service).start(words)
    assert (first.id, second.id, len(service.sent)) == ("s-1", "s-1", 1)


def test_ctrl_c_ends_the_job_that_a_command_waits_for(service: Service, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pomona_airflow.remote.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        service.run(NAME, ["tidy", "--run", RUN])
    assert (service.cancelled, errand.n_asked(lake, RUN, NAME)) == (["s-1"], 1)


def test_of_two_that_submit_at_once_the_older_stays(service: Service) -> None:
    service.submit("j-1", NAME, [], ended=0)
    # The listing before the submission was taken before the other's came in.
    service.blind = [0]
    assert sent_by(service).start(words).id == "s-1"
    assert service.cancelled == ["s-2"]


def test_a_job_of_another_name_is_nobodys_business(service: Service) -> None:
    service.submit("j-1", NAME + "x", [], ended=0)
    assert sent_by(service).start(words).id == "s-2"
    assert service.cancelled == []


def test_a_failed_job_is_submitted_anew_under_its_name(service: Service) -> None:
    sent_by(service).start(words)
    service.ended("s-1", "failed", "FAILED")
    assert sent_by(service).start(words).id == "s-2"


def test_ending_leaves_a_note_and_the_next_try_is_told_of_it(service: Service, lake: Lake) -> None:
    job = sent_by(service).start(words)
    sent_by(service).end(job)
    assert service.cancelled == ["s-1"] and errand.n_asked(lake, RUN, NAME) == 1
    assert sent_by(service).start(words).id == "s-2"
    assert service.sent == [["ingest", "--asked", "0"], ["ingest", "--asked", "1"]]


def test_a_try_that_was_given_up_does_not_end_the_job_that_a_later_one_waits_for(service: Service) -> None:
    first, second, somebody = (Errand(service, RUN, STAGE, NAME, attempt) for attempt in (1, 2, None))
    job = first.start(words)
    second.start(words)
    first.end(job)
    assert service.cancelled == []
    second.end(job)
    assert service.cancelled == [job.id]
    somebody.end(job)
    assert service.cancelled == [job.id, job.id]


def test_a_job_is_asked_to_end_both_ways_though_one_of_them_fails(service: Service, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    job = sent_by(service).start(words)

    def busy(_: object) -> None:
        raise refusal("ThrottlingException")

    with monkeypatch.context() as patched:
        patched.setattr(service, "cancel", busy)
        sent_by(service).end(job)
    assert errand.n_asked(lake, RUN, NAME) == 1

    def away(*_: object) -> None:
        raise StoreAway("s3://bucket failed 8 times")

    monkeypatch.setattr(Lake, "append", away)
    sent_by(service).end(job)
    assert service.cancelled == ["s-1"]


def test_a_bill_that_cannot_be_told_changes_nothing(service: Service, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    job = sent_by(service).start(words)
    service.ended("s-1", "succeeded")
    finish(lake)
    # What a step has that was cancelled before it began.
    monkeypatch.setattr(service, "usage", lambda _: {}["StartDateTime"])
    outcome = sent_by(service).closed(sent_by(service).wait(job))
    assert outcome is not None and outcome["status"] == "done"
    assert lake.document(f"runs/{RUN}/usage/{STAGE}.json") is None


def test_success_counts_only_with_the_manifest(service: Service, lake: Lake) -> None:
    job = sent_by(service).start(words)
    service.ended("s-1", "succeeded")
    with pytest.raises(AirflowException, match=r"ingest: s-1 ended \(COMPLETED\) and left no manifest"):
        sent_by(service).closed(sent_by(service).wait(job))
    finish(lake, NAME + "x")
    with pytest.raises(AirflowException, match="left no manifest"):
        sent_by(service).closed(sent_by(service).wait(job))
    finish(lake)
    outcome = sent_by(service).closed(sent_by(service).wait(job))
    assert outcome is not None and outcome["line"] == "three images"
    assert lake.document(f"runs/{RUN}/usage/{STAGE}.json") == {"engine": "emr", "seconds": 12.0, "job": NAME}


def test_a_copy_that_ended_by_itself_leads_to_the_one_at_work(service: Service, lake: Lake) -> None:
    service.submit("j-1", NAME, [], ended=0)
    service.submit("j-1", NAME, [], ended=0)
    service.ended("s-2", "succeeded")
    assert sent_by(service).looked(replace(service.all[1], state="live")).id == "s-1"
    finish(lake)
    assert sent_by(service).looked(replace(service.all[1], state="live")).id == "s-2"


def test_a_fault_that_the_job_told_is_its_outcome_and_the_drivers_log_is_shown(
    service: Service, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    job = sent_by(service).start(words)
    service.ended("s-1", "failed", "FAILED")
    finish(lake, status="fault")
    with caplog.at_level(logging.INFO):
        outcome = sent_by(service).closed(sent_by(service).wait(job))
    assert outcome is not None and outcome["status"] == "fault"
    assert "Killed by the node's own hand" in caplog.text


def test_a_busy_service_is_looked_at_again_and_a_refusal_is_told(service: Service) -> None:
    job = sent_by(service).start(words)
    for passing in (refusal("ThrottlingException"), refusal("Internal", 503), EndpointConnectionError(endpoint_url="x")):
        service.trouble = passing
        assert sent_by(service).looked(job) == job
    service.trouble = refusal("AccessDeniedException")
    with pytest.raises(ClientError):
        sent_by(service).looked(job)


def test_a_job_without_addresses_is_no_worse_for_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_: object) -> None:
        raise refusal("ThrottlingException")

    monkeypatch.setattr(service, "pages", busy)
    assert sent_by(service).pages(sent_by(service).start(words)) == {}


def test_what_the_job_says_is_shown_once(service: Service, lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        told = sent_by(service).tell(0)
        lake.put(f"runs/{RUN}/logs/{NAME}.txt", b"09:00:00 one\n")
        told = sent_by(service).tell(told)
        lake.put(f"runs/{RUN}/logs/{NAME}.txt", b"09:00:00 one\n09:00:01 two\n")
        sent_by(service).tell(told)
    assert [record.getMessage() for record in caplog.records] == ["09:00:00 one", "09:00:01 two"]


def test_a_name_is_the_same_over_tries_and_another_after_a_clear(service: Service) -> None:
    names = [job_name(service.deployment, STAGE, RUN, "2026-01-02T00:00:00", clears) for clears in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert all(name.startswith("pomona-fruit-ingest-manual__2026-01-02-") for name in names)


def test_a_refusal_that_stays_is_one_line_and_what_passes_is_none() -> None:
    told = not_ready(refusal("AccessDeniedException"), "emr refuses the job")
    assert isinstance(told, NotReady) and "AccessDeniedException" in str(told) and "\n" not in str(told)
    assert not_ready(refusal("ThrottlingException"), "emr") is None
    assert not passes(ValueError("a bug"))


@pytest.mark.parametrize("engine", ["emr", "emr-serverless"])
def test_the_command_sent_to_aws_is_one_that_the_job_accepts_and_holds_no_secret(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import DAG

    from pomona_airflow.emr.packages import Packages
    from pomona_airflow.engines import engine_of
    from pomona_airflow.stage_operator import StageOperator

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-arguments")
    places = {"POMONA_LANDING": "s3://bucket/in", "POMONA_LAKE": "s3://bucket/lake", "POMONA_TRACKING": "http://mlflow:5000"}
    deployment = Deployment.from_environment({"POMONA_NAME": "fruit", "POMONA_ENGINE": engine, "POMONA_EMR_MAX_NODES": "3", **places})
    with DAG(dag_id="chain", schedule=None):
        order = StageOperator(stage="describe").words(RUN, {"preset": "fast"}, deployment, job=NAME, asked=2)
    sent = Packages(entry="s3://b/_p/run_stage-1.py", code="s3://b/_p/pomona-2.zip", environment="s3://b/_p/environment-3.tar.gz")
    made = engine_of(deployment)
    if engine == "emr":
        command = made.command(NAME, order, sent)
        assert command[:7] == ["spark-submit", "--master", "yarn", "--deploy-mode", "cluster", "--name", NAME]
        assert command[command.index("--archives") + 1] == "s3://b/_p/environment-3.tar.gz#environment"
        assert command[command.index(sent.entry) + 1 :] == order
        # Three nodes of four vCPUs.
        assert "spark.default.parallelism=12" in command
    else:
        command = made.parameters(sent).split()
        assert "spark.archives=s3://b/_p/environment-3.tar.gz#environment" in " ".join(command)
    assert command[command.index("--py-files") + 1] == sent.code
    parsed = parse(order)
    assert (parsed.job, parsed.asked, parsed.knobs["extractor"]) == (NAME, 2, "sift")
    assert "not-for-arguments" not in " ".join(command)


@pytest.mark.parametrize(("host", "shown"), [("ip-10-0-0-7.ec2.internal", ["http://ip-10-0-0-7.ec2.internal:18080"]), (None, [])])
def test_a_step_leads_to_the_console_and_once_there_is_a_primary_node_to_sparks_ui(
    host: str | None, shown: list[str], monkeypatch: Any
) -> None:
    from types import SimpleNamespace

    from pomona_airflow.emr.engine_emr import Engine

    told = {"Cluster": {"MasterPublicDnsName": host} if host else {}}
    client = SimpleNamespace(meta=SimpleNamespace(region_name="eu-west-1"), describe_cluster=lambda **_: told)
    monkeypatch.setattr(Engine, "client", client)
    pages = Engine(Deployment.from_environment({})).pages(RemoteJob("j-1", "s-1", NAME, "live", "PENDING"))
    assert list(pages.values()) == ["https://eu-west-1.console.aws.amazon.com/emr/home?region=eu-west-1#/clusterDetails/j-1", *shown]
