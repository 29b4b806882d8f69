"""Answering one picture after the other: decode, describe, bag of words, projection, softmax.

Order: `listing`, a file with a path a line; `words`, an .npy file; `encoder`, an .npz file with mean and components; `model`, an .npz file
with classes, weights0, bias0; `warm`, how many pictures go before and are not timed; and what `describe` and `encode` are ordered. Found:
`answers`, their `seconds_each`, `answer_cpu_s` of all, and `detector_cpu_s` of SIFT alone on the same.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.plain.clock import Order, clocked
from bench.plain.describe import described, opened, sift
from bench.plain.encode import bag


def answer(order: Order) -> Order:
    chain = Chain(order)
    pictures = [np.fromfile(path, np.uint8) for path in Path(order["listing"]).read_text().splitlines()]
    for data in pictures[: order["warm"]]:
        chain.answer(opened(data, order["side_px"]))
    answers, seconds, cpu = [], [], time.process_time()
    for data in pictures[order["warm"] :]:
        started = time.perf_counter()
        answers.append(chain.answer(opened(data, order["side_px"])))
        seconds.append(time.perf_counter() - started)
    answer_cpu_s = time.process_time() - cpu
    grey = [cv2.cvtColor(opened(data, order["side_px"]), cv2.COLOR_BGR2GRAY) for data in pictures[order["warm"] :]]
    cpu, detector = time.process_time(), sift(order)
    for image in grey:
        detector.detectAndCompute(image, None)
    detector_cpu_s = time.process_time() - cpu
    return {"answers": answers, "seconds_each": seconds, "answer_cpu_s": answer_cpu_s, "detector_cpu_s": detector_cpu_s}


class Chain:
    """What a fitted chain is: a detector and four matrices."""

    def __init__(self, order: Order) -> None:
        encoder, model = np.load(order["encoder"]), np.load(order["model"])
        self._order, self._sift, self._words = order, sift(order), np.load(order["words"])
        self._mean, self._axes = encoder["mean"], encoder["components"]
        self._classes, self._weights, self._bias = model["classes"], model["weights0"], model["bias0"]

    def answer(self, image: Any) -> str:
        """The label of a picture (h, w, 3) BGR."""
        matrix, histogram = described(image, self._sift, self._order)
        features = self._axes @ (bag(matrix, histogram, self._words, self._order) - self._mean)
        logits = features @ self._weights + self._bias
        shares = np.exp(logits - logits.max())
        return str(self._classes[int((shares / shares.sum()).argmax())])


if __name__ == "__main__":
    cv2.setNumThreads(1)
    clocked(answer)
