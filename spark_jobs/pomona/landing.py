"""The landing zone: what lies in it, and the bytes of one file; never written to."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pomona import traffic
from pomona.bucket import Bucket, Listing, Replaced
from pomona.outcome import BadInput
from pomona.s3 import AWS, S3
from pomona.storage import Storage, storage


@dataclass(frozen=True, slots=True)
class Listed:
    """One listed file. `fault` says why it cannot be read, or is empty; `modified_s` is its time, in seconds since 1970."""

    path: str
    size: int
    version: str
    fault: str = ""
    modified_s: float = field(default=0.0, compare=False)


class Unsteady(OSError):
    """The file changed or vanished between its listing and the end of its reading: the next ingest looks again."""


@dataclass(frozen=True)
class Landing:
    """A folder or URI with pictures below it."""

    root: str
    s3: S3 = AWS

    def files(self) -> list[Listed]:
        """Every file below the landing zone, sorted by path.

        Links are never followed out of the landing zone, and links to folders not at all: they are listed with
        their fault.

        Raises
        ------
        BadInput
            When the landing zone is missing, is no folder or cannot be read.
        """
        place = storage(self.root, self.s3)
        if isinstance(place, Bucket):
            return sorted((_object(found) for found in place.listing()), key=lambda listed: listed.path)
        base = _base(place)
        try:
            return sorted(_walk(base, str(base.resolve()), ""), key=lambda listed: listed.path)
        except PermissionError as error:
            raise BadInput(f"{error.filename} cannot be read ({error.strerror}): give this user the right to read it") from None

    def there(self) -> bool:
        """Whether there is such a folder; a bucket's prefix is always there, with or without objects.

        Raises
        ------
        BadInput
            When it is a file.
        """
        place = storage(self.root, self.s3)
        if isinstance(place, Bucket):
            return True
        base = Path(place.location(""))
        if base.exists() and not base.is_dir():
            raise BadInput(f"{self.root} is no folder: move the file away, or name another place")
        return base.is_dir()

    def first(self) -> Listed | None:
        """Any one of its files, without listing them all; None when it is empty.

        Raises
        ------
        BadInput
            As `files` does.
        """
        place = storage(self.root, self.s3)
        if isinstance(place, Bucket):
            return next((_object(found) for found in place.listing()), None)
        base = _base(place)
        return next(_walk(base, str(base.resolve()), ""), None)

    def read(self, path: str, size: int, version: str) -> bytes:
        """The file's bytes, as it was listed.

        Raises
        ------
        Unsteady
            When the file is no longer the one that was listed.
        OSError
            When it cannot be read.
        """
        place = storage(self.root, self.s3)
        try:
            if isinstance(place, Bucket):
                data, seen = place.get(path, version), version
            else:
                with io.FileIO(place.location(path)) as file:
                    data, seen = file.readall(), _version(os.fstat(file.fileno()))
                traffic.count(read=len(data))
        except FileNotFoundError:
            raise Unsteady("vanished before it was read") from None
        except Replaced:
            raise Unsteady("changed while it was read") from None
        if len(data) != size or seen != version:
            raise Unsteady("changed while it was read")
        return data


def _base(place: Storage) -> Path:
    """The folder, absolute and there."""
    base = Path(place.location("")).absolute()
    if not base.is_dir():
        state = "is no folder" if base.exists() else "does not exist"
        raise BadInput(f"the landing zone {base} {state}: make it, with pictures in Training/<label>/, or set POMONA_LANDING")
    return base


def _object(found: Listing) -> Listed:
    return Listed(found.path, found.size, found.version, "its name is a folder's" if found.path.endswith("/") else "", found.modified_s)


def _version(state: os.stat_result) -> str:
    return str(state.st_mtime_ns)


def _walk(base: Path, real_base: str, below: str) -> Iterator[Listed]:
    try:
        opened = os.scandir(base / below)
    except FileNotFoundError:
        if not below:
            raise
        # Renamed or removed since the folder above was read, as a file may be.
        return
    with opened as entries:
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
                    yield Listed(path, state.st_size, _version(state), modified_s=state.st_mtime)
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
    return Listed(path, state.st_size, _version(state), modified_s=state.st_mtime)
