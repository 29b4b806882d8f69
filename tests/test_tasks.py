"""Tasks over Parquet parts: what is wanted comes once, whatever the slices; a shuffle brings together what has one key."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pomona.lake import Lake
from pomona.outcome import File
from pomona.tasks import Tasks, rows_of, shared_out

NUMBERS = pa.schema([("number", pa.int64())])


def name_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path), "n").open()


def part(lake: Lake, name: str, numbers: range, copies: int = 1, rows_a_group: int = 2) -> File:
    """A part with a row for each number and copy, sorted by content as parts are."""
    rows = sorted((name_of(number), copy, number) for number in numbers for copy in range(copies))
    contents, copied, told = zip(*rows, strict=True)
    table = pa.table({"content": contents, "copy": pa.array(copied, pa.int32()), "number": told, "heavy": [b"x"] * len(rows)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=rows_a_group)
    return lake.write_file("parts", name, buffer.getvalue(), rows=len(rows))


def wanted(rows: list[tuple[int, str, int]], label: str = "label") -> pa.Table:
    """Rows of (number, part, copy), and beside each its label."""
    numbers, parts, copies = zip(*rows, strict=True)
    contents = [name_of(number) for number in numbers]
    labels = [f"{label} of {number}" for number in numbers]
    return pa.table({"content": contents, "part": parts, "copy": pa.array(copies, pa.int32()), "label": labels})


def test_slices_give_each_wanted_row_once_with_what_is_told_of_it(lake):
    file = part(lake, "a.parquet", range(11), copies=2)
    asked = wanted([(number, "a.parquet", number % 2) for number in range(3, 11)])
    for n_shares in (1, 2, 3, 7, 50):
        shares = shared_out([file], asked, n_shares=n_shares)
        batches = [batch for share in shares for each in share for batch in rows_of(lake, each, ["number", "copy"])]
        found = pa.Table.from_batches(batches)
        assert found.column_names == ["number", "copy", "label"]
        assert sorted(found["number"].to_pylist()) == list(range(3, 11))
        assert all(row["label"] == f"label of {row['number']}" and row["copy"] == row["number"] % 2 for row in found.to_pylist())


def test_a_content_that_two_parts_hold_comes_from_the_part_that_is_named(lake):
    files = [part(lake, name, range(4)) for name in ("a.parquet", "b.parquet", "c.parquet")]
    asked = wanted([(0, "a.parquet", 0), (1, "b.parquet", 0), (2, "a.parquet", 0)])
    (slices,) = shared_out(files, asked, n_shares=1)
    found = {each.path: [n for batch in rows_of(lake, each, ["number"]) for n in batch["number"].to_pylist()] for each in slices}
    assert {path: sorted(numbers) for path, numbers in found.items()} == {"parts/a.parquet": [0, 2], "parts/b.parquet": [1]}


@pytest.mark.parametrize("n_shares", [1, 3, 8, 13])
def test_shares_are_even_whether_of_large_parts_or_of_many_small_ones(lake, n_shares):
    large = [part(lake, f"large{i}.parquet", range(400 + i), rows_a_group=4) for i in range(3)]
    small = [part(lake, f"{i}.parquet", range(i, i + 1)) for i in range(40)]
    asked = wanted([(n, f"large{i}.parquet", 0) for i in range(3) for n in range(400)] + [(i, f"{i}.parquet", 0) for i in range(40)])
    shares = shared_out([*large, *small], asked, n_shares=n_shares)
    lengths = {file.path: file.bytes + (64 << 10) for file in (*large, *small)}
    sizes = [sum((each.end - each.begin) * lengths[each.path] for each in share) for share in shares]
    assert len(sizes) == n_shares and max(sizes) == pytest.approx(min(sizes))
    rows = [sum(batch.num_rows for each in share for batch in rows_of(lake, each, ["number"])) for share in shares]
    assert sum(rows) == 1240
    lone = shared_out(large, asked, n_shares=n_shares)
    rows = [sum(batch.num_rows for each in share for batch in rows_of(lake, each, ["number"])) for share in lone]
    assert sum(rows) == 1200 and max(rows) <= min(rows) + 8


def test_parts_that_nothing_is_wanted_of_give_no_task_and_an_empty_table(lake, spark):
    file = part(lake, "a.parquet", range(4))
    nothing = wanted([(9, "a.parquet", 0)]).slice(0, 0)
    assert shared_out([file], nothing, n_shares=3) == []
    tasks = Tasks.over_parts(spark.sparkContext, lake, [], ["number"])
    assert tasks.table(NUMBERS).num_rows == 0 and tasks.table(NUMBERS).schema == NUMBERS


def test_rows_of_a_table_are_dealt_in_turn_and_none_is_lost(spark):
    table = pa.table({"number": range(10)}, NUMBERS)

    def told(batches):
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"number": [hash(tuple(batch["number"].to_pylist()))]}, NUMBERS)

    tasks = Tasks.over_table(spark.sparkContext, table, 3)
    assert sorted(tasks.table(NUMBERS)["number"].to_pylist()) == list(range(10))
    expected = [hash(tuple(range(first, 10, 3))) for first in range(3)]
    assert tasks.map(told).table(NUMBERS)["number"].to_pylist() == expected
    assert Tasks.over_table(spark.sparkContext, table.slice(0, 2), 8).rdd.getNumPartitions() == 2


def test_a_shuffle_brings_rows_of_one_key_into_one_task(spark):
    table = pa.table({"number": np.arange(1000) % 50}, NUMBERS)

    def counted(batches):
        numbers = [number for batch in batches for number in batch["number"].to_pylist()]
        for number in sorted(set(numbers)):
            yield pa.RecordBatch.from_pydict({"number": [number], "times": [numbers.count(number)]})

    tasks = Tasks.over_table(spark.sparkContext, table, 4).shuffled(lambda batch: batch["number"].to_numpy())
    found = tasks.map(counted).table(pa.schema([("number", pa.int64()), ("times", pa.int64())]))
    assert sorted(found["number"].to_pylist()) == list(range(50))
    assert set(found["times"].to_pylist()) == {20}
