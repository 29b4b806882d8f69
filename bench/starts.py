"""What it costs to start a Spark stage, and what a second core brings."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyspark

from bench.measure import Row, Usage, done
from bench.runs import Span, span
from bench.stand import PROJECT, Stand
from pomona.lake import Lake
from pomona_airflow.spark_home import CONF, LOOPBACK, prepared

_FAST = {"preset": "fast"}
_JOB = PROJECT / "bench" / "plain" / "spark_job.py"
_TIMES = 3
_GOAL_S, _GOAL_FASTER = 6.0, 1.7


def two_cores(at: Stand, landing: Path) -> Iterator[Row]:
    """describe of the same images on one core and on two, from its first task to its last."""
    name, lake = "cores", Lake(str(at.lake), "cores")
    at.stage("ingest", name, landing, _FAST)
    found: dict[int, Span] = {}
    for cores in (1, 2):
        at.stage("describe", name, landing, _FAST, cores=str(cores))
        if spanned := span(lake, "bench", "describe"):
            found[cores] = spanned
        shutil.rmtree(lake.location("parts/descriptors"))
    one, two = (found[cores] for cores in (1, 2))
    what = "describe on two cores, first to last task"
    if one.first_task is None or one.last_task is None or two.first_task is None or two.last_task is None:
        yield Row(what, "not measured", note="the outcome of describe does not tell its first and last task")
        return
    alone, both = one.last_task - one.first_task, two.last_task - two.first_task
    faster, enough = alone / both, len(os.sched_getaffinity(0)) > 1
    note = f"{alone:.1f} s on one core, {both:.1f} s on two" + ("" if enough else "; this machine has one core")
    yield Row(what, f"{faster:.2f} × faster", f"≥ {_GOAL_FASTER} ×", faster >= _GOAL_FASTER if enough else None, note)


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
