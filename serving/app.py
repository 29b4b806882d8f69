"""The web service: POST an image to /predict; /health says whether it answers, /version who answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from serving.champion import RETRY_S, BadImage, Champion, NoChampion

log = logging.getLogger("uvicorn.error")
MAX_MB = 32.0

_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"image": {"type": "string", "format": "binary"}}}}
_BODY = {"requestBody": {"required": True, "content": {"image/*": _IMAGE, "multipart/form-data": _FORM}}}


def create_app(champion: Champion, *, max_mb: float = MAX_MB) -> FastAPI:
    """The application over one champion; bodies over `max_mb` are refused before they are read to the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            loaded = await run_in_threadpool(champion.load)
            log.info("%s version %d answers", champion.name, loaded.version)
        except NoChampion as error:
            log.warning("%s", error)
        yield

    # The interactive pages would load their scripts from somebody else's server.
    app = FastAPI(title="Pomona", docs_url=None, redoc_url=None, lifespan=lifespan)

    @app.post("/predict", openapi_extra=_BODY)
    async def predict(request: Request) -> dict[str, Any]:
        """Label and probabilities of one image: its bytes as the body, or a form with one file."""
        image = await _image(request, max_bytes=int(max_mb * 1024 * 1024))
        try:
            answer, version = await run_in_threadpool(champion.answer, image)
        except BadImage as error:
            raise HTTPException(400, f"no usable picture: {error}") from None
        except NoChampion as error:
            raise _not_yet(error) from None
        return {**asdict(answer), "model": {"name": champion.name, "version": version}}

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """200 when images are answered, 503 with the reason when not."""
        try:
            loaded = await run_in_threadpool(champion.load)
        except NoChampion as error:
            raise _not_yet(error) from None
        return {"status": "ok", "version": loaded.version}

    @app.get("/version")
    async def version() -> dict[str, Any]:
        """The version that answers, its run, and the champion at this moment: where they differ, a restart is due."""
        try:
            loaded = await run_in_threadpool(champion.load)
            serving = {"version": loaded.version, "run": loaded.run}
        except NoChampion:
            serving = {"version": None, "run": None}
        try:
            current = await run_in_threadpool(champion.current)
        except NoChampion:
            current = None
        return {"name": champion.name, **serving, "champion": current}

    return app


def _not_yet(error: NoChampion) -> HTTPException:
    """503 with the reason, and after how many seconds the service looks again."""
    return HTTPException(503, str(error), headers={"Retry-After": f"{RETRY_S:.0f}"})


async def _image(request: Request, *, max_bytes: int) -> bytes:
    body = await _body(request, max_bytes=max_bytes)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with Request(request.scope, _replayed(body)).form() as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            if len(files) != 1:
                raise HTTPException(400, f"the form has {len(files)} files: send one image, as with curl -F image=@apple.jpg")
            body = await files[0].read()
    if not body:
        raise HTTPException(400, "the body is empty: send an image, as with curl --data-binary @apple.jpg")
    return body


async def _body(request: Request, *, max_bytes: int) -> bytes:
    too_large = HTTPException(413, f"the body is larger than {max_bytes / 1024 / 1024:g} MB")
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise too_large
    return b"".join(parts)


def _replayed(body: bytes) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
