"""What the lake keeps of a run's cluster: its lifetime, and in the first stage's place why there was none."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pomona.stages import STAGES
from pomona_airflow.cluster import Cluster, Clusters
from pomona_airflow.deployment import Deployment

if TYPE_CHECKING:
    from pomona.lake import Lake

LOG = logging.getLogger(__name__)
FIRST = next(iter(STAGES))


def is_done(deployment: Deployment, run: str) -> bool:
    """Whether the run's first stage has been done, so that only later ones are to be done anew."""
    outcome = _lake(deployment).outcome(run, FIRST)
    return outcome is not None and outcome["status"] == "done"


def tell(deployment: Deployment, run: str, status: str, line: str, began: datetime) -> None:
    """Writes down, as the first stage's outcome, why there will be no job to write one; a stage that was done stays done."""
    ended = datetime.now(UTC)
    times = {"started": began.isoformat(timespec="seconds"), "ended": ended.isoformat(timespec="seconds")}
    told = {"stage": FIRST, "run": run, "status": status, "line": line, "counts": {}, "seconds": (ended - began).total_seconds()}
    try:
        if not is_done(deployment, run):
            _lake(deployment).open().put_outcome(run, FIRST, {**told, **times})
    except Exception:
        LOG.exception("the lake cannot be told: %s", line)


def lifetime(deployment: Deployment, run: str) -> dict[str, Any] | None:
    """Since when, till when and with which instances the run had its cluster; None when it had none."""
    return _lake(deployment).document(_path(run))


def keep_lifetime(clusters: Clusters, run: str, cluster: Cluster) -> None:
    """Writes the lifetime down as it is known now; behind it those of the clusters that the run had earlier."""
    before = lifetime(clusters.deployment, run)
    earlier = list(before.pop("earlier", [])) if before else []
    if before and before["cluster"] != cluster.id:
        earlier.append(before)
    found = clusters.lifetime(cluster)
    if not cluster.live and not found["ended"]:
        found["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    _lake(clusters.deployment).put_document(_path(run), {**found, **({"earlier": earlier} if earlier else {})})


def _path(run: str) -> str:
    return f"runs/{run}/usage/cluster.json"


def _lake(deployment: Deployment) -> Lake:
    from pomona.lake import Lake

    return Lake(deployment.lake, deployment.name, deployment.s3)
