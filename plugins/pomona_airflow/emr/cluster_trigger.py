"""Waits in the triggerer until a cluster is ready, and ends it when the task that waits is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from pomona_airflow.deployment import Deployment
from pomona_airflow.emr.cluster import Clusters


class ClusterTrigger(BaseTrigger):
    """Fires once: when the cluster is ready or has ended, or at the deadline, of which Airflow would tell nobody."""

    def __init__(self, *, cluster: str, deadline: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cluster, self.deadline = cluster, deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"cluster": self.cluster, "deadline": self.deadline}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: the cluster's id, and whether the deadline came first."""
        clusters = await asyncio.to_thread(_clusters)
        while True:
            now = await asyncio.to_thread(clusters.look, self.cluster)
            late = datetime.now(UTC) > datetime.fromisoformat(self.deadline)
            if now.ready or not now.live or late:
                break
            await asyncio.sleep(clusters.deployment.emr.poll_s)
        yield TriggerEvent({"cluster": self.cluster, "late": late and now.live and not now.ready})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Called when somebody marks or clears the waiting task; not when the triggerer itself stops."""
        clusters = await asyncio.to_thread(_clusters)
        await asyncio.to_thread(lambda: clusters.end(clusters.look(self.cluster)))


def _clusters() -> Clusters:
    return Clusters.of(Deployment.from_environment())
