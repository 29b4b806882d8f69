"""Waits until something holds: a look every moment, and an assertion that says what did not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(found: Callable[[], Any], timeout_s: float, what: str, *, pause_s: float = 0.1) -> Any:
    """What `found` answers, once that is true.

    Raises
    ------
    AssertionError
        When it was not in time.
    """
    end = time.monotonic() + timeout_s
    while not (answer := found()):
        assert time.monotonic() < end, f"no {what} in {timeout_s:.0f} s"
        time.sleep(pause_s)
    return answer
