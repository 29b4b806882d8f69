"""Listed files with their bytes, read as fast as they are taken: by this thread where that is quick, ahead by some where it is not."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

_READERS = 4
_HANDFUL, _HANDFUL_BYTES = 32, 512 << 10
# What is read ahead stays in memory: videos among the pictures of a phone have hundreds of megabytes each.
_AHEAD_BYTES = 64 << 20
_SLOW_S = 0.0005

Row = dict[str, Any]
Reading = bytes | OSError


class Source(Protocol):
    """Where files are read as they were listed: the landing zone, alone or with what lies beside it."""

    def read(self, path: str, size: int, version: str) -> bytes: ...


def read_in_time(place: Source, rows: Iterable[Row]) -> Generator[tuple[Row, Reading], None, None]:
    """Each row with its file's bytes or fault. What is quick to read is read here; from the first slow answer on, some threads read ahead.

    A disk answers at once what the system still holds in memory: handing that over to a thread made taking in a fifth dearer.
    """
    handfuls = _handfuls(rows)
    for few in handfuls:
        began = time.monotonic()
        found = _read(place, few)
        slow = time.monotonic() - began > _SLOW_S * len(few)
        yield from found
        if slow:
            yield from _read_ahead(place, handfuls)


def _read_ahead(place: Source, handfuls: Iterable[list[Row]]) -> Generator[tuple[Row, Reading], None, None]:
    """The same by threads: some files are read while others are decoded, for a cold disk or a bucket is slow to answer."""
    pool = ThreadPoolExecutor(_READERS)
    try:
        ahead: deque[tuple[int, Future[list[tuple[Row, Reading]]]]] = deque()
        for few in handfuls:
            n_bytes = sum(row["size"] for row in few)
            while len(ahead) >= 2 * _READERS or (ahead and sum(size for size, _ in ahead) + n_bytes > _AHEAD_BYTES):
                yield from ahead.popleft()[1].result()
            ahead.append((n_bytes, pool.submit(_read, place, few)))
        while ahead:
            yield from ahead.popleft()[1].result()
    finally:
        # After a fault of the store what waits to be read would be asked for in vain.
        pool.shutdown(cancel_futures=True)


def _handfuls(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows, a few small files or one large one at a time; first one, then two, four, …, so that a slow place is soon known."""
    few: list[Row] = []
    n_bytes, most = 0, 1
    for row in rows:
        few.append(row)
        n_bytes += row["size"]
        if n_bytes >= _HANDFUL_BYTES or len(few) == most:
            yield few
            few, n_bytes, most = [], 0, min(2 * most, _HANDFUL)
    if few:
        yield few


def _read(place: Source, rows: Iterable[Row]) -> list[tuple[Row, Reading]]:
    found: list[tuple[Row, Reading]] = []
    for row in rows:
        try:
            found.append((row, place.read(row["path"], row["size"], row["version"])))
        except OSError as fault:
            found.append((row, fault))
    return found
