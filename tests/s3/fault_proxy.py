"""A proxy before an S3 server that counts what is asked, and answers a share of it with faults.

Requests go on as they came, the Host header too, so that signatures hold. It speaks just enough HTTP/1.1 for S3.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

# lost: the server does it, but its answer never arrives; cut: the answer ends in the middle of its body.
FAULTS = ("500", "503", "reset", "lost", "cut", "delay")
_CODES = {500: "InternalError", 503: "SlowDown"}
DELAY_S = 2.0


@dataclass(frozen=True)
class Request:
    """One request that came: its kind (list, get, head, put, create, delete, part, multipart), path and headers in small letters."""

    method: str
    target: str
    headers: dict[str, str] = field(hash=False)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def kind(self) -> str:
        asked = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        if "uploadId" in asked or "uploads" in asked:
            return "part" if self.method == "PUT" else "multipart"
        if self.method == "GET" and "list-type" in asked:
            return "list"
        if self.method == "POST" and "delete" in asked:
            return "delete"
        if self.method == "PUT" and "if-none-match" in self.headers:
            return "create"
        return self.method.lower()


class FaultProxy:
    """Between any clients and the server on `port`; `share` of the requests, drawn from `seed`, meets a fault.

    `refuse` may answer a request for good: it gives (status, S3's error code), or None. The header `dropped` (in small letters) is not
    passed on, as if the server did not know it.
    """

    def __init__(
        self,
        port: int,
        *,
        share: float = 0,
        seed: int = 1,
        faults: tuple[str, ...] = FAULTS,
        refuse: Callable[[Request], tuple[int, str] | None] = lambda _: None,
        dropped: str = "",
    ) -> None:
        self.requests: list[Request] = []
        self.met: Counter[str] = Counter()
        self.refuse = refuse
        self._port, self._share, self._random, self._faults = port, share, random.Random(seed), faults
        self._dropped = {"expect", dropped} - {""}
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20, backlog=512))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def counts(self) -> Counter[str]:
        """How many requests of each kind came since the start, or since `forget`."""
        return Counter(request.kind for request in list(self.requests))

    def forget(self) -> None:
        self.requests.clear()
        self.met.clear()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._server.close()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, headers = _parsed(head)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = b"\r\n".join(line for line in head.split(b"\r\n") if line.partition(b":")[0].decode("latin-1").lower() not in self._dropped)
        body = await _body(reader, headers)
        request = Request(method, target, headers)
        self.requests.append(request)
        refused = self.refuse(request)
        fault = "" if refused or self._random.random() >= self._share else self._random.choice(self._faults)
        self.met[fault or "none"] += 1
        if refused or fault in ("500", "503"):
            writer.write(_error(*(refused or (int(fault), _CODES[int(fault)])), bodiless=method == "HEAD"))
            await writer.drain()
            return True
        if fault == "reset":
            return _reset(writer)
        if fault == "delay":
            await asyncio.sleep(DELAY_S)
        answer_head, answer_body = await self._asked(head + body, method)
        if fault == "lost" or (fault == "cut" and len(answer_body) < 2):
            return _reset(writer)
        writer.write(answer_head + answer_body[: len(answer_body) // 2 if fault == "cut" else None])
        await writer.drain()
        return fault != "cut"

    async def _asked(self, request: bytes, method: str) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        try:
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            headers = _parsed(head)[2]
            bodiless = method == "HEAD" or head[9:12] in (b"204", b"304")
            return head, b"" if bodiless else await _body(reader, headers)
        finally:
            writer.close()


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    """The first two words of the first line, and the headers with their names in small letters."""
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    word, second = first.split(" ")[:2]
    return word, second, {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The body as it came, chunks and all."""
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", 0)))
    whole = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        # The last chunk may have trailers behind it.
        rest = await reader.readexactly(size + 2) if size else await _trailers(reader)
        whole += line + rest
        if not size:
            return whole


async def _trailers(reader: asyncio.StreamReader) -> bytes:
    whole = b""
    while not whole.endswith(b"\r\n\r\n") and whole != b"\r\n":
        whole += await reader.readuntil(b"\r\n")
    return whole


def _error(status: int, code: str, *, bodiless: bool) -> bytes:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code} it is</Message></Error>'.encode()
    head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {0 if bodiless else len(text)}\r\n\r\n"
    return head.encode() + (b"" if bodiless else text)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Ends the connection the hard way (RST)."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
