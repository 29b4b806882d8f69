"""Clusters of this deployment on EMR: found by name and tags, created once, ended; and those that nobody ended.

python -m pomona_airflow.emr.cluster            the live clusters of this deployment, a line each
python -m pomona_airflow.emr.cluster --end      ends them; or only those named behind it
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from pomona.command import run_key
from pomona_airflow.deployment import Deployment, NotReady, of_others
from pomona_airflow.emr.cluster_request import FIRST, NAME_TAG, RUN_ID_TAG, RUN_TAG, cluster_name, job_flow, owner
from pomona_airflow.remote import passes
from pomona_airflow.settings.checks import BadSetting

LOG = logging.getLogger(__name__)
LIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING")
READY = ("RUNNING", "WAITING")
_OVER = ("success", "failed")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Cluster:
    """A cluster as EMR tells of it; `reason` says in words why it is in its state, and is empty where there is nothing to say."""

    id: str
    name: str
    state: str
    created: datetime
    ended: datetime | None = None
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def ready(self) -> bool:
        return self.state in READY

    @property
    def run(self) -> str:
        """Whose it is, as `cluster_request.owner` has it."""
        return self.tags.get(RUN_TAG, "")

    def hours(self, now: datetime) -> float:
        """How long it has been there."""
        return ((self.ended or now) - self.created).total_seconds() / 3600


@dataclass(frozen=True)
class Clusters:
    """The clusters that carry this deployment's tag. A name alone makes none of them ours, nor does a tag of another deployment.

    A service that is busy or away is asked again, every `poll_s` seconds, without an end: the bound is the task's own timeout.
    """

    deployment: Deployment
    client: Any

    @classmethod
    def of(cls, deployment: Deployment) -> Clusters:
        """Those that the connection's account has."""
        from airflow.providers.amazon.aws.hooks.emr import EmrHook

        return cls(deployment, EmrHook(aws_conn_id=deployment.emr.connection, emr_conn_id=None).get_conn())

    def live(self) -> list[Cluster]:
        """Every one that runs or begins to, the oldest first."""
        return self._asked(self._live)

    def of_run(self, run: str) -> list[Cluster]:
        """Those of this owner, the oldest first."""
        return [one for one in self.live() if one.run == run]

    def look(self, cluster: str) -> Cluster:
        """The cluster of the id as it is now, live or not."""
        return self._asked(lambda: self._described(cluster))

    def create(self, run_id: str, job: str = FIRST, *, stopped: Callable[[], bool] = lambda: False) -> Cluster | None:
        """The live cluster of the run for this job, created if there is none; None when `stopped` said so before there was one.

        RunJobFlow knows no token by which a second call would be the first one again. So a live one is looked for before each call,
        and behind it: of two that were asked for at the same time the older stays, whoever asked.
        """
        run = owner(run_key(run_id), job)
        request = job_flow(self.deployment, run_id, job)
        while not (found := self.of_run(run)):
            if stopped():
                return None
            try:
                made = str(self.client.run_job_flow(**request)["JobFlowId"])
            except Exception as error:
                if not passes(error):
                    raise
                self._pause(error)
                continue
            LOG.info("%s: asked for as %s", request["Name"], made)
            found = self._with(made, self.of_run(run))
            break
        for younger in found[1:]:
            LOG.info("%s: of two that were asked for at the same time the younger is ended", younger.id)
            self.end(younger)
        return found[0]

    def end(self, cluster: Cluster) -> None:
        """Asks EMR to end it; one that has ended already is none the worse for it."""
        self._asked(lambda: self.client.terminate_job_flows(JobFlowIds=[cluster.id]))

    def lifetime(self, cluster: Cluster) -> dict[str, Any]:
        """From when to when it was there and which instances it had, as the lake keeps it."""
        pages = self._asked(lambda: list(self.client.get_paginator("list_instances").paginate(ClusterId=cluster.id)))
        counted: dict[tuple[str, str], list[float]] = defaultdict(list)
        for one in (one for page in pages for one in page["Instances"]):
            times = one["Status"].get("Timeline") or {}
            born, gone = times.get("CreationDateTime", cluster.created), times.get("EndDateTime") or cluster.ended or _now()
            counted[one["InstanceType"], one["Market"]].append((gone - born).total_seconds() / 3600)
        return {
            "cluster": cluster.id,
            "created": cluster.created.isoformat(timespec="seconds"),
            "ended": cluster.ended.isoformat(timespec="seconds") if cluster.ended else None,
            "instances": [
                {"type": kind, "market": market, "count": len(hours), "hours": round(sum(hours), 3)}
                for (kind, market), hours in sorted(counted.items())
            ],
        }

    def left(self, state_of: Callable[[str], str | None], *, but_run: str, job: str = FIRST) -> list[tuple[Cluster, str]]:
        """The live clusters that nobody will end, each with the reason: their run is over, or they are older than `max_hours`.

        `state_of` gives the state of the run of this id in the DAG of `job`, None of one that it does not know: another Airflow may work
        under this name. Of another DAG's cluster it is not asked, for that DAG may have a run of the same id.
        """
        bound, found = self.deployment.emr.max_hours, []
        for one in self.live():
            if one.run == but_run:
                continue
            run_id = one.tags.get(RUN_ID_TAG)
            state = state_of(run_id) if run_id and one.run == owner(run_key(run_id), job) else None
            if state in _OVER:
                found.append((one, f"its run {one.run} ended with {state}"))
            elif one.hours(_now()) > bound:
                found.append((one, f"it is {one.hours(_now()):.1f} hours old, allowed are {bound}"))
        return found

    def _live(self) -> list[Cluster]:
        pages = self.client.get_paginator("list_clusters").paginate(ClusterStates=list(LIVE))
        prefix = f"pomona-{self.deployment.name}-"
        ids = [one["Id"] for page in pages for one in page["Clusters"] if one["Name"].startswith(prefix)]
        found = [self._described(one) for one in ids]
        ours = [one for one in found if one.live and one.tags.get(NAME_TAG) == self.deployment.name]
        return sorted(ours, key=lambda one: (one.created, one.id))

    def _with(self, made: str, found: list[Cluster]) -> list[Cluster]:
        """Those found and the one just made, which a listing may not show yet."""
        both = {one.id: one for one in [*found, self.look(made)]}
        return sorted(both.values(), key=lambda one: (one.created, one.id))

    def _described(self, cluster: str) -> Cluster:
        told = self.client.describe_cluster(ClusterId=cluster)["Cluster"]
        status = told["Status"]
        reason, times = status.get("StateChangeReason") or {}, status.get("Timeline") or {}
        return Cluster(
            id=told["Id"],
            name=told["Name"],
            state=status["State"],
            created=times["CreationDateTime"],
            ended=times.get("EndDateTime"),
            reason=" ".join(": ".join(filter(None, (reason.get("Code"), reason.get("Message")))).split()),
            tags={tag["Key"]: tag["Value"] for tag in told.get("Tags", [])},
        )

    def _asked(self, question: Callable[[], _Answer]) -> _Answer:
        while True:
            try:
                return question()
            except Exception as error:
                if not passes(error):
                    raise
                self._pause(error)

    def _pause(self, error: Exception) -> None:
        LOG.warning("EMR does not answer now (%s), asking again in %d s", " ".join(str(error).split()), self.deployment.emr.poll_s)
        time.sleep(self.deployment.emr.poll_s)


def cluster_of(deployment: Deployment, run: str, job: str = FIRST) -> str:
    """The id of the cluster on which this job of the run works: the given one, or the run's own.

    Raises
    ------
    NotReady
        When the run's own is not there, or no more.
    """
    if deployment.emr.cluster:
        return deployment.emr.cluster
    own = owner(run, job)
    found = Clusters.of(deployment).of_run(own)
    if not found:
        raise NotReady(
            f"there is no live cluster {cluster_name(deployment, own)}: clear the task create_cluster of the run with its later tasks"
        )
    return found[0].id


def main(words: Sequence[str]) -> int:
    """Lists this deployment's live clusters, or ends them; 0 even when there are none, 2 for an id that is none of them or bad settings."""
    parser = argparse.ArgumentParser(
        prog="python -m pomona_airflow.emr.cluster", description="The live clusters of this deployment on EMR."
    )
    parser.add_argument("--end", nargs="*", metavar="ID", help="end these, by default all, the one of a run at work included")
    wanted = parser.parse_args(words).end
    os.environ |= of_others()
    try:
        deployment = Deployment.from_environment()
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    clusters = Clusters.of(deployment)
    found = {one.id: one for one in clusters.live()}
    if unknown := set(wanted or ()) - set(found):
        print(f"{', '.join(sorted(unknown))}: no live cluster of {deployment.name}", file=sys.stderr)
        return 2
    for one in found.values():
        ending = wanted is not None and (not wanted or one.id in wanted)
        if ending:
            clusters.end(one)
        print(f"{one.id}  {'ending' if ending else one.state.lower()}  {one.hours(_now()):.1f} h  run {one.run}")
    if not found:
        print(f"no live cluster of {deployment.name}")
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
