"""Who shows a secret in the process list: every command line of this machine, containers included, looked at all the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def watched(secrets: Mapping[str, str], *, every_s: float = 0.2) -> Iterator[dict[str, str]]:
    """Command lines by the name of the secret that they show; filled while the block runs."""
    shown: dict[str, str] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(every_s):
            for line in _command_lines():
                shown.update({name: line.replace(secret, "<secret>") for name, secret in secrets.items() if secret in line})

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield shown
    finally:
        ended.set()
        thread.join()


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            # The process has ended meanwhile.
            continue
