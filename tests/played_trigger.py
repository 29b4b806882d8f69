"""The landing trigger without an Airflow around it: the test says how many runs there are, and reads what it fires."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

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


def trigger(places: dict[str, Any], **changes: Any) -> Trigger:
    numbers = {"min_new_images": 2, "settle_s": 0.3, "max_wait_s": 60, "poll_s": 0.05}
    return Trigger(**{**places, **numbers, **changes})


def send(places: dict[str, Any], *names: str) -> None:
    for name in names:
        (Path(places["landing"]) / "Training" / "a" / name).write_bytes(b"picture of " + name.encode())
