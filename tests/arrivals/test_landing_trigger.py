"""The landing trigger as the triggerer runs it: when it fires and what it bears."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
from airflow.triggers.base import BaseEventTrigger

from pomona import snapshots
from pomona.arrivals import Patience
from pomona.lake import Lake
from pomona.landing import Landing
from pomona.lookout import Lookout
from pomona_airflow.landing_trigger import LandingTrigger
from tests.played_trigger import Trigger, fired, send, trigger


def take_in(places: dict[str, Any]) -> None:
    """What a run's ingest leaves: a snapshot that knows all that is listed."""
    lake = Lake(places["lake"], places["name"])
    listed, placed, _ = snapshots.locate(Landing(places["landing"]).files(), group_pattern="")
    rows = [(f.path, f.size, f.version, f.path, "part", None, True) for f in listed]
    taken = pd.DataFrame(rows, columns=["path", "size", "version", "content", "part", "reason", "final"])
    assert snapshots.save(lake, snapshots.follow(snapshots.latest(lake), listed, placed, taken)) is not None


def test_the_trigger_may_feed_a_watcher_and_is_made_again_from_what_it_serialises(places):
    made = LandingTrigger(**places, min_new_images=20, settle_s=60, max_wait_s=3600, poll_s=20, sqs_queue="https://q/1/2")
    path, arguments = made.serialize()
    assert isinstance(made, BaseEventTrigger)
    assert path == "pomona_airflow.landing_trigger.LandingTrigger"
    again = LandingTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert BaseEventTrigger.hash(path, arguments) == BaseEventTrigger.hash(*again.serialize())


def test_it_fires_once_when_enough_have_arrived_and_rested(places):
    send(places, "1.jpg", "2.jpg", "3.jpg")
    assert asyncio.run(fired(trigger(places), 20)) == ["arrival of 3 images, the oldest waited 0 s"]


def test_it_does_not_fire_for_too_few_or_for_none(places):
    assert asyncio.run(fired(trigger(places), 0.2)) == []
    send(places, "1.jpg")
    assert asyncio.run(fired(trigger(places), 0.6)) == []


def test_it_never_fires_while_a_run_is_queued_or_running_and_then_for_what_that_run_left(places):
    async def play() -> tuple[list[str], list[str]]:
        watched = trigger(places)
        watched.active = watched.ever = 1
        send(places, "1.jpg", "2.jpg")
        early = await fired(watched, 0.5)
        take_in(places)
        send(places, "3.jpg", "4.jpg")
        watched.active = 0
        return early, await fired(watched, 20)

    early, late = asyncio.run(play())
    assert early == []
    assert [line.split(",")[0] for line in late] == ["arrival of 2 images"]


def test_what_a_run_has_taken_in_does_not_wake_it_again(places):
    send(places, "1.jpg", "2.jpg")
    take_in(places)
    assert asyncio.run(fired(trigger(places), 0.6)) == []


def test_a_picture_that_is_put_back_after_it_was_gone_is_an_arrival(places):
    send(places, "1.jpg", "2.jpg", "3.jpg")
    path = Path(places["landing"]) / "Training" / "a" / "1.jpg"
    state, data = path.stat(), path.read_bytes()
    take_in(places)
    path.unlink()
    take_in(places)
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert len(asyncio.run(fired(trigger(places, min_new_images=1), 20))) == 1


def test_a_watcher_that_follows_another_does_not_fire_again_for_the_same_files(places):
    send(places, "1.jpg", "2.jpg")
    assert len(asyncio.run(fired(trigger(places), 20))) == 1
    assert asyncio.run(fired(trigger(places), 0.6)) == []


def test_of_two_watchers_at_once_one_fires(places):
    async def play() -> list[list[str]]:
        return list(await asyncio.gather(*(fired(trigger(places), 1.5) for _ in range(3))))

    send(places, "1.jpg", "2.jpg")
    assert sorted(map(len, asyncio.run(play()))) == [0, 0, 1]


def test_a_run_that_took_files_in_since_the_look_stops_the_call(places):
    send(places, "1.jpg", "2.jpg")
    lookout = trigger(places, settle_s=0)._lookout()
    assert (lookout.look(), lookout.look()) == (2, 2)
    assert lookout.due_s(0) <= 0
    take_in(places)
    assert lookout.call(0) is None
    assert lookout.look() == 0


def test_the_lake_keeps_two_calls_at_most(places):
    lookout = trigger(places, settle_s=0)._lookout()
    for number in range(5):
        send(places, f"{number}.jpg")
        lookout.look()
        assert lookout.call(number) is not None
    assert Lake(places["lake"], "n").names("calls") == ["000004.json", "000005.json"]


def test_a_landing_zone_that_is_missing_is_told_once_and_watched_until_it_is_there(places, capsys):
    async def play() -> list[str]:
        landing = Path(places["landing"])
        landing.rename(landing.with_name("away"))

        async def put_back() -> None:
            await asyncio.sleep(0.3)
            landing.with_name("away").rename(landing)

        task = asyncio.create_task(put_back())
        lines = await fired(trigger(places), 20)
        await task
        return lines

    send(places, "1.jpg", "2.jpg")
    assert len(asyncio.run(play())) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if "cannot look" in line]
    assert len(told) == 1
    assert "does not exist: make it" in told[0]


def test_airflow_that_does_not_answer_stops_no_watcher(places):
    class Deaf(Trigger):
        asked = 0

        async def _runs(self, states: list[str] | None) -> int:
            self.asked += 1
            if self.asked < 5:
                raise RuntimeError("API server away")
            return await super()._runs(states)

    send(places, "1.jpg", "2.jpg")
    watched = Deaf(**{**places, "min_new_images": 2, "settle_s": 0, "max_wait_s": 60, "poll_s": 0.05})
    assert len(asyncio.run(fired(watched, 20))) == 1


def test_only_a_second_look_shows_that_files_have_come_to_rest(places):
    """Airflow may take seconds to say how many runs there are: what the only look saw may have grown since."""
    at = [100.0]
    patience = Patience(min_new_images=2, settle_s=6, max_wait_s=3600)
    lookout = Lookout(Landing(places["landing"]), Lake(places["lake"], places["name"]), patience, clock=lambda: at[0])
    send(places, "1.jpg", "2.jpg")
    lookout.look()
    at[0] = 107.0
    assert lookout.due_s(0) == 6
    lookout.look()
    assert lookout.due_s(0) == -1
