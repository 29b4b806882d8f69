"""A folder whose process dies at the nth change: before a write, in the middle of removing a folder."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pomona.storage import Folder


class Died(BaseException):
    """What a process feels that is killed: nothing that anybody handles."""


@dataclass(frozen=True)
class DyingFolder(Folder):
    """Changes up to `at` are made; 0 lets it live. `really` ends the process by SIGKILL."""

    at: int = 0
    really: bool = False
    changes: list[str] = field(default_factory=list)

    def _count(self, path: str) -> bool:
        self.changes.append(path)
        return len(self.changes) == self.at

    def _die(self) -> None:
        if self.really:
            os.kill(os.getpid(), signal.SIGKILL)
        raise Died

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        if self._count(path):
            self._die()
        with super().writing(path) as file:
            yield file

    def create(self, path: str, data: bytes) -> bool:
        if self._count(path):
            self._die()
        return super().create(path, data)

    def remove(self, path: str) -> None:
        if self._count(path):
            target = Path(self.location(path))
            files = sorted(file for file in target.rglob("*") if file.is_file()) if target.is_dir() else []
            for file in files[: len(files) // 2]:
                file.unlink()
            for folder in sorted(place for place in target.rglob("*") if place.is_dir() and not any(place.iterdir())):
                shutil.rmtree(folder)
            self._die()
        super().remove(path)
