"""The landing zone: what lies in it, and the bytes of one file; never written to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pomona.outcome import BadInput
from pomona.s3 import AWS, S3
from pomona.storage import file_system, is_local


@dataclass(frozen=True)
class Listed:
    """One listed file. `fault` says why it cannot be read, or is empty."""

    path: str
    size: int
    version: str
    fault: str = ""


class Unsteady(OSError):
    """The file changed or vanished between its listing and the end of its reading: the next ingest looks again."""


@dataclass(frozen=True)
class Landing:
    """A folder or URI with pictures below it."""

    root: str
    s3: S3 = AWS

    @cached_property
    def _fs(self) -> tuple[Any, str]:
        return file_system(self.root, self.s3)

    @property
    def is_local(self) -> bool:
        return is_local(self.root)

    def files(self) -> list[Listed]:
        """Every file below the landing zone, sorted by path.

        Links are never followed out of the landing zone, and links to folders not at all: they are listed with
        their fault.

        Raises
        ------
        BadInput
            When the landing zone is missing, is no folder or cannot be read.
        """
        if not self.is_local:
            return sorted(self._remote(), key=lambda listed: listed.path)
        base = Path(self._fs[1])
        if not base.is_dir():
            state = "is no folder" if base.exists() else "does not exist"
            raise BadInput(f"the landing zone {base} {state}: make it, with pictures in Training/<label>/, or set POMONA_LANDING")
        try:
            return sorted(_walk(base, str(base.resolve()), ""), key=lambda listed: listed.path)
        except PermissionError as error:
            raise BadInput(f"{error.filename} cannot be read ({error.strerror}): give this user the right to read it") from None

    def _remote(self) -> Iterator[Listed]:
        fs, base = self._fs
        try:
            found = fs.find(base, detail=True)
        except FileNotFoundError:
            found = {}
        if not found and not fs.exists(base):
            raise BadInput(f"the landing zone {self.root} does not exist: make it, or set POMONA_LANDING")
        for name, entry in found.items():
            version = str(entry.get("ETag") or entry.get("mtime") or entry.get("LastModified") or "")
            yield Listed(name[len(base) + 1 :], int(entry["size"]), version)

    def read(self, path: str, size: int, version: str) -> bytes:
        """The file's bytes, as it was listed.

        Raises
        ------
        Unsteady
            When the file is no longer the one that was listed.
        OSError
            When it cannot be read.
        """
        fs, base = self._fs
        try:
            if not self.is_local:
                data = bytes(fs.cat_file(f"{base}/{path}"))
                if len(data) != size:
                    raise Unsteady("changed while it was read")
                return data
            file = os.open(os.fsencode(f"{base}/{path}"), os.O_RDONLY)
            with os.fdopen(file, "rb") as handle:
                data = handle.read()
                state = os.fstat(handle.fileno())
        except FileNotFoundError:
            raise Unsteady("vanished before it was read") from None
        if len(data) != size or _version(state) != version:
            raise Unsteady("changed while it was read")
        return data


def _version(state: os.stat_result) -> str:
    return str(state.st_mtime_ns)


def _walk(base: Path, real_base: str, below: str) -> Iterator[Listed]:
    with os.scandir(base / below) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            # A name that is no UTF-8 cannot stand in a table; it is shown with its bytes escaped, and not read.
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            if entry.is_symlink():
                yield _link(Path(entry.path), real_base, shown)
            elif shown != path:
                yield Listed(shown, 0, "", "the name is not UTF-8")
            elif entry.is_dir():
                yield from _walk(base, real_base, path)
            elif entry.is_file():
                with contextlib.suppress(FileNotFoundError):
                    state = entry.stat()
                    yield Listed(path, state.st_size, _version(state))
            else:
                yield Listed(path, 0, "", "neither a file nor a folder")


def _link(link: Path, real_base: str, path: str) -> Listed:
    try:
        target = link.resolve(strict=True)
        state = target.stat()
    except (OSError, RuntimeError):
        return Listed(path, 0, "", "a link that leads nowhere")
    if not str(target).startswith(f"{real_base}/"):
        return Listed(path, 0, "", "a link out of the landing zone")
    if not target.is_file():
        return Listed(path, 0, "", "a link to a folder, not followed")
    return Listed(path, state.st_size, _version(state))
