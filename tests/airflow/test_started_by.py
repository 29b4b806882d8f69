"""What started a run, told apart and kept in its note."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType as TasksRunType
from airflow.utils.types import DagRunType

from pomona_airflow import run_note
from pomona_airflow.started_by import started_by

ARRIVAL = "arrival of 25 images, the oldest waited 61 s"


@dataclass
class Event:
    extra: Any
    timestamp: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Run:
    """A run as far as Airflow shows it to listeners and tasks."""

    run_type: Any
    triggering_user_name: str | None = None
    consumed_asset_events: list[Event] = field(default_factory=list)
    note: str | None = None
    dag_id: str = "retrain"


def fired(line: str, day: int = 1) -> Event:
    """An event as Airflow writes it for a trigger's payload."""
    return Event({"from_trigger": True, "payload": {"started_by": line}}, datetime(2026, 1, day, tzinfo=UTC))


@pytest.mark.parametrize("types", [DagRunType, TasksRunType])
@pytest.mark.parametrize(
    ("run_type", "user", "events", "words"),
    [
        ("scheduled", None, [], "schedule"),
        ("asset_triggered", None, [fired(ARRIVAL)], ARRIVAL),
        ("asset_triggered", None, [fired("arrival of 40 images", 2), fired("arrival of 9 images", 1)], "arrival of 40 images"),
        ("asset_triggered", None, [Event({"by": "hand"}), Event(None)], "person (event of the landing zone)"),
        ("asset_triggered", None, [Event({"payload": {"started_by": "drift: darker"}})], "drift: darker"),
        ("manual", "ann", [], "person (ann)"),
        ("manual", None, [], "person"),
        ("backfill", "ann", [], "person (ann)"),
    ],
)
def test_schedule_arrival_and_person_are_told_apart_in_scheduler_and_task(types, run_type, user, events, words):
    assert started_by(Run(types(run_type), user, events)) == words


def test_the_note_says_what_started_the_run():
    run = Run(DagRunType.ASSET_TRIGGERED, None, [fired(ARRIVAL)])
    run_note.on_dag_run_running(run, "started")
    assert run.note == f"Started by: {ARRIVAL}"


def test_a_persons_note_stays_in_front_and_a_cleared_run_adds_nothing():
    run = Run(DagRunType.MANUAL, "ann", note="the new ones from the market")
    run_note.on_dag_run_running(run, "started")
    assert run.note == "the new ones from the market\nStarted by: person (ann)"
    run_note.on_dag_run_running(run, "started")
    assert run.note == "the new ones from the market\nStarted by: person (ann)"


def test_a_note_that_would_grow_too_long_for_airflow_stays_as_it_is():
    assert run_note.with_line("x" * 990, "Started by: schedule") == "x" * 990


def test_other_dags_keep_their_notes():
    run = Run(DagRunType.SCHEDULED, dag_id="someone_elses")
    run_note.on_dag_run_running(run, "started")
    assert run.note is None


def test_airflow_finds_the_listener_in_our_plugin():
    from airflow.listeners.listener import get_listener_manager

    from plugins.pomona_plugin import PomonaPlugin

    assert PomonaPlugin.listeners == [run_note]
    manager = get_listener_manager()
    manager.add_listener(run_note)
    run = Run(DagRunType.SCHEDULED)
    manager.hook.on_dag_run_running(dag_run=run, msg="started")
    assert run.note == "Started by: schedule"
