"""The image in a request: its bytes as the body, or a form with one file. A body too large or too slow is not read to its end."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

# Who sends slowly holds a place that others wait for.
_LIMIT_S = 60.0


async def image(request: Request, *, max_mb: float) -> bytes:
    """The image's bytes.

    Raises
    ------
    HTTPException
        400 for a body that is empty or breaks off or another number of files than one, 408 for one that takes too long, 413 for one over
        `max_mb`.
    """
    try:
        async with asyncio.timeout(_LIMIT_S):
            body = await _body(request, max_mb=max_mb)
    except TimeoutError:
        raise HTTPException(408, f"the body was not there after {_LIMIT_S:.0f} s") from None
    except ClientDisconnect:
        # Nobody is there to hear it, and what a phone breaks off is no fault of the service that its log should tell of.
        raise HTTPException(400, "the body broke off") from None
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with Request(request.scope, _replayed(body)).form() as form:
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            if len(files) != 1:
                raise HTTPException(400, f"the form has {len(files)} files: send one image, as with curl -F image=@apple.jpg")
            body = await files[0].read()
    if not body:
        raise HTTPException(400, "the body is empty: send an image, as with curl --data-binary @apple.jpg")
    return body


async def _body(request: Request, *, max_mb: float) -> bytes:
    max_bytes = int(max_mb * 1024 * 1024)
    too_large = HTTPException(413, f"the body is larger than {max_mb:g} MB")
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
