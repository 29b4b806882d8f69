"""What a job is given: its order, its lake, a Spark session when it asks for one, and the tables of its run."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any

from pomona import effort, traffic
from pomona.command import Order
from pomona.lake import Lake
from pomona.outcome import File

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

LOG = logging.getLogger("pomona")
_TASKS_A_CORE = 4
_MIN_SPLIT_BYTES = 1 << 20
_MAX_SPLIT_BYTES = 32 << 20
_PROGRESS_S = 5.0


@dataclass(frozen=True)
class Work:
    """One stage's work: the contract's names lead to files, tables and knobs; no job builds a path of its own."""

    order: Order
    lake: Lake
    meter: effort.Meter = field(default_factory=effort.Meter)

    @property
    def run(self) -> str:
        return self.order.place.run

    @property
    def knobs(self) -> Any:
        return self.order.knobs

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return self.meter.seconds

    def effort(self, counts: Mapping[str, int | float]) -> dict[str, Any]:
        """What the stage cost until now; `counts` are those of its result."""
        records = counts.get(effort.RECORDS.get(self.order.stage.name, ""))
        session: SparkSession | None = self.__dict__.get("spark")
        return self.meter.effort(session.sparkContext if session else None, records=None if records is None else int(records))

    @cached_property
    def spark(self) -> SparkSession:
        """The session, made at first use: a stage with nothing to do never pays for it."""
        from pyspark.sql import SparkSession

        session = SparkSession.builder.appName(f"pomona {self.order.stage.name} {self.run}").getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        return session

    @property
    def cores(self) -> int:
        return int(self.spark.sparkContext.defaultParallelism)

    def folder(self, dataset: str) -> str:
        """Where this run's own files of the dataset go."""
        return f"{self.lake.run_folder(self.run)}/{dataset}"

    def table(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A small dataset of rows of this run, whole."""
        return self.lake.read_rows((f for f in self.lake.files(self.run, dataset) if f.path.endswith(".parquet")), columns)

    def arrays(self, dataset: str) -> Any:
        """The arrays of a dataset of this run, by name."""
        return self.lake.read_arrays(self.lake.files(self.run, dataset)[0])

    def document(self, dataset: str) -> dict[str, Any]:
        return self.lake.document(self.lake.files(self.run, dataset)[0].path) or {}

    def parts(self, paths: Sequence[str], wanted: pa.Table, *, largest_row: int = 0) -> DataFrame:
        """The rows of Parquet parts whose (content, part), and copy if it has one, stand in `wanted`; split so that every core has tasks.

        A content may lie in two parts, when it came by two paths at once: `wanted` names the part that counts.
        """
        from pyspark.sql import functions as sf

        size = sum(self.lake.size(path) for path in paths)
        # Spark reads them whole: `wanted` is joined behind.
        traffic.count(read=size)
        share = size // (_TASKS_A_CORE * self.cores)
        conf = self.spark.conf
        conf.set("spark.sql.files.maxPartitionBytes", str(min(_MAX_SPLIT_BYTES, max(_MIN_SPLIT_BYTES, share))))
        conf.set("spark.sql.files.openCostInBytes", str(64 << 10))
        # Rows of a batch lie in memory together, in the JVM and in the worker: 8 MB of them, whatever their size.
        rows = str(max(1, min(1000, (8 << 20) // max(1, largest_row))))
        conf.set("spark.sql.parquet.columnarReaderBatchSize", rows)
        conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", rows)
        frame = self.spark.read.parquet(*(self.lake.spark_location(path) for path in paths))
        frame = frame.withColumn("part", sf.col("_metadata.file_name"))
        keys = [name for name in ("content", "part", "copy") if name in wanted.column_names]
        return frame.join(sf.broadcast(self.frame(wanted)), keys)

    def images(self, wanted: pa.Table) -> DataFrame:
        """The (content, image) rows of the images that `wanted` names by content and part, with its further columns."""
        paths = sorted({f"parts/images/{part}" for part in wanted["part"].to_pylist()})
        largest = self.lake.manifest(self.run, "ingest")["notes"]["largest_bytes"]
        further = [name for name in wanted.column_names if name not in ("content", "part")]
        return self.parts(paths, wanted, largest_row=largest).select("content", "image", *further)

    def pictures(self, wanted: pa.Table) -> dict[str, bytes]:
        """The bytes of a few images by content, read on the driver: only the row groups that hold them."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        found: dict[str, bytes] = {}
        for part in sorted(set(wanted["part"].to_pylist())):
            contents = wanted.filter(pc.equal(wanted["part"], part))["content"]
            with self.lake.opened(f"parts/images/{part}") as file:
                rows = pq.read_table(file, columns=["content", "image"], filters=pc.field("content").isin(contents.combine_chunks()))
            found.update(zip(rows["content"].to_pylist(), rows["image"].to_pylist(), strict=True))
        return found

    def frame(self, table: pa.Table, partitions: int = 0) -> DataFrame:
        """A small table as a DataFrame, in as many partitions as asked for."""
        frame = self.spark.createDataFrame(table.to_pandas())
        return frame.repartition(partitions) if partitions else frame

    def clear(self, dataset: str) -> None:
        """Removes what an earlier try of this stage left behind in the run's folder of the dataset."""
        self.lake.remove(self.folder(dataset))

    def described(self) -> tuple[list[str], pa.Table]:
        """The descriptor parts of the run and, by content and copy, which part holds it: columns content, copy, part, n_keypoints."""
        notes = self.lake.manifest(self.run, "describe")["notes"]
        index = self.lake.read_rows([File(**notes["index"])])
        return [file.path for file in self.lake.files(self.run, "descriptors")], index

    def progress(self, done: Callable[[], int], total: int, noun: str) -> Progress:
        return Progress(done, total, f"{self.order.stage.name}: {{}} of {total:,} {noun}")


class Progress:
    """Logs done/total, rate and time left every few seconds inside its block."""

    def __init__(self, done: Callable[[], int], total: int, text: str) -> None:
        self._done, self._total, self._text = done, total, text
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _tell(self) -> None:
        told = 0
        while not self._stop.wait(_PROGRESS_S):
            # Spark adds a task's count up when the task ends.
            done = self._done()
            if done > told:
                told = done
                rate = done / (time.monotonic() - self._started)
                LOG.info("%s, %.0f/s, %.0f s left", self._text.format(f"{done:,}"), rate, (self._total - done) / rate)


def code_hash(*below: str) -> str:
    """SHA-256 of the package's sources, or of those named; the same from a folder and from a zip."""
    root = importlib.resources.files("pomona")
    total = hashlib.sha256()
    for path, data in sorted(_sources(root, "")):
        if not below or path in below:
            total.update(path.encode() + b"\0" + data)
    return total.hexdigest()


def _sources(folder: Traversable, below: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir():
            yield from _sources(entry, path)
        elif entry.name.endswith((".py", ".html")):
            yield path, entry.read_bytes()


def in_worker(
    transform: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]],
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The transform, run with one OpenCV thread and OpenCV's warnings off; the engine's environment does it for BLAS.

    Behind each task the worker tells what it used (see `effort`).
    """
    told = effort.accumulated()

    @functools.wraps(transform)
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import cv2

        cv2.setNumThreads(1)
        cv2.utils.logging.setLogLevel(0)
        yield from transform(batches)
        if told:
            effort.tell(told)

    return run
