"""Airflow's listener that writes into a run's note what started it; a note that a person wrote stays in front."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

from pomona_airflow.started_by import started_by

_DAG = "retrain"
_LONGEST = 1000


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """Called by the scheduler inside its transaction, which saves the note with the run's new state."""
    if dag_run.dag_id != _DAG:
        return
    text = with_line(dag_run.note, f"Started by: {started_by(dag_run)}")
    if text != dag_run.note:
        dag_run.note = text


def with_line(note: str | None, line: str) -> str:
    """The note with the line at its end, once: a cleared run starts again and says no more than before."""
    if not note:
        return line
    if line in note.splitlines() or len(note) + len(line) + 1 > _LONGEST:
        return note
    return f"{note}\n{line}"
