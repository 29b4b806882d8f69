"""What the lake keeps of a run's cluster: its lifetime, and in the place of the job that it was for why there was none."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pomona.stages import STAGES
from pomona_airflow.deployment import Deployment
from pomona_airflow.emr.cluster import Cluster, Clusters

if TYPE_CHECKING:
    from pomona.lake import Lake

LOG = logging.getLogger(__name__)


def is_done(deployment: Deployment, run: str, job: str) -> bool:
    """Whether the run's job, a stage or the rollback, has been done."""
    outcome = _lake(deployment).outcome(run, job)
    return outcome is not None and outcome["status"] == "done"


def tell(deployment: Deployment, run: str, job: str, status: str, line: str, began: datetime) -> None:
    """Writes down, as this job's outcome, why it will not be there to write one; what was done stays done."""
    ended = datetime.now(UTC)
    times = {"started": began.isoformat(timespec="seconds"), "ended": ended.isoformat(timespec="seconds")}
    told = {"stage": job, "run": run, "status": status, "line": line, "counts": {}, "seconds": (ended - began).total_seconds()}
    try:
        if not is_done(deployment, run, job):
            _lake(deployment).open().put_outcome(run, job, {**told, **times})
    except Exception:
        LOG.exception("the lake cannot be told: %s", line)


def lifetime(deployment: Deployment, run: str, job: str) -> dict[str, Any] | None:
    """Since when, till when and with which instances the run had its cluster for this job; None when it had none."""
    return _lake(deployment).document(_path(run, job))


def keep_lifetime(clusters: Clusters, run: str, job: str, cluster: Cluster) -> None:
    """Writes the lifetime down as it is known now; behind it those of the clusters that the run had earlier."""
    before = lifetime(clusters.deployment, run, job)
    earlier = list(before.pop("earlier", [])) if before else []
    if before and before["cluster"] != cluster.id:
        earlier.append(before)
    found = clusters.lifetime(cluster)
    if not cluster.live and not found["ended"]:
        found["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    _lake(clusters.deployment).put_document(_path(run, job), {**found, **({"earlier": earlier} if earlier else {})})


def _path(run: str, job: str) -> str:
    """The report counts the cluster of the chain; another job's run may have the same key."""
    return f"runs/{run}/usage/{'cluster' if job in STAGES else f'cluster-{job}'}.json"


def _lake(deployment: Deployment) -> Lake:
    from pomona.lake import Lake

    return Lake(deployment.lake, deployment.name, deployment.s3)
