"""A process that is asked over its pipes (`serving/worker.py`), and is gone when its pipe is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.worker import ORDER

PROJECT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 120.0
_GRACE_S = 5.0
# A line holds the answer to one image: a thousand keypoints, or some ten thousand classes.
_LONGEST_LINE = 1 << 24
_KEPT_OF_STDERR = 4096


class ChildGone(RuntimeError):
    """The process did not start, or ended before it answered; the text says how."""


class ChildSilent(ChildGone):
    """The process was killed, because it did not answer in time."""


class Child:
    """One process and its pipes; it is asked one thing at a time."""

    def __init__(self, process: Process, *, heard: bool) -> None:
        self._process = process
        self._said, self._killed = b"", False
        self._listening = asyncio.create_task(self._listen()) if heard else None

    @classmethod
    async def start(cls, command: Sequence[str], *, heard: bool = True) -> Child:
        """The process, once it is ready. Its standard error is kept for the reason of its end (`heard`), or goes where this one's goes.

        Raises
        ------
        ChildGone
        """
        errors = PIPE if heard else None
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=errors, env=_environment(), cwd=PROJECT, limit=_LONGEST_LINE
            )
        except OSError as error:
            # No memory, no process or no file descriptor is left: that passes.
            raise ChildGone(f"its process was not started: {error.strerror or error}") from None
        child = cls(process, heard=heard)
        try:
            await child._reply(limit_s=START_LIMIT_S)
        except BaseException:
            await child.end()
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def spoilt(self) -> bool:
        """Whether it has ended or was killed, and can be asked no more."""
        return self._killed or self._process.returncode is not None

    async def ask(self, kind: bytes, data: bytes = b"", *, limit_s: float) -> dict[str, Any]:
        """The process's reply. Whoever is cancelled here leaves no half-read reply behind: the process is killed.

        Raises
        ------
        ChildGone, ChildSilent
        """
        assert self._process.stdin is not None
        # uvloop raises it where the pipe was closed at the other end; why it was is found below.
        with contextlib.suppress(RuntimeError):
            self._process.stdin.write(ORDER.pack(kind, len(data)) + data)
        return await self._reply(limit_s=limit_s)

    async def end(self) -> None:
        """Closes the pipe, at which the process ends by itself; what does not is killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._exit_code()

    def kill(self) -> None:
        """SIGKILL, if the process still lives."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _reply(self, *, limit_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        line = b""
        try:
            async with asyncio.timeout(limit_s):
                with contextlib.suppress(OSError):
                    await self._process.stdin.drain()
                    line = await self._process.stdout.readline()
        except TimeoutError:
            self.kill()
            raise ChildSilent(f"its process did not answer within {limit_s:.0f} s") from None
        except BaseException:
            self.kill()
            raise
        if not line.endswith(b"\n"):
            raise ChildGone(await self._how_it_ended())
        return dict(json.loads(line))

    async def _how_it_ended(self) -> str:
        """Why there is no reply, and the last line that the process wrote to standard error."""
        code = await self._exit_code()
        lines = self._said.decode(errors="replace").strip().splitlines()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"its process {how}" + (f": {lines[-1].strip()}" if lines else "")

    async def _exit_code(self) -> int:
        """How it ended, after all that it wrote was read; it is killed if it outlives the grace."""
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
        code = await self._process.wait()
        if self._listening:
            await self._listening
        return code

    async def _listen(self) -> None:
        """Reads standard error to its end and keeps the last of it: libraries complain about each broken picture, for months."""
        assert self._process.stderr is not None
        while part := await self._process.stderr.read(_KEPT_OF_STDERR):
            self._said = (self._said + part)[-_KEPT_OF_STDERR:]


def _environment() -> dict[str, str]:
    """This process's environment without the way to today's code, and with one thread a library: requests are answered side by side.

    One image has too little to share: on two threads of BLAS its product took ten times as long.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1", "OPENCV_LOG_LEVEL": "SILENT"}
