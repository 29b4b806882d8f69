"""Small parts become few: a run that takes in three pictures leaves a part of three, and every later one opens them all.

Rows in: the parts of one folder below half a part. Out: parts near 32 MB with the same rows, sorted by content; a row that stood in
two of them stands once. One part is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pomona.care.rewriting import write_part
from pomona.lake import Lake
from pomona.outcome import File
from pomona.storage import Stored
from pomona.work import PART_BYTES

if TYPE_CHECKING:
    import pyarrow as pa


def bundles(parts: Iterable[Stored]) -> list[list[Stored]]:
    """The small parts that are packed together, at least two each; none is larger than a part and a half.

    A part of half the size and more stays as it is: packing it again at every turn would cost more than it saves.
    """
    found: list[list[Stored]] = [[]]
    for part in sorted((part for part in parts if part.bytes < PART_BYTES // 2), key=lambda part: part.path):
        found[-1].append(part)
        if sum(each.bytes for each in found[-1]) >= PART_BYTES:
            found.append([])
    return [bundle for bundle in found if len(bundle) > 1]


def packed(lake: Lake, folder: str, parts: Sequence[Stored]) -> File:
    """The new part that holds the rows of these, of equal ones the first."""
    rows = lake.read_rows(File(part.path, "", part.bytes, 0) for part in parts)
    return write_part(lake, folder, _once(rows))


def _once(rows: pa.Table) -> pa.Table:
    """The rows sorted by content and copy, one for each; the sort keeps the order of equal ones."""
    import pyarrow as pa

    # Images have no copies, nor had descriptors of earlier releases.
    keys = [name for name in ("content", "copy") if name in rows.schema.names]
    order = rows.select(keys).to_pandas().sort_values(keys, kind="stable").drop_duplicates().index
    return rows.take(pa.array(order))
