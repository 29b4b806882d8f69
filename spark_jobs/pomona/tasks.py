"""Arrow batches in Spark's tasks: read there from parts of the lake, mapped by plain functions, shuffled and collected, always packed.

An RDD of references and not a DataFrame. A task opens its piece of a Parquet part itself, so that the JVM neither decodes it nor hands it
over, needs no SQL session, and is given only the wanted rows of its own part where a join would send all of them to every executor. On 2
cores this took encode of 23,854 images from 41 to 26 seconds of processor time, and a job that does next to nothing from 9 to 5.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from pomona import effort
from pomona.outcome import File

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark import RDD, SparkContext

    from pomona.lake import Lake

Batches = Iterable["pa.RecordBatch"]
Transform = Callable[[Batches], Iterator["pa.RecordBatch"]]
_Given = TypeVar("_Given")

_OPENING_BYTES = 64 << 10


@dataclass(frozen=True)
class Slice:
    """What a task reads of one part: the row groups whose middle lies between two places of it, and of these the rows that are wanted.

    Attributes
    ----------
    begin, end : from 0, where the part begins, to 1
    wanted : an Arrow stream with the rows wanted of the whole part: content, copy if the part has one, and what is told of them
    """

    path: str
    begin: float
    end: float
    wanted: bytes


@dataclass(frozen=True)
class Tasks:
    """Batches to come, spread over Spark's tasks; nothing happens before `table`."""

    rdd: RDD[Any]

    @classmethod
    def over_table(cls, context: SparkContext, table: pa.Table, n_tasks: int) -> Tasks:
        """The rows of a table of this process, dealt out in turn so that neighbours do not share a task."""
        import numpy as np

        n_tasks = max(1, min(n_tasks, table.num_rows))
        pieces = [packed(table.take(np.arange(first, table.num_rows, n_tasks))) for first in range(n_tasks)]
        return cls(context.parallelize(pieces, n_tasks).mapPartitions(_unpacked))

    @classmethod
    def over_parts(cls, context: SparkContext, lake: Lake, shares: Sequence[Sequence[Slice]], columns: Sequence[str]) -> Tasks:
        """The wanted rows of Parquet parts with some of their columns and what is told of the rows; a task for each share of slices."""

        def read(given: Iterable[Sequence[Slice]]) -> Iterator[pa.RecordBatch]:
            return chain.from_iterable(rows_of(lake, each, columns) for share in given for each in share)

        return cls(context.parallelize(shares, max(1, len(shares))).mapPartitions(read))

    def map(self, transform: Transform) -> Tasks:
        """What the transform makes of each task's batches."""
        return Tasks(self.rdd.mapPartitions(transform))

    def shuffled(self, key: Callable[[pa.RecordBatch], np.ndarray]) -> Tasks:
        """All rows that have one key, a whole number from 0, in one task."""
        n_tasks = self.rdd.getNumPartitions()

        def dealt(batches: Batches) -> Iterator[tuple[int, bytes]]:
            import numpy as np
            import pyarrow as pa

            for batch in batches:
                place = key(batch) % n_tasks
                for task in np.unique(place):
                    yield int(task), packed(pa.Table.from_batches([batch.take(np.flatnonzero(place == task))]))

        placed = self.rdd.mapPartitions(_in_worker(dealt)).partitionBy(n_tasks, int)
        return Tasks(placed.mapPartitions(lambda pairs: _unpacked(piece for _, piece in pairs)))

    def table(self, schema: pa.Schema) -> pa.Table:
        """All rows, in the order of the tasks, in columns that have this schema."""
        import pyarrow as pa

        def pack(batches: Batches) -> Iterator[bytes]:
            return (packed(pa.Table.from_batches([batch])) for batch in batches)

        pieces = self.rdd.mapPartitions(_in_worker(pack)).collect()
        return pa.Table.from_batches(list(_unpacked(pieces))).cast(schema) if pieces else schema.empty_table()


def shared_out(files: Iterable[File], wanted: pa.Table, *, n_shares: int) -> list[list[Slice]]:
    """The parts that hold wanted rows, laid end to end and cut into shares of one length.

    A part is `_OPENING_BYTES` longer than it is, so that thousands of small ones do not all come to one share.

    Parameters
    ----------
    wanted : content, part (a file's name), copy if the parts have one, further columns
    """
    import numpy as np

    names = wanted["part"].combine_chunks().dictionary_encode()
    order = np.argsort(names.indices, kind="stable")
    bounds = np.searchsorted(np.asarray(names.indices)[order], np.arange(len(names.dictionary) + 1))
    rows = {name: order[bounds[i] : bounds[i + 1]] for i, name in enumerate(names.dictionary.to_pylist())}
    parts = sorted((file for file in files if file.name in rows), key=lambda file: file.path)
    lengths = [file.bytes + _OPENING_BYTES for file in parts]
    share = sum(lengths) / n_shares
    shares: list[list[Slice]] = [[] for _ in range(n_shares)]
    start = 0
    for file, length in zip(parts, lengths, strict=True):
        own = packed(wanted.take(rows[file.name]).drop_columns("part"))
        for place in range(int(start / share), min(n_shares, math.ceil((start + length) / share))):
            begin, end = (min(1.0, max(0.0, (share * cut - start) / length)) for cut in (place, place + 1))
            shares[place].append(Slice(file.path, begin, 1.0 if place == n_shares - 1 else end, own))
        start += length
    return [share for share in shares if share]


def rows_of(lake: Lake, piece: Slice, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The wanted rows of a slice with these columns and what is told of them, one batch for each row group that has some."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = pa.Table.from_batches(list(_unpacked([piece.wanted])))
    keys = [name for name in ("content", "copy") if name in wanted.column_names]
    known, told = _key(wanted, keys), wanted.drop_columns(keys)
    with lake.opened(piece.path) as opened, pq.ParquetFile(opened) as file:
        n_groups = file.num_row_groups
        for group in (group for group in range(n_groups) if piece.begin <= (group + 0.5) / n_groups < piece.end):
            table = file.read_row_group(group, columns=[*dict.fromkeys([*keys, *columns])])
            place = pa.compute.index_in(_key(table, keys), known)
            if place.null_count < len(place):
                if place.null_count:
                    table, place = table.filter(place.is_valid()), place.drop_null()
                table = table.select(columns)
                for name, column in zip(told.column_names, told.take(place).columns, strict=True):
                    table = table.append_column(name, column)
                yield from table.combine_chunks().to_batches()


def _key(table: pa.Table, names: Sequence[str]) -> pa.Array:
    """What is unique among the rows: the content, or `<content>/<copy>`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [table[name].cast(pa.string()) for name in names]
    joined = pc.binary_join_element_wise(*texts, "/") if len(texts) > 1 else texts[0]
    return joined.combine_chunks()


@functools.lru_cache(maxsize=1)
def warm_workers(context: SparkContext) -> None:
    """Lets a Python worker for each core import what tasks need, once, while the driver prepares them: else the first ones straggle."""
    from py4j.protocol import Py4JError

    cores = context.defaultParallelism
    context.setJobDescription(effort.WARMING)
    # What is wrong with the workers the stage's own tasks will tell.
    with contextlib.suppress(Py4JError):
        context.parallelize(range(cores), cores).mapPartitions(_in_worker(_imported)).count()
    context.setJobDescription(None)  # type: ignore[arg-type]


def _imported(given: Iterable[_Given]) -> Iterator[_Given]:
    # pyarrow looks for pandas with the first array that it makes.
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    yield from given


def packed(table: pa.Table) -> bytes:
    """The table as an Arrow stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _unpacked(pieces: Iterable[bytes]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for piece in pieces:
        with pa.ipc.open_stream(piece) as stream:
            yield from stream


def _in_worker(last: Callable[[Iterable[Any]], Iterator[_Given]]) -> Callable[[Iterable[Any]], Iterator[_Given]]:
    """A task's last step, before which OpenCV is told to use one thread and not to warn; the engine's environment does it for BLAS.

    Behind it the worker tells what the whole task used (see `effort`).
    """
    told = effort.accumulated()

    @functools.wraps(last)
    def run(given: Iterable[Any]) -> Iterator[_Given]:
        import cv2

        cv2.setNumThreads(1)
        cv2.utils.logging.setLogLevel(0)
        yield from last(given)
        if told:
            effort.tell(told)

    return run
