"""A bucket on S3, through s3fs: one layer of retries, exclusive creation, paged listings, and faults that name their remedy."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from pomona import store_faults, traffic
from pomona.s3 import S3
from pomona.storage import Stored

LOG = logging.getLogger("pomona")
# s3fs's and botocore's own retries are off, for layers multiply: eight tries within some ten seconds are all there are.
TRIES = 8
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 10.0
_CONNECT_S, _ANSWER_S = 10, 60
_BLOCK_BYTES, _PART_BYTES = 1 << 20, 32 << 20
_REFUSED = ("PreconditionFailed", "412")
_Got = TypeVar("_Got")


class Replaced(OSError):
    """The object is no longer the one that was asked for."""


@dataclass(frozen=True)
class Listing:
    """One listed object: its path below the bucket's root, its size, its ETag (or its time, where it has none), seconds since 1970."""

    path: str
    size: int
    version: str
    modified_s: float = 0.0


@dataclass(frozen=True)
class Bucket:
    """What lies below `s3://bucket/prefix`. It holds texts only, so that it travels and survives a fork."""

    root: str
    s3: S3

    @property
    def place(self) -> str:
        return f"{self.root} at {self.s3.endpoint}" if self.s3.endpoint else self.root

    def location(self, path: str) -> str:
        return f"{self.root}/{path}"

    def _at(self, path: str) -> dict[str, str]:
        bucket, _, key = self.location(path).removeprefix("s3://").partition("/")
        return {"Bucket": bucket, "Key": key}

    def get(self, path: str, version: str = "") -> bytes:
        """The object's bytes.

        Raises
        ------
        Replaced
            When it has another version than the one asked for.
        """
        asked = {**self._at(path), **({"IfMatch": version} if version.startswith('"') else {})}
        try:
            answer, data = self._tried(lambda fs: _sync(fs, asked))
        except OSError as error:
            if store_faults.code(error) in _REFUSED:
                raise Replaced(f"{self.location(path)} was replaced") from None
            raise
        if version and version not in (answer.get("ETag"), _time(answer.get("LastModified"))):
            raise Replaced(f"{self.location(path)} was replaced")
        return bytes(data)

    def part(self, path: str, start: int, end: int) -> bytes:
        """The bytes from start to before end."""
        asked = {**self._at(path), "Range": f"bytes={start}-{end - 1}"}
        return bytes(self._tried(lambda fs: _sync(fs, asked))[1])

    def opened(self, path: str, block_bytes: int = _BLOCK_BYTES) -> io.BufferedReader:
        return io.BufferedReader(_Opened(self, path, self.size(path)), block_bytes)

    def exists(self, path: str) -> bool:
        try:
            self.size(path)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str) -> int:
        try:
            return int(self._called("head_object", **self._at(path))["ContentLength"])
        except OSError as error:
            if store_faults.code(error) == "400":
                # The answer to a HEAD has no body that could say what is wrong: a listing's has.
                self.names("")
            raise

    def put(self, path: str, data: bytes) -> None:
        self._put(path, io.BytesIO(data), len(data))

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """A file of this machine, open for writing, whose bytes are put when the block ends well."""
        with tempfile.TemporaryFile() as file:
            yield file
            size = file.tell()
            file.seek(0)
            self._put(path, file, size)

    def _put(self, path: str, source: IO[bytes], size: int) -> None:
        if size < 2 * _PART_BYTES:
            self._called("put_object", **self._at(path), Body=source.read())
            traffic.count(written=size)
            return
        # s3fs would begin a large file anew for each part that fails.
        upload = {**self._at(path), "UploadId": self._called("create_multipart_upload", **self._at(path))["UploadId"]}
        try:
            parts = []
            for number in range(1, math.ceil(size / _PART_BYTES) + 1):
                answer = self._called("upload_part", **upload, PartNumber=number, Body=source.read(_PART_BYTES))
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            self._complete(path, size, upload, parts)
            traffic.count(written=size)
        except BaseException:
            with contextlib.suppress(store_faults.StoreFault, store_faults.StoreAway, OSError):
                self._called("abort_multipart_upload", **upload)
            raise

    def _complete(self, path: str, size: int, upload: dict[str, str], parts: list[dict[str, Any]]) -> None:
        try:
            self._called("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts})
        except FileNotFoundError:
            # A first try whose reply got lost has completed it.
            if self.size(path) != size:
                raise

    def create(self, path: str, data: bytes) -> bool:
        """Writes the object if there is none; after a reply that got lost the refusal may be our own first try's: it is read back."""
        try:
            self._called("put_object", **self._at(path), Body=data, IfNoneMatch="*")
            traffic.count(written=len(data))
        except OSError as error:
            if store_faults.code(error) not in _REFUSED:
                raise
            try:
                return self.get(path) == data
            except FileNotFoundError:
                return False
        return True

    def listing(self) -> Iterator[Listing]:
        """Every object below the root, a thousand a request; the empty objects that stand for folders are left out."""
        start = len(self._at("")["Key"])
        for page in self._pages("", delimiter=""):
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/") or entry["Size"]:
                    at = entry.get("LastModified")
                    version = entry.get("ETag") or _time(at)
                    yield Listing(entry["Key"][start:], int(entry["Size"]), version, at.timestamp() if at else 0.0)

    def names(self, folder: str) -> list[str]:
        keys = [entry["Key"] for page in self._pages(folder, delimiter="/") for entry in page.get("Contents", [])]
        return sorted(name for name in (key.rpartition("/")[2] for key in keys) if name and not name.startswith("."))

    def folders(self, folder: str) -> list[str]:
        prefixes = [entry["Prefix"] for page in self._pages(folder, delimiter="/") for entry in page.get("CommonPrefixes", [])]
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes)

    def _pages(self, folder: str, *, delimiter: str) -> Iterator[dict[str, Any]]:
        at = self._at(f"{folder}/" if folder else "")
        asked = {"Bucket": at["Bucket"], "Prefix": at["Key"], "Delimiter": delimiter}
        while True:
            page = self._called("list_objects_v2", **asked)
            yield page
            if not page.get("IsTruncated"):
                return
            asked = {**asked, "ContinuationToken": page["NextContinuationToken"]}

    def below(self, folder: str) -> list[Stored]:
        start = len(self._at("")["Key"])
        entries = (entry for page in self._pages(folder, delimiter="") for entry in page.get("Contents", []))
        return sorted(
            (Stored(entry["Key"][start:], int(entry["Size"]), entry["LastModified"].timestamp()) for entry in entries),
            key=lambda file: file.path,
        )

    def remove(self, path: str) -> None:
        self._called("delete_object", **self._at(path))
        for page in list(self._pages(path, delimiter="")):
            found = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
            if found:
                self._delete(found)

    def _delete(self, found: list[dict[str, str]]) -> None:
        what = {"Objects": found, "Quiet": True}
        failed = self._called("delete_objects", Bucket=self._at("")["Bucket"], Delete=what).get("Errors", [])
        if failed:
            code = failed[0]["Code"]
            raise store_faults.fault(self.place, code) or OSError(f"{self.place}: {failed[0]['Key']} cannot be removed ({code})")

    def _called(self, method: str, **asked: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._tried(lambda fs: fs.call_s3(method, **asked))
        return answer

    def _tried(self, call: Callable[[Any], _Got]) -> _Got:
        """What the call answers, after as many tries as there are.

        Raises
        ------
        StoreFault
            When no try mends it.
        StoreAway
            When the store was still failing at the last try.
        OSError
            When it is no fault of the store: a missing object.
        """
        from aiohttp import ClientError
        from botocore.exceptions import BotoCoreError
        from botocore.parsers import ResponseParserError

        for attempt in range(TRIES):
            try:
                return call(_connected(self.s3, os.getpid()))
            except (OSError, BotoCoreError, ResponseParserError, ClientError) as error:
                if store_faults.passes(error):
                    if attempt == TRIES - 1:
                        raise store_faults.away(self.place, error, TRIES) from None
                    time.sleep(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * random.uniform(0.5, 1))
                    continue
                fault = store_faults.told(self.place, error)
                if fault:
                    # Credentials may be renewed while a long-lived process goes on: its next call looks for them anew.
                    _connected.cache_clear()
                    raise fault from None
                raise
        raise AssertionError("no tries")


class _Opened(io.RawIOBase):
    """An object, read part by part."""

    def __init__(self, bucket: Bucket, path: str, size: int) -> None:
        self._bucket, self._path, self._size, self._position = bucket, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._size, self._position + len(buffer))
        if end <= self._position:
            return 0
        data = self._bucket.part(self._path, self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@functools.lru_cache(maxsize=8)
def _connected(s3: S3, process: int) -> Any:
    """The file system for these settings in this process: a connection does not survive a fork."""
    from s3fs import S3FileSystem

    written = {"ServerSideEncryption": s3.encryption, "SSEKMSKeyId": s3.kms_key}
    fs = S3FileSystem(
        endpoint_url=s3.endpoint or None,
        client_kwargs={"region_name": s3.region} if s3.region else {},
        config_kwargs={
            "retries": {"total_max_attempts": 1},
            "connect_timeout": _CONNECT_S,
            "read_timeout": _ANSWER_S,
            # A store with an endpoint of its own seldom has a host name for each bucket.
            **({"s3": {"addressing_style": "path"}} if s3.endpoint else {}),
        },
        s3_additional_kwargs={name: value for name, value in written.items() if value},
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    fs.retries = 1
    return fs


def _sync(fs: Any, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    from fsspec.asyn import sync

    got: tuple[dict[str, Any], bytes] = sync(fs.loop, _body, fs, asked)
    return got


async def _body(fs: Any, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    answer = await fs._call_s3("get_object", **asked)
    async with answer["Body"] as body:
        data = await body.read()
    traffic.count(read=len(data))
    return answer, data


def _time(time: Any) -> str:
    return time.isoformat() if time else ""
