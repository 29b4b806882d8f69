"""What a stage's work cost: seconds, processor time, tasks and bytes; told with its outcome.

Task times come from Spark's own store, which it keeps with its page off too. It forgets tasks of a Spark stage beyond 100,000
(`spark.ui.retainedTasks`): sums stay whole then, median and maximum are those of the last 100,000. What Python workers used comes by
accumulators (`Share`), because Spark knows the time of its own threads alone.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pomona import traffic
from pomona.traffic import Traffic

# The job in which workers import their libraries is no work of a stage.
WARMING = "workers import their libraries"

# What of each stage's counts is counted per second.
RECORDS: Mapping[str, str] = {
    "ingest": "new",
    "describe": "described",
    "learn_vocabulary": "sampled",
    "encode": "images",
    "train": "train",
    "evaluate": "test",
}


@dataclass(frozen=True)
class SparkStage:
    """A stage in Spark's sense: tasks between two shuffles. Times of its tasks are wall seconds, `cpu_s` of the JVM's threads in them."""

    first_task: float
    last_task: float
    tasks: int
    task_s: float
    task_median_s: float
    task_max_s: float
    cpu_s: float


@dataclass(frozen=True)
class Share:
    """What a process used: seconds of processors, of its ended children too, and bytes."""

    cpu_s: float = 0.0
    traffic: Traffic = field(default_factory=Traffic)

    @classmethod
    def so_far(cls) -> Share:
        """This process's, since it began."""
        times = os.times()
        return cls(times.user + times.system + times.children_user + times.children_system, traffic.so_far())

    def __sub__(self, other: Share) -> Share:
        return Share(self.cpu_s - other.cpu_s, self.traffic - other.traffic)


@dataclass(frozen=True)
class Jvm:
    """The JVM that started this driver, as Linux tells of it."""

    age_s: float
    cpu_s: float


class Accumulated:
    """Accumulators of one SparkContext to which workers add their shares."""

    def __init__(self, context: Any) -> None:
        self._cpu_s, self._read, self._written = context.accumulator(0.0), context.accumulator(0), context.accumulator(0)

    def add(self, share: Share) -> None:
        self._cpu_s.add(share.cpu_s)
        self._read.add(share.traffic.read_bytes)
        self._written.add(share.traffic.written_bytes)

    @property
    def share(self) -> Share:
        """What all workers have told: on the driver only."""
        return Share(self._cpu_s.value, Traffic(self._read.value, self._written.value))


_MAKING = threading.Lock()


def accumulated() -> Accumulated | None:
    """The accumulators of the session of this driver; None where there is no session."""
    if "pyspark" not in sys.modules:
        return None
    from pyspark import SparkContext

    # Two threads that asked for the first time at once would each make some.
    with _MAKING:
        return _of(SparkContext._active_spark_context) if SparkContext._active_spark_context else None


@functools.lru_cache(maxsize=1)
def _of(context: Any) -> Accumulated:
    return Accumulated(context)


_told = Share()


def tell(to: Accumulated) -> None:
    """Called in a worker behind each task: adds what the process used since it last told; its imports are in its first task's share."""
    global _told
    now = Share.so_far()
    to.add(now - _told)
    _told = now


class Meter:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._monotonic, self._epoch = time.monotonic(), time.time()
        self._driver, self._workers = Share.so_far(), _workers()
        jvm = parent_jvm()
        self._jvm_cpu_s = jvm.cpu_s if jvm else None
        self._start_s = jvm.age_s if jvm else _age_s(os.getpid())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._monotonic

    def effort(self, context: Any, *, records: int | None) -> dict[str, Any]:
        """The part `effort` of an outcome; docs/summary.md tells of each field.

        Parameters
        ----------
        context : the SparkContext that the stage used, None if it used none
        """
        seconds = self.seconds
        stages = spark_stages(context, self._epoch) if context else []
        heaviest = max(stages, key=lambda stage: stage.task_s, default=None)
        driver, workers = Share.so_far() - self._driver, _workers() - self._workers
        moved = driver.traffic + workers.traffic
        return {
            "cores": int(context.defaultParallelism) if context else None,
            "seconds": round(seconds, 3),
            "start_s": None if self._start_s is None else round(self._start_s, 3),
            "tasks": sum(stage.tasks for stage in stages),
            "first_task": min((stage.first_task for stage in stages), default=None),
            "last_task": max((stage.last_task for stage in stages), default=None),
            "task_s": round(sum(stage.task_s for stage in stages), 3),
            "task_median_s": heaviest.task_median_s if heaviest else None,
            "task_max_s": heaviest.task_max_s if heaviest else None,
            "cpu_s": round(driver.cpu_s + workers.cpu_s + self._jvm(context, stages), 3),
            "driver_cpu_s": round(driver.cpu_s, 3),
            "worker_cpu_s": round(workers.cpu_s, 3),
            "read_bytes": moved.read_bytes,
            "written_bytes": moved.written_bytes,
            "records": records,
            "spark_stages": [asdict(stage) for stage in stages],
        }

    def _jvm(self, context: Any, stages: list[SparkStage]) -> float:
        """Seconds of the driver's JVM as a whole where it is known, and of the executors' task threads that are not in it."""
        now = parent_jvm()
        elsewhere = sum(stage.cpu_s for stage in stages)
        if now is None or self._jvm_cpu_s is None:
            return elsewhere
        local = context is None or context._jsc.sc().isLocal()
        return now.cpu_s - self._jvm_cpu_s + (0.0 if local else elsewhere)


def _workers() -> Share:
    told = accumulated()
    return told.share if told else Share()


def spark_stages(context: Any, since: float) -> list[SparkStage]:
    """Spark's stages that were submitted since then and came to their end, in their order; of one that was tried again the last try."""
    inner = context._jsc.sc()
    # Spark's store is filled by a thread of its own.
    inner.listenerBus().waitUntilEmpty()
    store, gateway = inner.statusStore(), context._gateway
    quantiles = gateway.new_array(gateway.jvm.double, 2)
    quantiles[0], quantiles[1] = 0.5, 1.0
    listed = store.stageList(None, False, False, gateway.new_array(gateway.jvm.double, 0), None)
    found = []
    for place in range(listed.size()):
        data = listed.apply(place)
        began, ended = data.firstTaskLaunchedTime(), data.completionTime()
        told = data.description()
        if told.isDefined() and told.get() == WARMING:
            continue
        if began.isDefined() and ended.isDefined() and _epoch(began) >= since:
            spread = store.taskSummary(data.stageId(), data.attemptId(), quantiles)
            median, longest = (spread.get().executorRunTime().apply(i) / 1e3 for i in (0, 1)) if spread.isDefined() else (0.0, 0.0)
            run_s, cpu_s = data.executorRunTime() / 1e3, data.executorCpuTime() / 1e9
            stage = SparkStage(_epoch(began), _epoch(ended), data.numCompleteTasks(), run_s, median, longest, round(cpu_s, 3))
            found.append(stage)
    return sorted(found, key=lambda stage: stage.first_task)


def _epoch(option: Any) -> float:
    return float(option.get().getTime()) / 1e3


def parent_jvm() -> Jvm | None:
    """The JVM of spark-submit, whose child a driver is, as old as spark-submit itself; None where it is no child, or no Linux."""
    parent = os.getppid()
    words = _stat(parent)
    age_s = _age_s(parent)
    if words is None or age_s is None or words[0] != "java":
        return None
    return Jvm(age_s, (int(words[12]) + int(words[13])) / os.sysconf("SC_CLK_TCK"))


def _age_s(pid: int) -> float | None:
    words = _stat(pid)
    if words is None:
        return None
    up_s = float(Path("/proc/uptime").read_text().split()[0])
    return up_s - int(words[20]) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """The words of Linux's proc(5) stat behind the process's number, its name first; None where there is no such thing."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    return [name, *rest.split()]
