"""What a stage's work cost: processor time of driver and workers, tasks as Spark saw them, bytes as the storage counted them."""

from __future__ import annotations

import os
import time

import pyarrow as pa
import pytest

from pomona import effort, traffic
from pomona.effort import Meter, Share
from pomona.lake import Lake
from pomona.landing import Landing
from pomona.tasks import Tasks, warm_workers
from pomona.traffic import Traffic

NUMBERS = pa.schema([("number", pa.int64())])


def busy(seconds: float) -> None:
    """Holds a processor for so many seconds of its time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.fixture
def numbers(spark):
    """Twelve rows in four tasks, three in each, a shuffle away from where they were made."""
    made = Tasks.over_table(spark.sparkContext, pa.table({"number": range(12)}, NUMBERS), 4)
    return made.shuffled(lambda batch: batch["number"].to_numpy())


def test_tasks_of_this_stage_count_and_earlier_ones_of_the_session_do_not(spark, numbers):
    def slow(batches):
        numbers = [number for batch in batches for number in batch["number"].to_pylist()]
        time.sleep(1.5 if 0 in numbers else 0.1)
        yield pa.RecordBatch.from_pydict({"number": numbers}, NUMBERS)

    numbers.map(slow).table(NUMBERS)
    meter = Meter()
    before = time.time()
    numbers.map(slow).table(NUMBERS)
    found = meter.effort(spark.sparkContext, records=12)
    heaviest = max(found["spark_stages"], key=lambda stage: stage["task_s"])
    assert (heaviest["tasks"], found["cores"], found["records"]) == (4, 2, 12)
    assert found["tasks"] == sum(stage["tasks"] for stage in found["spark_stages"]) < 12
    assert found["task_max_s"] >= 1.5
    assert found["task_max_s"] > found["task_median_s"] >= 0.1
    assert found["task_s"] >= 1.8
    assert before - 0.01 <= found["first_task"] < found["last_task"] <= time.time()


def test_a_workers_processor_time_comes_to_the_driver(spark, numbers):
    def working(batches):
        for batch in batches:
            busy(0.2)
            yield batch

    numbers.map(working).table(NUMBERS)
    meter = Meter()
    numbers.map(working).table(NUMBERS)
    found = meter.effort(spark.sparkContext, records=None)
    assert 0.8 <= found["worker_cpu_s"] < 1.6
    assert found["cpu_s"] > found["worker_cpu_s"]


def test_warmed_workers_have_their_libraries_and_their_job_is_no_work_of_the_stage(spark):
    def libraries(batches):
        import sys

        for _ in batches:
            yield pa.RecordBatch.from_pydict({"number": [int({"cv2", "pandas"} <= set(sys.modules))]}, NUMBERS)

    meter = Meter()
    warm_workers(spark.sparkContext)
    assert meter.effort(spark.sparkContext, records=None)["tasks"] == 0
    table = pa.table({"number": range(2)}, NUMBERS)
    assert Tasks.over_table(spark.sparkContext, table, 2).map(libraries).table(NUMBERS)["number"].to_pylist() == [1, 1]
    assert meter.effort(spark.sparkContext, records=None)["tasks"] == 2


def test_bytes_that_workers_write_and_read_count(spark, numbers, tmp_path):
    lake = Lake(str(tmp_path), "n")

    def writing(batches):
        for batch in batches:
            for number in batch["number"].to_pylist():
                lake.put(f"{number}", bytes(100))
                lake.get(f"{number}")
            yield batch

    meter = Meter()
    numbers.map(writing).table(NUMBERS)
    lake.put("driver", bytes(7))
    found = meter.effort(spark.sparkContext, records=None)
    assert (found["read_bytes"], found["written_bytes"]) == (1200, 1207)


def test_a_stage_without_spark_has_seconds_and_no_tasks():
    meter = Meter()
    # The system counts processor time in ticks of 10 ms.
    busy(0.2)
    found = meter.effort(None, records=3)
    assert (found["cores"], found["tasks"], found["first_task"], found["last_task"], found["task_median_s"]) == (None, 0, None, None, None)
    assert found["seconds"] >= 0.1 <= found["driver_cpu_s"]
    assert found["start_s"] > 0


def test_a_file_read_in_pieces_or_through_the_landing_zone_counts_what_was_read(tmp_path):
    lake = Lake(str(tmp_path), "n")
    lake.put("file", bytes(100_000))
    before = traffic.so_far()
    with lake.opened("file") as file:
        file.seek(90_000)
        file.read(10_000)
    pieces = traffic.so_far() - before
    assert 10_000 <= pieces.read_bytes < 30_000
    (listed,) = [file for file in Landing(str(tmp_path)).files() if file.path == "n/file"]
    Landing(str(tmp_path)).read(listed.path, listed.size, listed.version)
    assert traffic.so_far() - before - pieces == Traffic(100_000, 0)


def test_the_time_of_ended_children_counts():
    before = Share.so_far()
    child = os.fork()
    if not child:
        busy(0.2)
        os._exit(0)
    os.waitpid(child, 0)
    assert (Share.so_far() - before).cpu_s >= 0.15


def test_a_process_that_is_no_jvms_child_has_none():
    assert effort.parent_jvm() is None
