"""The service follows the alias: looks every few seconds, takes a new champion that proves itself, and lets the old one finish."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from serving import registry
from serving.child import Child, ChildGone
from serving.folders import Folder, remove_left
from serving.workers import Workers

log = logging.getLogger("uvicorn.error")
LOOK_S = 5.0
_LOOK_LIMIT_S = 60.0
_FETCH_LIMIT_S = 600.0
# A version that was not taken is tried again after so long, then twice that, four times that: what failed may have been the network.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 600.0


class NoChampion(RuntimeError):
    """There is nothing to answer with; the text says what to do."""


class _NotTaken(RuntimeError):
    """The version does not become the one that answers; the text says why."""


@dataclass(frozen=True)
class Serving:
    """The version that answers, since when, and its processes."""

    version: int
    run: str
    since: str
    workers: Workers
    folder: Folder


@dataclass(frozen=True)
class FollowUp:
    """How the service stands to the alias.

    `state`: starting, no champion, taking (`version`), in step (`version`), not taken (`version`, `reason`), or unknown (`reason`): MLflow
    cannot be asked.
    """

    state: str
    version: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Refused:
    """A version that was not taken, why, when it is tried again, and how long after it was tried."""

    version: int
    reason: str
    retry_at: float
    pause_s: float


class Following:
    """The champion of one name, as it is or as it was when it could last be taken."""

    def __init__(self, *, name: str, tracking: str, n_workers: int) -> None:
        self.name = name
        self.champion: int | None = None
        self.follow_up = FollowUp("starting")
        self._n_workers = n_workers
        self._command = [sys.executable, "-m", "serving.registry", name, tracking]
        self._registry: Child | None = None
        self._serving: Serving | None = None
        self._refused: _Refused | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def serving(self) -> Serving:
        """The version that answers.

        Raises
        ------
        NoChampion
        """
        if self._serving is None:
            raise NoChampion(self._why_none())
        return self._serving

    def standing(self) -> dict[str, Any]:
        """The follow-up as JSON has it."""
        return asdict(self.follow_up)

    async def run(self) -> None:
        """Follows until it is cancelled; then no process is left."""
        if left := await asyncio.to_thread(remove_left):
            log.info("removed what killed services had left: %s", ", ".join(left))
        try:
            while True:
                try:
                    await self._look()
                except Exception:
                    log.exception("the alias could not be followed; the next look is in %.0f s", LOOK_S)
                await asyncio.sleep(LOOK_S)
        finally:
            await self._end()

    async def _look(self) -> None:
        try:
            self.champion = await self._alias()
        except _NotTaken as error:
            return self._note(FollowUp("unknown", reason=str(error)))
        number, serving = self.champion, self._serving
        if self._refused is not None and self._refused.version != number:
            self._refused = None
        if number is None:
            self._note(FollowUp("no champion"))
        elif serving is not None and serving.version == number:
            self._note(FollowUp("in step", number))
        elif self._refused is not None and time.monotonic() < self._refused.retry_at:
            self._note(FollowUp("not taken", number, self._refused.reason))
        else:
            await self._follow(number)
        return None

    async def _follow(self, number: int) -> None:
        """Takes the version; when it is not taken, notes why and when it is tried again."""
        self._note(FollowUp("taking", number))
        try:
            taken = await self._take(number)
        except (_NotTaken, ChildGone) as error:
            return self._refuse(number, str(error))
        except OSError as error:
            return self._refuse(number, f"its folder cannot be made here: {error.strerror or error}")
        if taken is None:
            return None
        old, self._serving = self._serving, taken
        self._note(FollowUp("in step", number))
        if old is not None:
            task = asyncio.create_task(_retire(old))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        return None

    def _refuse(self, number: int, reason: str) -> None:
        pause_s = _FIRST_PAUSE_S if self._refused is None else min(2 * self._refused.pause_s, _LONGEST_PAUSE_S)
        self._refused = _Refused(number, reason, time.monotonic() + pause_s, pause_s)
        self._note(FollowUp("not taken", number, reason))

    async def _take(self, number: int) -> Serving | None:
        """The version, proved and ready; None when the alias has moved on meanwhile."""
        folder = Folder()
        workers = Workers(folder.files, n_workers=self._n_workers)
        try:
            order = json.dumps({"version": number, "folder": str(folder.files)}).encode()
            run = str((await self._asked(registry.FETCH, order, limit_s=_FETCH_LIMIT_S))["run"])
            await workers.start()
            if await self._moved_on(number):
                log.info("version %d is champion no more, and was not put in place", number)
                await workers.end()
                folder.remove()
                return None
        except BaseException:
            await workers.end()
            folder.remove()
            raise
        return Serving(number, run, datetime.now(UTC).isoformat(timespec="seconds"), workers, folder)

    async def _moved_on(self, number: int) -> bool:
        """Whether another version is champion by now: one that was champion for seconds never answers."""
        try:
            return await self._alias() != number
        except _NotTaken:
            return False

    async def _alias(self) -> int | None:
        found = (await self._asked(registry.LOOK, limit_s=_LOOK_LIMIT_S))["version"]
        return None if found is None else int(found)

    async def _asked(self, kind: bytes, data: bytes = b"", *, limit_s: float) -> dict[str, Any]:
        try:
            if self._registry is None or self._registry.spoilt:
                await self._forget_registry()
                self._registry = await Child.start(self._command, heard=False)
            reply = await self._registry.ask(kind, data, limit_s=limit_s)
        except ChildGone as error:
            log.warning("MLflow cannot be asked: %s", error)
            reply = {"problem": "the service's log says why"}
        if "problem" in reply:
            raise _NotTaken(f"MLflow cannot be asked for the champion: {reply['problem']}")
        return reply

    def _note(self, now: FollowUp) -> None:
        if now != self.follow_up:
            words = [now.state, *([] if now.version is None else [f"version {now.version}"]), *([now.reason] if now.reason else [])]
            log.info("%s: %s", self.name, ", ".join(words))
        self.follow_up = now

    def _why_none(self) -> str:
        now = self.follow_up
        if now.state == "no champion":
            return f"{self.name} has no champion yet: `make run` trains a first model and makes it the champion"
        if now.state == "not taken":
            return f"version {now.version} of {self.name} is not taken ({now.reason}): move the alias {registry.ALIAS} in MLflow"
        if now.state == "unknown":
            return str(now.reason)
        what = f"version {now.version}" if now.version else "the champion"
        return f"{what} of {self.name} is being loaded: ask again in a few seconds"

    async def _forget_registry(self) -> None:
        if self._registry is not None:
            await self._registry.end()
            self._registry = None

    async def _end(self) -> None:
        if self._serving is not None:
            self._retiring.add(asyncio.create_task(_retire(self._serving)))
            self._serving = None
        await asyncio.gather(self._forget_registry(), *self._retiring)


async def _retire(serving: Serving) -> None:
    await serving.workers.retire()
    serving.folder.remove()
    log.info("version %d has ended", serving.version)
