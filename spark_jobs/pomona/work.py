"""What a job is given: its order, its lake, Spark's tasks when it asks for them, and the tables of its run."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import logging
import math
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pomona import effort
from pomona.command import Order
from pomona.lake import Lake
from pomona.outcome import File
from pomona.tasks import Tasks, shared_out, warm_workers

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import SparkContext

LOG = logging.getLogger("pomona")
# Parts are packed to about so many bytes, where there is enough for 3 of them a core.
PART_BYTES = 32 << 20
PARTS_A_CORE = 3
_SHARES_A_CORE = 4
_MIN_SHARE_BYTES, _MAX_SHARE_BYTES = 128 << 10, 3 * PART_BYTES // 2
_PROGRESS_S = 5.0


@dataclass(frozen=True)
class Work:
    """One stage's work: the contract's names lead to files, tables and knobs; no job builds a path of its own."""

    order: Order
    lake: Lake
    meter: effort.Meter = field(default_factory=effort.Meter)
    # What the job enters here is left when its manifest is written.
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

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
        context = self.context if "_context_to_come" in self.__dict__ else None
        return self.meter.effort(context, records=None if records is None else int(records))

    @property
    def context(self) -> SparkContext:
        """Spark's context, made at first use: a stage with nothing to do never pays for it."""
        return self._context_to_come.result()

    def warm(self) -> None:
        """Lets the context and the workers come up meanwhile: seconds of the JVM beside imports and what is read first."""
        _ = self._context_to_come

    @cached_property
    def _context_to_come(self) -> Future[SparkContext]:
        def made() -> SparkContext:
            from pyspark import SparkConf, SparkContext

            context = SparkContext.getOrCreate(SparkConf().setAppName(f"pomona {self.order.stage.name} {self.run}"))
            context.setLogLevel("ERROR")
            # Before anybody has the context: the first tasks of a job that came in between would do the importing, and straggle.
            warm_workers(context)
            return context

        pool = ThreadPoolExecutor(1, thread_name_prefix="spark")
        coming = pool.submit(made)
        pool.shutdown(wait=False)
        return coming

    @property
    def cores(self) -> int:
        return int(self.context.defaultParallelism)

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

    def parts(self, files: Iterable[File], wanted: pa.Table, columns: Sequence[str]) -> Tasks:
        """The rows of Parquet parts whose content, part, and copy if it has one, stand in `wanted`; split so that every core has tasks.

        The batches have these columns and the further ones of `wanted`. A content may lie in two parts, when it came by two paths at
        once: `wanted` names the part that counts.
        """
        named = set(wanted["part"].unique().to_pylist())
        parts = [file for file in files if file.name in named]
        shares = shared_out(parts, wanted, n_shares=n_shares(sum(file.bytes for file in parts), self.cores))
        return Tasks.over_parts(self.context, self.lake, shares, columns)

    def images(self, wanted: pa.Table) -> Tasks:
        """The content and image of the images that `wanted` names by content and part, with its further columns."""
        return self.parts(self.lake.files(self.run, "images"), wanted, ["content", "image"])

    def pictures(self, wanted: pa.Table) -> dict[str, bytes]:
        """The bytes of a few images by content, read on the driver."""
        return pictures_of(self.lake, wanted)

    def handed_out(self, folder: Path) -> Callable[[], Path]:
        """A function that says, in a task, where the worker has a copy of this folder of the driver."""
        # As an archive: Spark hands a folder out in local mode only. Under a name that no other folder of this application has.
        name, packed = uuid.uuid4().hex, shutil.make_archive(str(folder), "zip", root_dir=folder)
        self.context.addArchive(f"{packed}#{name}")

        def locate() -> Path:
            from pyspark import SparkFiles

            return Path(SparkFiles.get(name))

        return locate

    def clear(self, dataset: str) -> None:
        """Removes what an earlier try of this stage left behind in the run's folder of the dataset."""
        self.lake.remove(self.folder(dataset))

    def described(self) -> tuple[list[File], pa.Table]:
        """The descriptor parts of the run and, by content and copy, which part holds it: columns content, copy, part, n_keypoints."""
        notes = self.lake.manifest(self.run, "describe")["notes"]
        index = self.lake.read_rows([File(**notes["index"])])
        return self.lake.files(self.run, "descriptors"), index

    def progress(self, done: Callable[[], int], total: int, noun: str) -> Progress:
        return Progress(done, total, f"{self.order.stage.name}: {{}} of {total:,} {noun}")


def pictures_of(lake: Lake, wanted: pa.Table) -> dict[str, bytes]:
    """The bytes of the images that `wanted` names by content and part, by content: only the row groups that hold them are read."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: dict[str, bytes] = {}
    for part in sorted(set(wanted["part"].to_pylist())):
        contents = wanted.filter(pc.equal(wanted["part"], part))["content"]
        with lake.opened(f"parts/images/{part}") as file:
            rows = pq.read_table(file, columns=["content", "image"], filters=pc.field("content").isin(contents.combine_chunks()))
        found.update(zip(rows["content"].to_pylist(), rows["image"].to_pylist(), strict=True))
    return found


def n_shares(n_bytes: int, cores: int) -> int:
    """How many tasks read so many bytes: four a core where there is that much; more, in whole rounds, where one's share were too large."""
    few = max(1, min(_SHARES_A_CORE * cores, n_bytes // _MIN_SHARE_BYTES))
    return few if n_bytes <= few * _MAX_SHARE_BYTES else cores * math.ceil(n_bytes / _MAX_SHARE_BYTES / cores)


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
