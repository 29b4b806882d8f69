"""Files with their bytes: read here while that is quick, ahead by threads from the first slow answer on."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

from pomona.reading import read_in_time


def test_what_is_quick_is_read_in_turn_and_from_a_slow_answer_on_threads_read_ahead(monkeypatch):
    rows = [{"path": str(number), "size": 100, "version": "1"} for number in range(300)]
    readers, now = [], 0.0
    monkeypatch.setattr("pomona.reading.time", SimpleNamespace(monotonic=lambda: now))

    class Place:
        def read(self, path, size, version):
            nonlocal now
            readers.append(threading.current_thread())
            now += 0.1 if int(path) >= 40 else 0.0001
            return path.encode()

    found = list(read_in_time(Place(), rows))
    assert [(row["path"], data.decode()) for row, data in found] == [(row["path"], row["path"]) for row in rows]
    # The first slow answer came in a handful that begins with the 32nd file and ends with the 63rd.
    here = [reader is threading.current_thread() for reader in readers]
    assert all(here[:63]) and not any(here[63:])


def test_a_file_that_cannot_be_read_comes_with_its_fault():
    class Place:
        def read(self, path, size, version):
            if path == "b":
                raise PermissionError(13, "Permission denied")
            return b"x"

    found = list(read_in_time(Place(), [{"path": path, "size": 1, "version": "1"} for path in "abc"]))
    assert [row["path"] for row, _ in found] == ["a", "b", "c"]
    assert [type(reading) for _, reading in found] == [bytes, PermissionError, bytes]


def test_of_large_files_no_more_are_read_ahead_than_memory_bears():
    size, lock = 40 << 20, threading.Lock()
    held, most = 0, 0

    class Place:
        def read(self, path, size, version):
            nonlocal held, most
            with lock:
                held += size
                most = max(most, held)
            time.sleep(0.01)
            return path.encode()

    found = []
    for row, data in read_in_time(Place(), [{"path": str(number), "size": size, "version": "1"} for number in range(20)]):
        found.append((row["path"], data.decode()))
        with lock:
            held -= size
    assert found == [(str(number), str(number)) for number in range(20)]
    # One that is looked at, and one ahead.
    assert most <= 2 * size
