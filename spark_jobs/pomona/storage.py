"""Where files lie: a folder of this machine or a bucket on S3, with the same few verbs."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar, cast

from pomona import traffic
from pomona.outcome import BadInput
from pomona.s3 import S3

# About a row group of a part.
BLOCK_BYTES = 1 << 20
# A store answers after some 30 ms, and many questions at once as fast as one.
_AT_ONCE = 16
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Stored:
    """One stored file: its path below the root, its bytes, and when it was written, in seconds by the store's own clock."""

    path: str
    bytes: int
    written: float


class Storage(Protocol):
    """What lake and landing ask of a place. Paths are below its root; a missing file is a FileNotFoundError."""

    def location(self, path: str) -> str:
        """The file's own path or URI, for people and for libraries that open files themselves."""

    def get(self, path: str) -> bytes: ...

    def opened(self, path: str, block_bytes: int = BLOCK_BYTES) -> Any:
        """The file, open for reading parts of it, as a context manager; it is read in blocks of that size or more."""

    def exists(self, path: str) -> bool: ...

    def size(self, path: str) -> int: ...

    def put(self, path: str, data: bytes) -> None:
        """Writes the whole file or nothing; a reader sees the old one or the new one."""

    def writing(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """The file, open for writing piece by piece; it is there, whole, when the block ends well."""

    def create(self, path: str, data: bytes) -> bool:
        """Writes the file if there is none of that name; False when somebody else was first."""

    def names(self, folder: str) -> list[str]:
        """The names of the files right below the folder, sorted; none when it is missing."""

    def folders(self, folder: str) -> list[str]:
        """The names of the folders right below the folder, sorted; none when it is missing."""

    def below(self, folder: str) -> list[Stored]:
        """Every file below the folder, sorted by path, half-written ones of killed writers among them; none when it is missing."""

    def remove(self, path: str) -> None:
        """Removes a file or a folder with all that is in it; it may be missing."""


def is_local(root: str) -> bool:
    """Whether the folder or URI lies on this machine's own file system."""
    return "://" not in root or root.startswith("file://")


@functools.lru_cache(maxsize=16)
def storage(root: str, s3: S3) -> Storage:
    """What lies below the folder or URI.

    Raises
    ------
    BadInput
        When the URI is neither a folder's nor a bucket's.
    """
    if is_local(root):
        return Folder(str(Path(root.removeprefix("file://")).absolute()))
    from pomona.bucket import Bucket

    scheme, _, rest = root.partition("://")
    if scheme not in ("s3", "s3a") or not rest.partition("/")[0]:
        raise BadInput(f"{root} names neither a folder nor a bucket: write a path, or s3://<bucket>/<prefix>")
    return Bucket(f"s3://{rest.strip('/')}", s3)


@dataclass(frozen=True)
class Folder:
    """A folder of this machine."""

    root: str

    def location(self, path: str) -> str:
        return f"{self.root}/{path}"

    def get(self, path: str) -> bytes:
        with self.opened(path) as file:
            return file.read()

    def opened(self, path: str, block_bytes: int = BLOCK_BYTES) -> IO[bytes]:
        # A disk gains nothing by reading ahead.
        return io.BufferedReader(traffic.CountedFile(self.location(path)), min(block_bytes, io.DEFAULT_BUFFER_SIZE))

    def exists(self, path: str) -> bool:
        return Path(self.location(path)).exists()

    def size(self, path: str) -> int:
        return Path(self.location(path)).stat().st_size

    def put(self, path: str, data: bytes) -> None:
        with self.writing(path) as file:
            file.write(data)

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        target = Path(self.location(path))
        with _temporary(target) as file:
            yield file
            _settle(file)
            Path(file.name).replace(target)

    def create(self, path: str, data: bytes) -> bool:
        target = Path(self.location(path))
        try:
            with _temporary(target) as file:
                file.write(data)
                _settle(file)
                os.link(file.name, target)
        except FileExistsError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        return self._below(folder, folders=False)

    def folders(self, folder: str) -> list[str]:
        return self._below(folder, folders=True)

    def _below(self, folder: str, *, folders: bool) -> list[str]:
        try:
            with os.scandir(self.location(folder)) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir() == folders and not entry.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def below(self, folder: str) -> list[Stored]:
        found = []
        for place, _, names in os.walk(self.location(folder)):
            for name in names:
                # Between listing and question a writer may have renamed it.
                with contextlib.suppress(FileNotFoundError):
                    state = (file := Path(place, name)).stat()
                    found.append(Stored(file.relative_to(self.root).as_posix(), state.st_size, state.st_mtime))
        return sorted(found, key=lambda file: file.path)

    def remove(self, path: str) -> None:
        target = Path(self.location(path))
        with contextlib.suppress(FileNotFoundError):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[IO[bytes]]:
    """A file beside the target, removed at the end unless it took the target's place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not by `tempfile`, whose files are their owner's alone: the umask says who may read a lake.
    spare = target.with_name(f".writing-{uuid.uuid4().hex}")
    try:
        with spare.open("xb") as file:
            yield cast(IO[bytes], file)
    finally:
        spare.unlink(missing_ok=True)


def _settle(file: IO[bytes]) -> None:
    """Everything written is on the disk, and counted."""
    file.flush()
    os.fsync(file.fileno())
    traffic.count(written=file.tell())


class Hashing(io.RawIOBase):
    """What is written to it goes on to a file and into a hash; closing it leaves the file open."""

    def __init__(self, file: IO[bytes], hashed: Any) -> None:
        self._file, self._hashed = file, hashed

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._hashed.update(data)
        return self._file.write(data)


def at_once(ask: Callable[[_Asked], _Answer], questions: Iterable[_Asked]) -> list[_Answer]:
    """The answers in the order of the questions, of which 16 are on their way together: for what waits for a store and not for a core."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, questions))
