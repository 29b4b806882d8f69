"""Taking files in: read, hash, check that they decode, pack into Parquet parts of 32 MB.

Order: `listing`, a file with a path a line; `target`, a folder. Found: `files`, `images`, those of different content.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.plain.clock import MEGABYTE, Order, clocked

_PART_BYTES = 32 * MEGABYTE


def ingest(order: Order) -> Order:
    target = Path(order["target"])
    target.mkdir(parents=True)
    paths = Path(order["listing"]).read_text().splitlines()
    seen: set[str] = set()
    rows: list[dict[str, Any]] = []
    size = part = 0
    for path in paths:
        data = Path(path).read_bytes()
        # At an eighth of its size: every coefficient is read, which is all that is to be known.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        content = hashlib.sha256(data).hexdigest()
        if image is None or content in seen:
            continue
        seen.add(content)
        rows.append({"content": content, "path": path, "image": data})
        size += len(data)
        if size >= _PART_BYTES:
            _write(rows, target / f"{part}.parquet")
            rows, size, part = [], 0, part + 1
    _write(rows, target / f"{part}.parquet")
    return {"files": len(paths), "images": len(seen)}


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, compression="none", use_dictionary=False)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    clocked(ingest)
