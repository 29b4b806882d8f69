"""Describing large photographs: 200 drawn ones of 12 megapixels."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2

from bench.measure import MB, Row
from bench.stand import Stand
from demo.orchard import photograph
from pomona.lake import Lake

N_PHOTOGRAPHS = 200
GOAL_S, GOAL_MB = 60, 1024


def measure(at: Stand) -> Iterable[Row]:
    """Seconds of describe, and the memory of its largest worker."""
    landing = at.folder / "photographs"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        size = sum(pool.map(partial(_take, landing), range(N_PHOTOGRAPHS), chunksize=10)) / N_PHOTOGRAPHS
    at.set_up()
    ingest = at.stage("ingest", "photographs", landing, {})
    describe = at.stage("describe", "photographs", landing, {})
    counts = (Lake(str(at.lake), "photographs").outcome("bench", "describe") or {})["counts"]
    what = f"{N_PHOTOGRAPHS} photographs of 12 megapixels"
    each = f"{counts['keypoints'] / counts['images']:.0f} keypoints and {size / MB:.1f} MB each"
    note = f"{counts['described']:,} described, {each}; Spark's start included"
    yield Row(f"{what}: describe", f"{describe.seconds:.1f} s", f"≤ {GOAL_S} s", describe.seconds <= GOAL_S, note)
    worker = max(ingest.worker_bytes, describe.worker_bytes) / MB
    jvm = max(ingest.jvm_bytes, describe.jvm_bytes) / MB
    note = f"ingest {ingest.worker_bytes / MB:.0f} MB, describe {describe.worker_bytes / MB:.0f} MB; the JVM {jvm:.0f} MB"
    yield Row(f"{what}: largest worker", f"{worker:.0f} MB", f"≤ {GOAL_MB} MB", worker <= GOAL_MB, note)
    yield Row(f"{what}: ingest", f"{ingest.seconds:.1f} s", note="decodes each of them once")


def _take(landing: Path, number: int) -> int:
    """Draws one photograph and says how many bytes it has."""
    cv2.setNumThreads(1)
    side, label = "Test" if number % 5 == 4 else "Training", "north" if number % 2 else "south"
    path = landing / side / label / f"{number}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(".jpg", photograph(number), [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    path.write_bytes(data)
    return len(data)
