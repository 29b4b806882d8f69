"""What started a run of the DAG, in words: the schedule, arrived images, drift of new ones, or a person."""

from __future__ import annotations

from typing import Any

SCHEDULE = "schedule"
PERSON = "person"


def started_by(dag_run: Any) -> str:
    """`schedule`, `arrival of …`, `drift: …` or `person (name)`: of a run as a task knows it, and of one as the scheduler does."""
    run_type = str(getattr(dag_run.run_type, "value", dag_run.run_type))
    if run_type == "scheduled":
        return SCHEDULE
    if run_type == "asset_triggered":
        events = sorted(dag_run.consumed_asset_events, key=lambda event: event.timestamp)
        lines = [line for event in events if (line := _line(event.extra))]
        # A call that was lost and repeated is two events of one run: the later one knows more.
        return lines[-1] if lines else f"{PERSON} (event of the landing zone)"
    return f"{PERSON} ({dag_run.triggering_user_name})" if dag_run.triggering_user_name else PERSON


def _line(extra: Any) -> str:
    """The line of the landing trigger or of the task `notice`; empty for an event that somebody made by hand."""
    payload = extra.get("payload") if isinstance(extra, dict) else None
    return str(payload.get("started_by", "")) if isinstance(payload, dict) else ""
