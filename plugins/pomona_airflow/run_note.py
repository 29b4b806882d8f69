"""Airflow's listener that writes into a run's note what started it, and that drift began; a note that a person wrote stays in front."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

from pomona_airflow.started_by import started_by

_STARTED, _NOTICED = "retrain", "score"
_LONGEST = 1000


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """Called by the scheduler inside its transaction, which saves the note with the run's new state."""
    if dag_run.dag_id == _STARTED:
        _note(dag_run, f"Started by: {started_by(dag_run)}")


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Called likewise; what the task `notice` said is asked of the same transaction. Airflow logs a fault, and the run stays a success."""
    if dag_run.dag_id == _NOTICED and (line := _noticed(dag_run)):
        _note(dag_run, line)


def with_line(note: str | None, line: str) -> str:
    """The note with the line at its end, once: a cleared run starts again and says no more than before."""
    if not note:
        return line
    if line in note.splitlines() or len(note) + len(line) + 1 > _LONGEST:
        return note
    return f"{note}\n{line}"


def _note(dag_run: Any, line: str) -> None:
    text = with_line(dag_run.note, line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…")
    if text != dag_run.note:
        dag_run.note = text


def _noticed(dag_run: Any) -> str:
    """What the run's task `notice` said of drift; empty when it was skipped."""
    from airflow.models.xcom import XComModel
    from sqlalchemy.orm import object_session

    from pomona_airflow.notice import NOTED, TASK

    asked = XComModel.get_many(run_id=dag_run.run_id, key=NOTED, task_ids=TASK, dag_ids=dag_run.dag_id)
    session = object_session(dag_run)
    # `airflow dags test` has no scheduler, and its run no session.
    found = session.scalars(asked).first() if session is not None else None
    return "" if found is None else str(XComModel.deserialize_value(found))
