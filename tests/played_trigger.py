"""The landing trigger without an Airflow around it: the test says how many runs there are, and reads what it fires."""

from __future__ import annotations

import asyncio
import time

import pytest

from pomona_airflow.landing_trigger import LandingTrigger


class Trigger(LandingTrigger):
    """The trigger with Airflow's count of runs played by the test."""

    active, ever = 0, 0

    async def _runs(self, states: list[str] | None) -> int:
        return self.ever if states is None else self.active


async def fired(watched: LandingTrigger, seconds: float, *, enough: int = 1) -> list[str]:
    """What the trigger says in the time, or a little after it has said enough; then it is cancelled, as the triggerer cancels it."""
    lines: list[str] = []

    async def listen() -> None:
        async for event in watched.run():
            lines.append(event.payload["started_by"])

    task, until = asyncio.create_task(listen()), time.monotonic() + seconds
    while time.monotonic() < until and len(lines) < enough:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    assert not task.done(), "the trigger ended by itself"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return lines
