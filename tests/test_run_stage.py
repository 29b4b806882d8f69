"""The entry point: what became of a stage is told even when the lake cannot be, and errors of Spark are one line that says something."""

from __future__ import annotations

import logging

import pyarrow as pa
import pytest
from py4j.protocol import Py4JError
from pyspark.errors import PythonException

import run_stage
from pomona import command
from pomona.knobs import resolve
from pomona.lake import Lake
from pomona.outcome import BadInput, Result
from pomona.store_faults import StoreFault
from pomona.tasks import Tasks

FULL = "s3://fruit/n is full (507): make room or raise the quota"


class Py4JJavaError(Exception):
    """As py4j's, which needs a JVM to be made."""

    __module__ = "py4j.protocol"


@pytest.fixture
def ordered(tmp_path, monkeypatch):
    """Runs the stage ingest with a job that does what the test says; gives the exit code."""
    words = command.arguments(
        "ingest", command.Place("r", "n", str(tmp_path / "lake"), str(tmp_path), f"sqlite:///{tmp_path}/m.db"), resolve({})
    )

    def run(job) -> int:
        monkeypatch.setattr(run_stage, "done", job)
        return run_stage.main(words)

    yield run
    logging.basicConfig(force=True, level=logging.WARNING)


def refusing(*_: object) -> None:
    raise StoreFault(FULL)


def test_a_stage_whose_outcome_cannot_be_kept_says_its_line_and_ends_with_2(ordered, monkeypatch, capsys):
    def bad(_):
        raise BadInput("the landing zone is empty: put pictures there")

    monkeypatch.setattr(Lake, "put_outcome", refusing)
    assert ordered(bad) == 2
    assert "ingest: the landing zone is empty: put pictures there" in capsys.readouterr().out


def test_a_success_that_cannot_be_kept_is_none(ordered, monkeypatch, capsys):
    monkeypatch.setattr(Lake, "put_outcome", refusing)
    assert ordered(lambda _: Result("all well", {})) == 2
    said = capsys.readouterr().out
    assert (f"ingest: {FULL}" in said, "all well" in said) == (True, False)


def test_a_fault_of_the_store_in_a_worker_or_the_jvm_is_bad_input(ordered, tmp_path):
    def worker(_):
        raise Py4JJavaError(
            f"An error occurred while calling o1.x.\n: PythonException: Traceback\npomona.store_faults.StoreFault: {FULL}\n\tat java"
        )

    assert ordered(worker) == 2
    outcome = Lake(str(tmp_path / "lake"), "n").outcome("r", "ingest")
    assert (outcome["status"], outcome["line"]) == ("bad_input", FULL)


def test_an_error_of_a_worker_is_told_by_the_line_behind_its_last_traceback(ordered, tmp_path, spark):
    def worker(_):
        def failing(batches):
            try:
                raise ValueError("what came first")
            except ValueError as error:
                raise ArithmeticError("seven is odd\nand more of it") from error

        table = pa.table({"number": [1]})
        Tasks.over_table(spark.sparkContext, table, 1).map(failing).table(table.schema)

    with pytest.raises((PythonException, Py4JError), match="seven is odd"):
        ordered(worker)
    outcome = Lake(str(tmp_path / "lake"), "n").outcome("r", "ingest")
    assert (outcome["status"], outcome["line"]) == ("fault", "ArithmeticError: seven is odd")


def test_an_error_of_a_worker_is_told_so_where_spark_has_no_sql_session_too(ordered, tmp_path):
    def worker(_):
        raise Py4JJavaError(
            "An error occurred while calling z:collectAndServe.\n: org.apache.spark.api.python.PythonException: [PYTHON_EXCEPTION] An "
            'exception was thrown from the Python worker: Traceback (most recent call last):\n  File "x.py", line 5, in f\n    raise\n'
            "pomona.x.Odd: seven\nand more\n SQLSTATE: 38000\n\tat org.apache.spark\n\tat java.base"
        )

    with pytest.raises(Py4JJavaError):
        ordered(worker)
    assert Lake(str(tmp_path / "lake"), "n").outcome("r", "ingest")["line"] == "pomona.x.Odd: seven"


def test_an_error_of_the_jvm_is_told_by_what_java_said(ordered, tmp_path):
    def jvm(_):
        raise Py4JJavaError("An error occurred while calling o52.parquet.\n: java.lang.OutOfMemoryError: Java heap space\n\tat java.base")

    with pytest.raises(Py4JJavaError):
        ordered(jvm)
    outcome = Lake(str(tmp_path / "lake"), "n").outcome("r", "ingest")
    assert (outcome["status"], outcome["line"]) == ("fault", "java.lang.OutOfMemoryError: Java heap space")
