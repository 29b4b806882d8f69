"""The run's own cluster: what is asked of EMR for it, which clusters are ours, and that there is one of them whatever goes wrong.

The golden requests are renewed, after a look at what changed, by python tests/airflow/test_cluster.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from pomona_airflow.deployment import Deployment, NotReady
from pomona_airflow.emr.cluster import Clusters, cluster_of, main
from pomona_airflow.emr.cluster_request import cluster_name, job_flow, nodes_at_first, owner, tags
from pomona_airflow.emr.cluster_trigger import ClusterTrigger

GOLDEN = Path(__file__).with_name("golden_job_flows.json")
RUN_ID = "manual__2026-01-02T03:04:05.678901+00:00"
RUN = "manual__2026-01-02T03-04-05.678901-00-00"
PLACES = {
    "POMONA_NAME": "fruit",
    "POMONA_ENGINE": "emr",
    "POMONA_LAKE": "s3://bucket/lake",
    "POMONA_LANDING": "s3://bucket/in",
    "POMONA_TRACKING": "http://mlflow:5000",
}
SETTINGS = {
    "smallest": {},
    "scaled": {"POMONA_EMR_MAX_NODES": "6", "POMONA_EMR_SUBNETS": "subnet-1,subnet-2"},
    "scaled with spot instances": {
        "POMONA_EMR_CORE_NODES": "4",
        "POMONA_EMR_MAX_NODES": "10",
        "POMONA_EMR_SPOT_SHARE": "60",
        "POMONA_EMR_CORE_TYPES": "m5.xlarge,m5a.xlarge,m6i.xlarge",
        "POMONA_EMR_SUBNETS": "subnet-1,subnet-2",
        "POMONA_EMR_TAGS": "team=vision",
        "POMONA_EMR_IDLE_MINUTES": "5",
        "POMONA_S3_ENCRYPTION": "aws:kms",
        "POMONA_S3_KMS_KEY": "arn:aws:kms:eu-west-1:1:key/2",
    },
}


def deployment(**settings: str) -> Deployment:
    return Deployment.from_environment({**PLACES, **settings})


def requests() -> dict[str, Any]:
    return {what: job_flow(deployment(**settings), RUN_ID) for what, settings in SETTINGS.items()}


def test_every_request_is_the_golden_one() -> None:
    assert requests() == json.loads(GOLDEN.read_text())


def test_the_golden_requests_are_accepted_by_awss_own_model() -> None:
    from botocore.session import get_session
    from botocore.validate import validate_parameters

    shape = get_session().get_service_model("emr").operation_model("RunJobFlow").input_shape
    for request in json.loads(GOLDEN.read_text()).values():
        validate_parameters(request, shape)


def test_tags_have_only_signs_that_aws_takes() -> None:
    for request in json.loads(GOLDEN.read_text()).values():
        for tag in request["Tags"]:
            assert re.fullmatch(r"[A-Za-z0-9 _.:/=+@-]{1,256}", tag["Value"]), tag


@pytest.mark.parametrize(
    ("core_nodes", "max_nodes", "share", "expected"),
    [
        (2, 2, 0, (2, 0)),
        (1, 1, 100, (1, 0)),
        (2, 2, 100, (1, 1)),
        (2, 2, 49, (2, 0)),
        (2, 2, 50, (1, 1)),
        (4, 10, 60, (2, 2)),
        (10, 10, 25, (8, 2)),
        # There will be spot instances, so their fleet is there from the beginning.
        (2, 10, 20, (1, 1)),
        (1, 4, 50, (1, 1)),
        (4, 10, 0, (4, 0)),
    ],
)
def test_the_spot_share_is_rounded_down_and_a_core_node_is_always_on_demand(core_nodes, max_nodes, share, expected) -> None:
    emr = dataclasses.replace(deployment().emr, core_nodes=core_nodes, max_nodes=max_nodes, spot_share=share)
    assert nodes_at_first(emr) == expected


def test_a_name_fits_awss_256_signs_and_two_long_ones_differ() -> None:
    first, second = (cluster_name(deployment(), "x" * 300 + end) for end in "ab")
    assert (len(first), len(second), first != second) == (256, 256, True)
    assert cluster_name(deployment(), "r") == "pomona-fruit-r"


def test_a_run_id_that_no_tag_can_hold_stands_in_none() -> None:
    assert tags(deployment(), "what? a run!") == {
        "pomona:created-by": "airflow task create_cluster",
        "pomona:name": "fruit",
        "pomona:run": "what-a-run",
    }


def test_own_tags_do_not_hide_ours() -> None:
    assert tags(deployment(POMONA_EMR_TAGS="pomona:name=other,team=vision"), RUN_ID)["pomona:name"] == "fruit"


class Played:
    """EMR in memory, a page for each cluster; `faults` are raised before an answer, `lost` after what was asked for has been done."""

    def __init__(self) -> None:
        self.clusters: dict[str, dict[str, Any]] = {}
        self.faults: list[Exception] = []
        self.lost: list[Exception] = []
        self.created = 0
        self.beside: Callable[[], None] = lambda: None

    def add(self, name: str, tags: dict[str, str], *, state: str = "WAITING", age_h: float = 0.0) -> str:
        number = f"j-{len(self.clusters) + 1}"
        created = datetime.now(UTC) - timedelta(hours=age_h)
        status = {"State": state, "StateChangeReason": {}, "Timeline": {"CreationDateTime": created}}
        self.clusters[number] = {"Id": number, "Name": name, "Status": status, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        return number

    def of_run(self, run_id: str = RUN_ID, **how: Any) -> str:
        request = job_flow(deployment(), run_id)
        return self.add(request["Name"], tags(deployment(), run_id), **how)

    def states(self) -> dict[str, str]:
        return {number: one["Status"]["State"] for number, one in self.clusters.items()}

    def run_job_flow(self, **request: Any) -> dict[str, str]:
        self._fault()
        self.created += 1
        self.beside()
        number = self.add(request["Name"], {tag["Key"]: tag["Value"] for tag in request["Tags"]}, state="STARTING")
        if self.lost:
            raise self.lost.pop()
        return {"JobFlowId": number}

    def describe_cluster(self, *, ClusterId: str) -> dict[str, Any]:
        self._fault()
        return {"Cluster": self.clusters[ClusterId]}

    def terminate_job_flows(self, *, JobFlowIds: list[str]) -> None:
        self._fault()
        for number in JobFlowIds:
            self.clusters[number]["Status"]["State"] = "TERMINATING"

    def get_paginator(self, operation: str) -> Any:
        return self

    def paginate(self, *, ClusterStates: list[str]) -> Iterator[dict[str, Any]]:
        self._fault()
        found = [one for one in self.clusters.values() if one["Status"]["State"] in ClusterStates]
        return iter([{"Clusters": [one]} for one in found])

    def _fault(self) -> None:
        if self.faults:
            raise self.faults.pop(0)


THROTTLED = ClientError({"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "ListClusters")
AWAY = EndpointConnectionError(endpoint_url="https://emr")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, "RunJobFlow")


@pytest.fixture
def emr(monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played()
    monkeypatch.setattr("pomona_airflow.emr.cluster.time.sleep", lambda _: None)
    monkeypatch.setattr(Clusters, "of", classmethod(lambda cls, deployment: cls(deployment, played)))
    for name, value in PLACES.items():
        monkeypatch.setenv(name, value)
    return played


def clusters() -> Clusters:
    return Clusters.of(deployment())


def test_a_cluster_is_ours_by_name_and_tag_and_an_ended_one_is_none(emr: Played) -> None:
    ours, theirs = emr.of_run(), tags(deployment(POMONA_NAME="fruit-test"), RUN_ID)
    emr.add("pomona-fruit-test-x", theirs)
    emr.add(f"pomona-fruit-{RUN}", {})
    emr.add("warehouse", tags(deployment(), RUN_ID))
    emr.of_run(state="TERMINATED")
    emr.of_run(state="TERMINATING")
    assert [one.id for one in clusters().live()] == [ours]
    assert [one.id for one in clusters().of_run(RUN)] == [ours]
    assert clusters().of_run("another") == []


def test_a_live_cluster_is_found_and_no_second_one_asked_for(emr: Played) -> None:
    there = emr.of_run(state="BOOTSTRAPPING")
    found = clusters().create(RUN_ID)
    assert (found.id, emr.created) == (there, 0)


def test_an_ended_cluster_is_followed_by_a_new_one(emr: Played) -> None:
    emr.of_run(state="TERMINATED_WITH_ERRORS")
    assert clusters().create(RUN_ID).id == "j-2"
    assert emr.created == 1


def test_a_busy_or_absent_service_is_asked_again(emr: Played) -> None:
    emr.faults = [THROTTLED, AWAY, THROTTLED]
    assert clusters().create(RUN_ID).id == "j-1"
    assert (emr.created, emr.faults) == (1, [])


@pytest.mark.parametrize("fault", [AWAY, ReadTimeoutError(endpoint_url="https://emr"), THROTTLED])
def test_a_cluster_whose_making_was_answered_by_a_fault_is_found_instead_of_made_twice(emr: Played, fault: Exception) -> None:
    emr.lost = [fault]
    assert clusters().create(RUN_ID).id == "j-1"
    assert emr.created == 1


def test_what_the_account_refuses_is_not_asked_for_again(emr: Played) -> None:
    emr.faults = [DENIED]
    with pytest.raises(ClientError, match="not you"):
        clusters().create(RUN_ID)


def test_of_two_creators_at_once_both_take_the_older_cluster_and_the_younger_is_ended(emr: Played) -> None:
    emr.beside = lambda: None if len(emr.clusters) else emr.of_run(state="STARTING", age_h=0.01) and None
    assert clusters().create(RUN_ID).id == "j-1"
    assert emr.states() == {"j-1": "STARTING", "j-2": "TERMINATING"}


def test_a_creator_that_was_killed_before_asks_for_nothing(emr: Played) -> None:
    assert clusters().create(RUN_ID, stopped=lambda: True) is None
    assert emr.created == 0


def test_left_behind_is_what_belongs_to_an_ended_run_or_is_too_old(emr: Played) -> None:
    runs = {"a": "success", "b": "failed", "c": "running", "d": "queued"}
    for run in runs:
        emr.of_run(run)
    emr.of_run("another airflow's", age_h=11.9)
    emr.of_run("an old one", age_h=12.1)
    emr.of_run("mine", age_h=100)
    left = clusters().left(runs.get, but_run="mine")
    assert {one.run: why for one, why in left} == {
        "a": "its run a ended with success",
        "b": "its run b ended with failed",
        "an-old-one": "it is 12.1 hours old, allowed are 12",
    }


def test_stages_work_on_the_given_cluster_or_on_the_runs_own(emr: Played) -> None:
    assert cluster_of(deployment(POMONA_EMR_CLUSTER="j-GIVEN"), RUN) == "j-GIVEN"
    with pytest.raises(NotReady, match=f"no live cluster pomona-fruit-{RUN}: clear the task create_cluster"):
        cluster_of(deployment(), RUN)
    own = emr.of_run()
    assert cluster_of(deployment(), RUN) == own


def test_runs_of_two_dags_that_a_schedule_began_in_the_same_second_have_a_cluster_each(emr: Played) -> None:
    chain, score = clusters().create(RUN_ID).id, clusters().create(RUN_ID, "score").id
    assert chain != score
    assert [cluster_of(deployment(), RUN, job) for job in ("ingest", "register", "score")] == [chain, chain, score]
    with pytest.raises(NotReady, match=f"no live cluster pomona-fruit-tidy__{RUN}: clear"):
        cluster_of(deployment(), RUN, "tidy")
    # The end of the one leaves the other alone.
    for one in clusters().of_run(owner(RUN, "score")):
        clusters().end(one)
    assert emr.states() == {chain: "STARTING", score: "TERMINATING"}


def test_that_a_run_of_this_dag_is_over_says_nothing_of_another_dags_run_of_the_same_id(emr: Played) -> None:
    for job in ("ingest", "score"):
        clusters().create(RUN_ID, job)
    for job, ended in (("ingest", RUN), ("score", f"score__{RUN}")):
        left = clusters().left({RUN_ID: "success"}.get, but_run="mine", job=job)
        assert [one.run for one, _ in left] == [ended]


def test_by_hand_clusters_are_listed_and_ended(emr: Played, capsys: pytest.CaptureFixture[str]) -> None:
    emr.of_run("a"), emr.of_run("b", age_h=3), emr.add("warehouse", {})
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines() == ["j-2  waiting  3.0 h  run b", "j-1  waiting  0.0 h  run a"]
    assert main(["--end", "j-3"]) == 2
    assert main(["--end", "j-1"]) == 0
    assert emr.states() == {"j-1": "TERMINATING", "j-2": "WAITING", "j-3": "WAITING"}
    assert main(["--end"]) == 0
    assert emr.states()["j-2"] == "TERMINATING"
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no live cluster of fruit"


def test_by_hand_region_and_keys_come_from_dotenv_as_for_every_command(emr: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr("pomona_airflow.emr.cluster.of_others", lambda: {"AWS_DEFAULT_REGION": "eu-west-1"})
    monkeypatch.setattr(Clusters, "of", classmethod(lambda cls, told: seen.append(os.environ.get("AWS_DEFAULT_REGION")) or cls(told, emr)))
    assert main([]) == 0
    assert seen == ["eu-west-1"]


def test_by_hand_a_wrong_setting_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("POMONA_ENGINE", "yarn")
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("POMONA_ENGINE='yarn' is none of ")


def fired(number: str, *, in_s: float = 60) -> dict[str, Any]:
    """What the trigger says of the cluster, with its deadline so far away."""

    async def first() -> dict[str, Any]:
        trigger = ClusterTrigger(cluster=number, deadline=(datetime.now(UTC) + timedelta(seconds=in_s)).isoformat())
        path, arguments = trigger.serialize()
        assert path == "pomona_airflow.emr.cluster_trigger.ClusterTrigger"
        async for event in ClusterTrigger(**arguments).run():
            return dict(event.payload)
        raise AssertionError("no event")

    return asyncio.run(asyncio.wait_for(first(), 10))


@pytest.mark.parametrize(("state", "in_s", "late"), [("WAITING", 60, False), ("TERMINATED_WITH_ERRORS", 60, False), ("STARTING", -1, True)])
def test_the_trigger_fires_when_the_cluster_is_ready_has_ended_or_is_late(emr: Played, state: str, in_s: float, late: bool) -> None:
    assert fired(emr.of_run(state=state), in_s=in_s) == {"cluster": "j-1", "late": late}


def test_the_trigger_waits_as_long_as_the_cluster_starts(emr: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    number, waits = emr.of_run(state="STARTING"), []

    async def waited(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            emr.clusters[number]["Status"]["State"] = "RUNNING"

    monkeypatch.setattr("pomona_airflow.emr.cluster_trigger.asyncio.sleep", waited)
    assert fired(number) == {"cluster": number, "late": False}
    assert waits == [15, 15, 15]


def test_a_killed_trigger_ends_the_cluster(emr: Played) -> None:
    asyncio.run(ClusterTrigger(cluster=emr.of_run(state="STARTING"), deadline="2026-01-01T00:00:00+00:00").on_kill())
    assert emr.states() == {"j-1": "TERMINATING"}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(requests(), indent=1) + "\n")
