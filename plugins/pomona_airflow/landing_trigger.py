"""What lets new images start a run: looks at the landing zone, and one event when enough have arrived and come to rest.

The listing is the truth. A message from SQS only means "look now", so that lost, doubled or reordered ones change nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from pomona.s3 import S3
from pomona_airflow.wake import Queue

if TYPE_CHECKING:
    from pomona.lookout import Lookout

_LEAST_S = 1.0
_ACTIVE = ["queued", "running"]
# A look that takes long (a million files, a slow disk) is followed by three times as long a rest, up to a minute.
_REST_PER_LOOK = 3
_LONGEST_REST_S = 60.0


class LandingTrigger(BaseEventTrigger):
    """Fires when a run of the DAG would take in what has arrived; never while one is queued or running, which may do so itself.

    All it needs travels in its arguments: the triggerer does not read Pomona's environment. Credentials are AWS's own chain.
    """

    def __init__(
        self,
        *,
        dag_id: str,
        landing: str,
        lake: str,
        name: str,
        s3: str,
        min_new_images: int,
        settle_s: int,
        max_wait_s: int,
        poll_s: int,
        sqs_queue: str = "",
        labels: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments: dict[str, Any] = {
            "dag_id": dag_id,
            "landing": landing,
            "lake": lake,
            "name": name,
            "s3": s3,
            "min_new_images": min_new_images,
            "settle_s": settle_s,
            "max_wait_s": max_wait_s,
            "poll_s": poll_s,
            "sqs_queue": sqs_queue,
            "labels": labels,
        }
        self.poll_s = float(poll_s)
        self._told: dict[str, str] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", dict(self.arguments)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        lookout, queue = await asyncio.to_thread(self._lookout), self._queue()
        while True:
            began, due_s, line = time.monotonic(), self.poll_s, ""
            try:
                due_s, line = await self._look(lookout)
            except Exception as error:  # noqa: BLE001 (whatever is wrong with a disk, a bucket or a database: it goes on looking)
                self._tell("landing", f"cannot look at {self.arguments['landing']}: {_first_line(error)}")
            if line:
                yield TriggerEvent({"started_by": line})  # type: ignore[no-untyped-call]
            least_s = max(_LEAST_S, min(_LONGEST_REST_S, _REST_PER_LOOK * (time.monotonic() - began)))
            await asyncio.sleep(least_s)
            await self._rest(queue, min(self.poll_s, due_s) - least_s)

    async def _rest(self, queue: Queue | None, seconds: float) -> None:
        """Waits so long, or until a message comes; a queue that cannot be asked leaves the clock."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            # SQS waits in whole seconds.
            if queue is None or left_s < 1:
                await asyncio.sleep(left_s)
                return
            try:
                if await asyncio.to_thread(queue.wait, left_s):
                    return
                self._tell("queue", "listens to the queue")
            except Exception as error:  # noqa: BLE001 (as above: the clock is enough to lose nothing)
                self._tell("queue", f"cannot ask {queue.url}, looks by the clock: {_first_line(error)}")
                await asyncio.sleep(left_s)

    async def _look(self, lookout: Lookout) -> tuple[float, str]:
        """Seconds until the next look is due at the latest, and what a run is called for with, or an empty line."""
        n_waiting = await asyncio.to_thread(lookout.look)
        if not n_waiting:
            self._tell("landing", "nothing waits")
            return self.poll_s, ""
        runs = await self._runs(None)
        due_s = await asyncio.to_thread(lookout.due_s, runs)
        if due_s > 0:
            self._tell("landing", f"{n_waiting:,} files wait")
            return due_s, ""
        # Asked behind the look: what waited then, a run that has come since may have taken in.
        if await self._runs(_ACTIVE):
            self._tell("landing", f"{n_waiting:,} files wait; a run is at work")
            return self.poll_s, ""
        call = await asyncio.to_thread(lookout.call, runs)
        if call is None:
            return _LEAST_S, ""
        self._tell("landing", f"calls for a run: {call.text}")
        return self.poll_s, call.text

    async def _runs(self, states: list[str] | None) -> int:
        """How many runs of the DAG are in these states, or have ever been."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        return await asyncio.to_thread(RuntimeTaskInstance.get_dr_count, dag_id=self.arguments["dag_id"], states=states)

    def _lookout(self) -> Lookout:
        from pomona.lookout import Lookout

        patience = ("min_new_images", "settle_s", "max_wait_s")
        return Lookout.of(**{name: self.arguments[name] for name in ("landing", "labels", "lake", "name", "s3", *patience)})

    def _queue(self) -> Queue | None:
        url = self.arguments["sqs_queue"]
        return Queue(url, S3.parse(self.arguments["s3"]).region) if url else None

    def _tell(self, what: str, state: str) -> None:
        """One line in the triggerer's log for each change of state."""
        if self._told.get(what) != state:
            self.log.info("%s: %s", self.arguments["name"], state)
            self._told[what] = state


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"
