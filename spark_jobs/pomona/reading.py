"""Listed files with their bytes, read as fast as they are taken: by this thread where that is quick, ahead by some where it is not."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pomona.landing import Landing

_READERS = 4
_HANDFUL, _HANDFUL_BYTES = 32, 512 << 10
_SLOW_S = 0.0005

Row = dict[str, Any]
Reading = bytes | OSError


def read_in_time(landing: Landing, rows: Iterable[Row]) -> Generator[tuple[Row, Reading], None, None]:
    """Each row with its file's bytes or fault. What is quick to read is read here; from the first slow answer on, some threads read ahead.

    A disk answers at once what the system still holds in memory: handing that over to a thread made taking in a fifth dearer.
    """
    handfuls = _handfuls(rows)
    for few in handfuls:
        began = time.monotonic()
        found = _read(landing, few)
        slow = time.monotonic() - began > _SLOW_S * len(few)
        yield from found
        if slow:
            yield from _read_ahead(landing, handfuls)


def _read_ahead(landing: Landing, handfuls: Iterable[list[Row]]) -> Generator[tuple[Row, Reading], None, None]:
    """The same by threads: some files are read while others are decoded, for a cold disk or a bucket is slow to answer."""
    pool = ThreadPoolExecutor(_READERS)
    try:
        ahead: deque[Future[list[tuple[Row, Reading]]]] = deque()
        for few in handfuls:
            ahead.append(pool.submit(_read, landing, few))
            if len(ahead) > 2 * _READERS:
                yield from ahead.popleft().result()
        for reading in ahead:
            yield from reading.result()
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


def _read(landing: Landing, rows: Iterable[Row]) -> list[tuple[Row, Reading]]:
    found: list[tuple[Row, Reading]] = []
    for row in rows:
        try:
            found.append((row, landing.read(row["path"], row["size"], row["version"])))
        except OSError as fault:
            found.append((row, fault))
    return found
