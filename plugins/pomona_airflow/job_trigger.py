"""Waits in the triggerer for a job on AWS, and ends it when its task is killed, cleared or out of time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from pomona_airflow.deployment import Deployment
from pomona_airflow.remote import Errand, RemoteJob

LOG = logging.getLogger(__name__)


class JobTrigger(BaseTrigger):
    """Fires when the job has ended, or at the deadline; `job` is a `RemoteJob` as a dictionary."""

    def __init__(self, *, job: dict[str, Any], run: str, stage: str, deadline: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job, self.run_key, self.stage, self.deadline = job, run, stage, deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {"job": self.job, "run": self.run_key, "stage": self.stage, "deadline": self.deadline}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: the job as it ended, whether the deadline came first, and how much of the job's log stands in the trigger's.

        Airflow's own timeout of a deferred task would tell nobody to end the job, so the deadline is kept here.
        """
        errand, job = await asyncio.to_thread(self._errand), RemoteJob(**self.job)
        late, told = False, 0
        while job.live and not late:
            told = await asyncio.to_thread(errand.tell, told)
            await asyncio.sleep(errand.engine.deployment.emr.poll_s)
            job = await asyncio.to_thread(errand.looked, job)
            late = job.live and datetime.now(UTC) > datetime.fromisoformat(self.deadline)
        yield TriggerEvent({"job": asdict(job), "late": late, "told": told})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Called when somebody marks or clears the waiting task; not when the triggerer itself stops."""
        try:
            errand = await asyncio.to_thread(self._errand)
            await asyncio.to_thread(errand.end, RemoteJob(**self.job))
        except Exception:
            # Airflow says that there was one, and not which.
            LOG.exception("%s could not be ended", self.job["name"])
            raise

    def _errand(self) -> Errand:
        from pomona_airflow.engines import engine_of

        return Errand(engine_of(Deployment.from_environment()), self.run_key, self.stage, str(self.job["name"]))
