"""What a body may be, where no network is needed to say so."""

import asyncio

import pytest
from fastapi import HTTPException, Request

from serving import body


def test_a_body_that_does_not_arrive_gives_its_place_to_others(monkeypatch):
    monkeypatch.setattr(body, "_LIMIT_S", 0.2)
    parts = iter([{"type": "http.request", "body": b"\xff\xd8", "more_body": True}])

    async def receive():
        try:
            return next(parts)
        except StopIteration:
            await asyncio.sleep(60)

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(HTTPException) as refused:
        asyncio.run(body.image(request, max_mb=1))
    assert refused.value.status_code == 408


def test_a_body_that_breaks_off_is_no_fault_of_the_service():
    parts = iter([{"type": "http.request", "body": b"\xff\xd8", "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(parts)

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(HTTPException) as refused:
        asyncio.run(body.image(request, max_mb=1))
    assert (refused.value.status_code, refused.value.detail) == (400, "the body broke off")
