"""The frame of each plain loop: reads its order, times its work, prints the line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

Order = dict[str, Any]
MEGABYTE = 1 << 20


def clocked(work: Callable[[Order], Order]) -> None:
    """Does the work that the first argument orders, and prints what it found with `cpu_s` and `seconds`."""
    order = json.loads(sys.argv[1])
    wall, cpu = time.perf_counter(), time.process_time()
    found = work(order)
    print(json.dumps({**found, "cpu_s": time.process_time() - cpu, "seconds": time.perf_counter() - wall}))
