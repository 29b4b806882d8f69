"""The documents of `health` a hundred to a file: an hourly feed makes 8,760 of them a year, and the monitoring page is written over all."""

from __future__ import annotations

from pomona.lake import Lake
from pomona.monitoring.record import RECORD, Document
from pomona.storage import at_once

PACKED = f"{RECORD}/hundreds"
_SIZE = 100


def every(lake: Lake) -> list[Document]:
    """All documents in their order, packed or not."""
    packs = lake.entries(PACKED)
    return [*(document for pack in packs for document in pack["documents"]), *_read(lake, _SIZE * len(packs) + 1, lake.last_number(RECORD))]


def pack(lake: Lake) -> None:
    """Writes the files of hundreds that are full. The newest document is never in one, for the next one's number is told by it."""
    for number in range(lake.last_number(PACKED) + 1, (lake.last_number(RECORD) - 1) // _SIZE + 1):
        lake.append(PACKED, number, {"documents": _read(lake, _SIZE * (number - 1) + 1, _SIZE * number)})


def inside(number: int) -> list[str]:
    """Where the documents of the file of this number lay before."""
    return [f"{RECORD}/{each:06d}.json" for each in range(_SIZE * (number - 1) + 1, _SIZE * number + 1)]


def _read(lake: Lake, first: int, last: int) -> list[Document]:
    return [document for document in at_once(lambda number: lake.entry(RECORD, number), range(first, last + 1)) if document]
