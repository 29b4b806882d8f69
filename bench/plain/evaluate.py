"""Evaluating: predictions of the test rows, scores with intervals over groups, and a few pictures spoiled in nine ways.

Order: as `answer`, and `features`, Parquet files with label, split, group, features; `resamples`. The listing names the pictures to spoil.
Found: `test`, `accuracy`, `spoiled`, how many answers to spoiled pictures there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.plain.answer import Chain
from bench.plain.clock import Order, clocked
from bench.plain.describe import opened
from bench.plain.intervals import intervals


def evaluate(order: Order) -> Order:
    rows = pa.concat_tables(pq.read_table(path, use_threads=False) for path in order["features"]).to_pandas()
    rows = rows[rows["split"] == "test"]
    model = np.load(order["model"])
    logits = np.stack(rows["features"]) @ model["weights0"] + model["bias0"]
    predictions = model["classes"][logits.argmax(axis=1)].astype(object)
    found = intervals(rows["label"].to_numpy(), predictions, rows["group"].to_numpy(), order["resamples"])
    chain, random = Chain(order), np.random.default_rng(0)
    answers = [
        chain.answer(picture)
        for path in Path(order["listing"]).read_text().splitlines()
        for picture in spoiled(opened(np.fromfile(path, np.uint8), order["side_px"]), random)
    ]
    return {"test": len(rows), "accuracy": found["accuracy"], "spoiled": len(answers)}


def spoiled(image: Any, random: np.random.Generator) -> list[Any]:
    """The picture (h, w, 3) BGR as it is and in nine other ways."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 30, 1.0)
    compressed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    white = (np.abs(image.astype(int) - image[0, 0].astype(int)).max(axis=2) <= 18).astype(np.float32)
    behind = cv2.GaussianBlur(white, (0, 0), 0.7)[:, :, None]
    coarse = random.uniform(0, 255, (max(2, height // 12), max(2, width // 12), 3)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + random.normal(0, 12, image.shape)
    return [
        image,
        cv2.GaussianBlur(image, (0, 0), 2.0),
        *(_bytes(image * np.array(factors)) for factors in ((0.7, 0.7, 0.7), (1.3, 1.3, 1.3), (0.85, 1.0, 1.15))),
        cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=image[0, 0].tolist()),
        cv2.imdecode(compressed, cv2.IMREAD_COLOR),
        _bytes(image + random.normal(0, 10, image.shape)),
        _bytes(behind * 128 + (1 - behind) * image),
        _bytes(behind * texture + (1 - behind) * image),
    ]


def _bytes(values: np.ndarray) -> np.ndarray:
    spoiled: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return spoiled


if __name__ == "__main__":
    cv2.setNumThreads(1)
    clocked(evaluate)
