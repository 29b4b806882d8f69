"""Describing pictures: SIFT with the colour at its keypoints, a histogram of colours, a perceptual hash, packed into Parquet parts.

Order: `listing`, a file with a path a line; `target`, a folder; `side_px`, `max_keypoints`, `contrast_threshold`, `edge_threshold`; `bins`
of hue, saturation and value. Found: `images`, `keypoints`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.plain.clock import MEGABYTE, Order, clocked

_PART_BYTES = 32 * MEGABYTE
_HASH_PX = 32


def describe(order: Order) -> Order:
    target = Path(order["target"])
    target.mkdir(parents=True)
    paths = Path(order["listing"]).read_text().splitlines()
    detector = sift(order)
    rows: list[dict[str, Any]] = []
    n_keypoints = size = part = 0
    for path in paths:
        image = opened(np.fromfile(path, np.uint8), order["side_px"])
        descriptors, histogram = described(image, detector, order)
        rows.append({"path": path, "descriptors": descriptors.tobytes(), "histogram": histogram.tobytes(), "print": hashed(image)})
        n_keypoints += len(descriptors)
        size += descriptors.nbytes
        if size >= _PART_BYTES:
            _write(rows, target / f"{part}.parquet")
            rows, size, part = [], 0, part + 1
    _write(rows, target / f"{part}.parquet")
    return {"images": len(paths), "keypoints": n_keypoints}


def sift(order: Order) -> Any:
    return cv2.SIFT.create(
        order["max_keypoints"], 3, order["contrast_threshold"], order["edge_threshold"], 1.6, cv2.CV_8U, False
    )  # by position: OpenCV takes the descriptors' type in no other way


def opened(data: Any, side_px: int) -> Any:
    """The picture of a file's bytes (n_bytes,) uint8, (h, w, 3) BGR, reduced to `side_px`."""
    image: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    factor = side_px / max(image.shape[:2])
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else image


def described(image: Any, detector: Any, order: Order) -> tuple[np.ndarray, np.ndarray]:
    """(n, 131) uint8 descriptors with Lab, and the histogram of colours, of a picture (h, w, 3) BGR."""
    keypoints, local = detector.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None)
    # All that tie with the last are found: a few too many.
    keypoints = keypoints[: order["max_keypoints"]]
    local = np.empty((0, 128), np.uint8) if local is None else local[: order["max_keypoints"]]
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
    places = np.rint(cv2.KeyPoint.convert(keypoints)).astype(int).reshape(-1, 2)
    colours = lab[places[:, 1].clip(0, lab.shape[0] - 1), places[:, 0].clip(0, lab.shape[1] - 1)]
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, order["bins"], [0, 180, 0, 256, 0, 256]).ravel()
    return np.hstack([local, colours]), counts / (image.shape[0] * image.shape[1])


def hashed(image: Any) -> int:
    """64 signs of low frequencies: 40 of the brightness, 12 of each difference of colours."""
    small = cv2.resize(image, (_HASH_PX, _HASH_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    blue, green, red = cv2.split(small)
    grey = 0.114 * blue + 0.587 * green + 0.299 * red
    planes = ((grey, 5, 8), (red - green, 3, 4), (blue - (red + green) / 2, 3, 4))
    bits = np.concatenate([cv2.dct(plane)[1 : rows + 1, 1 : columns + 1].ravel() > 0 for plane, rows, columns in planes])
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, compression="none", use_dictionary=False)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    clocked(describe)
