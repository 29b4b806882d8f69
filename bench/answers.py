"""One image through the service's model, against the same chain in a plain loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.loops import Orders, own_process, plain
from bench.measure import Row
from bench.runs import Ran
from bench.stand import Stand

_IMAGES, _WARM, _BATCH = 1000, 50, 250
_GOAL, _GOAL_P99_MS, _GOAL_EACH_S = 1.2, 15, 250


def measure(at: Stand, orders: Orders, whole: Ran) -> Iterator[Row]:
    """CPU of an answer, its slowest hundredth, and answers a second in batches; of test images spread over all."""
    test = orders.pictures("path", "test")
    pictures = test[:: max(1, len(test) // (_IMAGES + _WARM))][: _IMAGES + _WARM]
    warm = min(_WARM, len(pictures) // 2)
    listing = orders.listing("answers", pictures)
    tracking = at.settings(whole.lake.name, at.folder)["POMONA_TRACKING"]
    loop = plain("answer", {**orders.answer(listing), "warm": warm}).found
    asked = {"name": whole.lake.name, "tracking": tracking, "listing": listing, "warm": warm, "batch": _BATCH}
    # As the service starts: nobody limits the threads of its BLAS.
    ours = own_process("bench.served", asked, threads=0).found
    n = len(ours["answers"])
    each, theirs = (1000 * found["answer_cpu_s"] / n for found in (ours, loop))
    unlike = sum(a != b for a, b in zip(ours["answers"], loop["answers"], strict=True))
    chain = 1000 * ours["chain_cpu_s"] / n
    note = (
        f"{each:.2f} against {theirs:.2f} ms of CPU, {n:,} test images; the chain alone {chain:.2f}, the rest is MLflow's and pandas'"
        + (f"; NOT THE SAME WORK: {unlike} other labels" if unlike else "")
    )
    yield Row(
        "one image through the service's model, against the plain chain",
        f"{each / theirs:.2f} ×",
        f"≤ {_GOAL} × its CPU",
        each / theirs <= _GOAL,
        note,
    )
    slow, usual = (1000 * float(np.percentile(ours["seconds_each"], share)) for share in (99, 50))
    note = f"median {usual:.1f} ms; the plain chain's {1000 * float(np.percentile(loop['seconds_each'], 99)):.1f} ms"
    yield Row("the same, 99th percentile", f"{slow:.1f} ms", f"≤ {_GOAL_P99_MS} ms", slow <= _GOAL_P99_MS, note)
    speed = n / ours["batch_cpu_s"]
    note = f"batches of {_BATCH}, counted in CPU seconds"
    yield Row("the same, in batches", f"{speed:.0f} images/s/core", f"≥ {_GOAL_EACH_S}", speed >= _GOAL_EACH_S, note)
