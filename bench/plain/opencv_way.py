"""Words by OpenCV's K-Means, bags by its brute-force matcher, components by its PCA: what OpenCV's own classes for bags of words do.

Order: what `encode` and `train` are ordered, and `iterations`. Found: `way_s`, its `parts`, and the `accuracy` that the same classifier has
on these features, which is not timed.
"""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq

from bench.plain.clock import Order, clocked
from bench.plain.encode import read
from bench.plain.learn_vocabulary import rooted
from bench.plain.train import classifier


def opencv_way(order: Order) -> Order:
    roster = pq.read_table(order["roster"], columns=["content", "label", "split", "group"]).to_pandas()
    moments = [time.perf_counter()]
    described = {content: (matrix, histogram) for path in order["descriptors"] for content, matrix, histogram, _ in read(path)}
    points = [rooted(described[content][0], order["colour_weight"]) for content in roster["content"]]
    is_train = (roster["split"] == "train").to_numpy()
    every = np.concatenate([each for each, train in zip(points, is_train, strict=True) if train])
    moments.append(time.perf_counter())
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, order["iterations"], 0.0)
    cv2.setRNGSeed(order["seed"])
    unlabelled: Any = None
    words = cv2.kmeans(every, order["n_words"], unlabelled, criteria, 1, cv2.KMEANS_PP_CENTERS)[2]
    moments.append(time.perf_counter())
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    bags = np.array([_bag(matcher, each, words) for each in points], np.float32)
    histograms = order["histogram_weight"] * np.sqrt([described[content][1] for content in roster["content"]])
    vectors = np.hstack([np.sqrt(bags), histograms]).astype(np.float32)
    moments.append(time.perf_counter())
    mean, axes = cv2.PCACompute(vectors[is_train], np.empty((0, 0), np.float32), maxComponents=order["n_components"])[:2]
    features = cv2.PCAProject(vectors, mean, axes).astype(np.float64)
    moments.append(time.perf_counter())
    model = classifier(features[is_train], roster[is_train], order)
    right = model.predict(features[~is_train]) == roster["label"].to_numpy()[~is_train]
    parts = dict(zip(("reading", "kmeans", "words of images", "PCA"), np.diff(moments).tolist(), strict=True))
    return {"way_s": moments[-1] - moments[0], "parts": parts, "accuracy": float(right.mean())}


def _bag(matcher: Any, points: np.ndarray, words: np.ndarray) -> np.ndarray:
    """How often each word is nearest, as shares, as cv2.BOWImgDescriptorExtractor gives them."""
    nearest = [match.trainIdx for match in matcher.match(points, words)] if len(points) else []
    return np.bincount(np.array(nearest, int), minlength=len(words)) / max(1, len(points))


if __name__ == "__main__":
    clocked(opencv_way)
