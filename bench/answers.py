"""One image through the service's model, against the same chain in a plain loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from bench.loops import Orders, own_process, plain
from bench.measure import Row, in_turn
from bench.runs import Ran
from bench.stand import Stand

_IMAGES, _WARM, _BATCH, _TIMES = 400, 50, 200, 5
_GOAL, _GOAL_P99_MS, _GOAL_EACH_S = 1.2, 15, 250


def measure(at: Stand, orders: Orders, whole: Ran) -> Iterator[Row]:
    """CPU of an answer, its slowest hundredth, and answers a second in batches; of test images spread over all, by turns with the loop."""
    test = orders.pictures("path", "test")
    pictures = test[:: max(1, len(test) // (_IMAGES + _WARM))][: _IMAGES + _WARM]
    warm = min(_WARM, len(pictures) // 2)
    listing = orders.listing("answers", pictures)
    tracking = at.settings(whole.lake.name, at.folder)["POMONA_TRACKING"]
    asked = {"name": whole.lake.name, "tracking": tracking, "listing": listing, "warm": warm, "batch": _BATCH}
    rounds = in_turn(
        _TIMES,
        lambda: plain("answer", {**orders.answer(listing), "warm": warm}).found,
        # As the service starts: nobody limits the threads of its BLAS.
        lambda: own_process("bench.served", asked, threads=0).found,
    )
    yield from rows([(theirs, ours) for theirs, ours in rounds])


def rows(rounds: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Iterator[Row]:
    """The rows of what loop and service found, round by round."""
    n = len(rounds[0][1]["answers"])
    theirs, ours = ([1000 * found[side]["answer_cpu_s"] / n for found in rounds] for side in (0, 1))
    unlike = sum(a != b for loop, served in rounds for a, b in zip(served["answers"], loop["answers"], strict=True))
    ratio = median(served / loop for loop, served in zip(theirs, ours, strict=True))
    alone = median(1000 * served["chain_cpu_s"] / n for _, served in rounds)
    note = (
        f"{median(ours):.2f} against {median(theirs):.2f} ms of CPU, {n:,} test images, {len(rounds)} times in turn; in the "
        f"process itself {alone:.2f}" + (f"; NOT THE SAME WORK: {unlike} other labels" if unlike else "")
    )
    yield Row(
        "one image through the service's model, against the plain chain", f"{ratio:.2f} ×", f"≤ {_GOAL} × its CPU", ratio <= _GOAL, note
    )
    each, plain_each = (1000 * np.concatenate([found[side]["seconds_each"] for found in rounds]) for side in (1, 0))
    slow = float(np.percentile(each, 99))
    note = f"median {np.median(each):.1f} ms; the plain chain's {np.percentile(plain_each, 99):.1f} ms"
    yield Row("the same, 99th percentile", f"{slow:.1f} ms", f"≤ {_GOAL_P99_MS} ms", slow <= _GOAL_P99_MS, note)
    speed = median(n / served["batch_cpu_s"] for _, served in rounds)
    extract = 1000 * median(loop["detector_cpu_s"] for loop, _ in rounds) / n
    note = (
        f"batches of {_BATCH}, counted in CPU seconds; the plain chain {1000 / median(theirs):.0f}, of which OpenCV's SIFT alone takes "
        f"{extract:.2f} ms an image: {1000 / extract:.0f} images/s would be all that it allows"
    )
    yield Row("the same, in batches", f"{speed:.0f} images/s/core", f"≥ {_GOAL_EACH_S}", speed >= _GOAL_EACH_S, note)
