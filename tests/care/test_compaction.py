"""Small parts are packed together: which ones, in what order, and those of an earlier release with the columns that they have."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pomona.care import compaction
from pomona.care.rewriting import write_table
from pomona.lake import Lake
from pomona.outcome import File
from pomona.storage import Stored

MB = 1 << 20


def part(name: str, megabytes: float) -> Stored:
    return Stored(f"parts/images/{name}", int(megabytes * MB), 0.0)


def names(bundles: list[list[Stored]]) -> list[str]:
    return ["".join(part.path[-1] for part in bundle) for bundle in bundles]


@pytest.mark.parametrize(
    ("sizes", "bundles"),
    [
        ({"a": 1, "b": 2, "c": 30}, ["ab"]),
        ({"a": 1, "b": 16}, []),
        ({"a": 15, "b": 15, "c": 15, "d": 1, "e": 1}, ["abc", "de"]),
        ({"a": 15, "b": 15, "c": 15, "d": 1}, ["abc"]),
        ({}, []),
    ],
)
def test_parts_below_half_a_part_are_filled_up_to_a_whole_one(sizes: dict[str, float], bundles: list[str]) -> None:
    assert names(compaction.bundles(part(name, size) for name, size in sizes.items())) == bundles


def test_rows_are_sorted_and_of_those_that_two_parts_hold_one_stays_whatever_columns_there_are(tmp_path) -> None:
    lake, folder = Lake(str(tmp_path), "n").open(), "parts/descriptors/sift-0"
    written = [
        write_table(lake, folder, pa.table({"content": contents, "n_keypoints": pa.array(counts, pa.int32())}))
        for contents, counts in ((["d", "b"], [4, 2]), (["a", "b"], [1, 2]))
    ]
    made = compaction.packed(lake, folder, [Stored(file.path, file.bytes, 0.0) for file in written])
    assert (made.rows, made.path) == (3, f"{folder}/{made.sha256}.parquet")
    assert lake.read_rows([File(made.path, "", 0, 0)]).to_pydict() == {"content": ["a", "b", "d"], "n_keypoints": [1, 2, 4]}
