"""What it costs to start a Spark stage."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyspark

from bench.measure import Row, Usage, done
from bench.runs import Span
from bench.stand import PROJECT, Stand
from pomona_airflow.spark.spark_home import CONF, LOOPBACK, prepared

_JOB = PROJECT / "bench" / "plain" / "spark_job.py"
_TIMES = 3
_GOAL_S = 6.0


def started(at: Stand, usages: Mapping[str, Usage], spans: Mapping[str, Span]) -> Iterator[Row]:
    """From the command to the first Spark task of real stages; beside it the smallest application, as installed and as started here."""
    seconds = {stage: found.first_task - usages[stage].began for stage, found in spans.items() if found.first_task is not None}
    what = "start of a Spark stage, from its command to its first task"
    if not seconds:
        yield Row(what, "not measured", note="no outcome tells its first task")
        return
    installed, prepared_ = _installed(at), _prepared(at)
    figure = statistics.median(seconds.values())
    each = ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
    note = f"{each}; the smallest application, start to end: {prepared_:.1f} s, with `spark-submit` as installed {installed:.1f} s"
    yield Row(what, f"{figure:.1f} s", f"≤ {_GOAL_S:g} s", figure <= _GOAL_S, note)


def _installed(at: Stand) -> float:
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    return _fastest([str(submit), "--master", "local[2]", str(_JOB)], at, {"PYSPARK_PYTHON": sys.executable})


def _prepared(at: Stand) -> float:
    home = prepared(at.state)
    conf = [word for key, value in (CONF | LOOPBACK).items() for word in ("--conf", f"{key}={value}")]
    return _fastest([str(home.submit), "--master", "local[2]", *conf, str(_JOB)], at, home.environment())


def _fastest(command: list[str], at: Stand, variables: Mapping[str, str]) -> float:
    """The wall seconds of the fastest of a few runs: what is slower, something beside it made slower."""
    seconds = []
    for _ in range(_TIMES):
        started = time.monotonic()
        done(command, at.folder / "spark_job.log", env={**os.environ, **variables}, cwd=at.folder)
        seconds.append(time.monotonic() - started)
    return min(seconds)
