"""The processes of one version: as many images at once as there are processes, each answered by one that is free."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from serving import worker
from serving.child import Child, ChildGone, ChildSilent

log = logging.getLogger("uvicorn.error")
ANSWER_LIMIT_S = 30.0
# Thirty-two photographs with a thousand keypoints each take seconds.
_PROBES_LIMIT_S = 120.0
_LONGEST_PAUSE_S = 60.0
_TEND_S = 5.0


class Unanswered(RuntimeError):
    """No process answered; the text says why."""


class Workers:
    """A version's processes; one that died is succeeded by another."""

    def __init__(self, folder: Path, *, n_workers: int) -> None:
        # -B: the model folder is left as it was found.
        self._command = [sys.executable, "-P", "-B", str(Path(worker.__file__).resolve()), str(folder)]
        self._n_workers = n_workers
        self._children: set[Child] = set()
        self._idle: asyncio.Queue[Child] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._n_asked = 0
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    @property
    def pids(self) -> list[int]:
        return sorted(child.pid for child in self._children if not child.spoilt)

    async def start(self) -> None:
        """Starts the processes, after the version has given its probes their probabilities.

        Raises
        ------
        ChildGone
            When the version does not load or reproduce its probes; no process is left then.
        """
        await self._prove()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._n_workers):
                    group.create_task(self._begin())
        except BaseException as error:
            await self.end()
            if isinstance(error, ExceptionGroup):
                raise ChildGone(str(error.exceptions[0])) from None
            raise
        self._run(self._tend())

    async def ask(self, kind: bytes, data: bytes) -> dict[str, Any]:
        """The reply to an order; of a process that dies over it, another's. A picture that two died of is given to no third.

        Raises
        ------
        Unanswered
        """
        self._n_asked += 1
        self._at_rest.clear()
        try:
            for last in (False, True):
                child = await self._free()
                try:
                    reply = await child.ask(kind, data, limit_s=ANSWER_LIMIT_S)
                except ChildGone as error:
                    log.warning("a process of the version is gone: %s", error)
                    if last or isinstance(error, ChildSilent):
                        raise Unanswered(str(error)) from None
                else:
                    return reply
                finally:
                    self._back(child)
            raise AssertionError("the second try returns or raises")
        finally:
            self._n_asked -= 1
            if not self._n_asked:
                self._at_rest.set()

    async def retire(self) -> None:
        """Ends the processes when what they were asked is answered."""
        await self._at_rest.wait()
        await self.end()

    async def end(self) -> None:
        """Ends the processes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.end() for child in self._children))
        self._children.clear()

    async def _prove(self) -> None:
        # In a process that ends: reading Parquet would leave 120 MB in one that stays.
        child = await Child.start(self._command)
        try:
            reply = await child.ask(worker.PROBES, limit_s=_PROBES_LIMIT_S)
        finally:
            await child.end()
        if problem := reply.get("fault") or reply.get("bad") or reply["problem"]:
            raise ChildGone(problem)

    async def _begin(self) -> Child:
        child = await Child.start(self._command)
        self._children.add(child)
        self._idle.put_nowait(child)
        return child

    async def _free(self) -> Child:
        """A process that is not busy, as soon as there is one."""
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                while (child := await self._idle.get()).spoilt:
                    self._back(child)
        except TimeoutError:
            raise Unanswered(f"no process was free for {ANSWER_LIMIT_S:.0f} s") from None
        return child

    def _back(self, child: Child) -> None:
        """Puts the process back among the free ones or, when it is gone or killed, starts its successor."""
        if not child.spoilt:
            self._idle.put_nowait(child)
            return
        self._children.discard(child)
        self._run(self._succeed(child))

    async def _tend(self) -> None:
        """Finds free processes that died, also where nobody asks anything."""
        while True:
            await asyncio.sleep(_TEND_S)
            for _ in range(self._idle.qsize()):
                if (child := self._idle.get_nowait()).spoilt:
                    log.warning("a free process of the version is gone, another takes its place")
                self._back(child)

    async def _succeed(self, child: Child) -> None:
        await child.end()
        pause_s = 1.0
        while True:
            try:
                await self._begin()
                return
            except ChildGone as error:
                log.warning("no process takes its place, the next try is in %.0f s: %s", pause_s, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
