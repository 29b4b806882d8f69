"""The web service: POST an image to /predict; /health says whether it answers, /version who answers, and / is a page for people."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response

from serving import asked, body, openapi, worker
from serving.following import LOOK_S, Following, NoChampion, Serving
from serving.workers import Unanswered

log = logging.getLogger("uvicorn.error")
# The page is one file and asks nobody but this service.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'; base-uri 'none'"
)


@dataclass(frozen=True)
class Limits:
    """What is refused: a body over `max_mb`, and whoever comes when `n_places` requests are inside, answered or waiting."""

    max_mb: float
    n_places: int


@dataclass(frozen=True)
class Sample:
    """The share of what is asked that is kept, and where; None: nothing is."""

    folder: Path | None = None
    share: float = 0.0


class _Places:
    """Counts who is inside; a place is taken before the body is read, so that memory is bounded by bodies times places."""

    def __init__(self, n_places: int) -> None:
        self._n_free = n_places

    @contextmanager
    def one(self) -> Iterator[None]:
        if not self._n_free:
            raise HTTPException(429, "too many requests at once: ask again in a second", headers={"Retry-After": "1"})
        self._n_free -= 1
        try:
            yield
        finally:
            self._n_free += 1


def create_app(following: Following, *, limits: Limits, sample: Sample) -> FastAPI:
    """The application over the champion that `following` follows while the application runs."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(following.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    # The interactive pages would load their scripts from somebody else's server.
    app = FastAPI(title="Pomona", docs_url=None, redoc_url=None, lifespan=lifespan)
    places = _Places(limits.n_places)
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")

    async def reply(request: Request, kind: bytes) -> tuple[dict[str, Any], Serving]:
        with places.one():
            image = await body.image(request, max_mb=limits.max_mb)
            if kind == worker.ANSWER:
                await _keep(image, sample)
            return await _reply(following, kind, image)

    @app.post("/predict", openapi_extra=openapi.PREDICT)
    async def predict(request: Request) -> Response:
        """Label and probabilities of one image, and whether it is unknown: its bytes as the body, or a form with one file."""
        answer, serving = await reply(request, worker.ANSWER)
        return _json({**answer, "model": {"name": following.name, "version": serving.version}})

    @app.post("/keypoints", openapi_extra=openapi.KEYPOINTS)
    async def keypoints(request: Request) -> Response:
        """Where the version described the image: `keypoints` of x, y, size and angle in a picture of `width` and `height` pixels."""
        found, serving = await reply(request, worker.KEYPOINTS)
        if found["keypoints"] is None:
            raise HTTPException(501, f"version {serving.version} cannot tell its keypoints: it was made by a release that could not")
        return _json({**found, "model": {"name": following.name, "version": serving.version}})

    @app.get("/health")
    async def health() -> Response:
        """200 when images are answered, 503 with the reason when not; either way how the service stands to the alias."""
        try:
            serving = following.serving
            if not serving.workers.pids:
                raise Unanswered(f"no process of version {serving.version} lives; others are started, the service's log says more")
        except (NoChampion, Unanswered) as error:
            return _json({"detail": str(error), "following": following.standing()}, status=503, headers=_later(LOOK_S))
        return _json({"status": "ok", "version": serving.version, "following": following.standing()})

    @app.get("/version")
    async def version() -> Response:
        """The version that answers, its run and since when; the champion at the last look, how it is followed; the share of images kept."""
        answers: dict[str, Any] = {"version": None, "run": None, "since": None}
        with contextlib.suppress(NoChampion):
            serving = following.serving
            answers = {"version": serving.version, "run": serving.run, "since": serving.since}
        follows = {"champion": following.champion, "following": following.standing()}
        return _json({"name": following.name, **answers, **follows, "keeps": sample.share})

    @app.get("/", include_in_schema=False)
    async def show() -> Response:
        """The page."""
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    return app


async def _reply(following: Following, kind: bytes, image: bytes) -> tuple[dict[str, Any], Serving]:
    try:
        serving = following.serving
        reply = await serving.workers.ask(kind, image)
    except NoChampion as error:
        raise HTTPException(503, str(error), headers=_later(LOOK_S)) from None
    except Unanswered as error:
        raise HTTPException(503, f"not answered: {error}", headers=_later(1)) from None
    if "bad" in reply:
        raise HTTPException(413 if reply["too_large"] else 400, f"no usable picture: {reply['bad']}")
    if "fault" in reply:
        log.error("version %d failed on a picture: %s", serving.version, reply["fault"])
        raise HTTPException(500, f"version {serving.version} failed on this picture: {reply['fault']}")
    return reply, serving


async def _keep(image: bytes, sample: Sample) -> None:
    """Keeps the image if it is in the sample; a full disk is told in the log and not to who asks."""
    if sample.folder is None or not sample.share:
        return
    try:
        await asyncio.to_thread(asked.keep, image, folder=sample.folder, share=sample.share)
    except OSError as error:
        log.error("an image was not kept: %s", error)


def _later(seconds: float) -> dict[str, str]:
    return {"Retry-After": f"{seconds:.0f}"}


def _json(content: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status, headers, "application/json")
