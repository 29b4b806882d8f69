"""Encoding images: nearest words, Hellinger bags beside the histogram, PCA fitted on a sample, near copies; Parquet and CSV out.

Order: `descriptors`, Parquet files; `roster`, a Parquet file with content, path, label, split, group; `words`, an .npy file;
`n_components`, `projection_images`, `seed`, `colour_weight`, `histogram_weight`, `near_distance`; `target`, a folder. Found: `images`,
`components`, `near`, the test images that have a near copy in train.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from bench.plain.clock import Order, clocked
from bench.plain.learn_vocabulary import N_DIMS, rooted

_BLOCK = 256


def encode(order: Order) -> Order:
    target = Path(order["target"])
    target.mkdir(parents=True)
    words = np.load(order["words"])
    roster = pq.read_table(order["roster"], columns=["content", "path", "label", "split", "group"]).to_pandas()
    bags, prints = {}, {}
    for path in order["descriptors"]:
        for content, matrix, histogram, print_ in read(path):
            bags[content] = bag(matrix, histogram, words, order)
            prints[content] = print_
    vectors = np.array([bags[content] for content in roster["content"]])
    is_train = (roster["split"] == "train").to_numpy()
    mean, axes = principal(vectors[is_train], order)
    features = (vectors - mean) @ axes.T
    listed = roster.assign(features=list(features))
    pq.write_table(pa.Table.from_pandas(listed, preserve_index=False), target / "features.parquet")
    names = [f"f{number}" for number in range(len(axes))]
    columns = pa.Table.from_pandas(roster.drop(columns="content"), preserve_index=False)
    for name, column in zip(names, features.T, strict=True):
        columns = columns.append_column(name, pa.array(column))
    csv.write_csv(columns, target / "features.csv")
    np.savez(target / "encoder.npz", mean=mean, components=axes)
    each = np.array([prints[content] for content in roster["content"]], np.int64).view(np.uint64)
    near = near_copies(each[~is_train], each[is_train], order["near_distance"])
    return {"images": len(roster), "components": len(axes), "near": near}


def read(path: str) -> Iterator[tuple[str, np.ndarray, np.ndarray, int]]:
    """(content, (n, 131) uint8, histogram, hash) of each image of the file."""
    table = pq.read_table(path, columns=["content", "copy", "descriptors", "histogram", "fingerprint"], use_threads=False)
    table = table.filter(pc.equal(table["copy"], 0))
    names = ("content", "descriptors", "histogram", "fingerprint")
    for content, packed, histogram, print_ in zip(*(table[name].to_pylist() for name in names), strict=True):
        yield content, np.frombuffer(packed, np.uint8).reshape(-1, N_DIMS), np.frombuffer(histogram, np.float32), print_


def bag(matrix: np.ndarray, histogram: np.ndarray, words: np.ndarray, order: Order) -> np.ndarray:
    """Roots of the shares of the words, and of the colours by their weight."""
    points = rooted(matrix, order["colour_weight"])
    nearest = (np.square(words).sum(axis=1) - 2 * (points @ words.T)).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(words)) / max(len(points), 1)
    return np.concatenate([np.sqrt(shares), order["histogram_weight"] * np.sqrt(histogram.astype(np.float64))])


def principal(vectors: np.ndarray, order: Order) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the first principal axes of a sample of the vectors."""
    chosen = np.random.default_rng(order["seed"]).permutation(len(vectors))[: order["projection_images"]]
    sample = vectors[chosen]
    mean = sample.mean(axis=0)
    _, axes = np.linalg.eigh((sample - mean).T @ (sample - mean))
    return mean, np.ascontiguousarray(axes[:, ::-1][:, : order["n_components"]].T)


def near_copies(test: np.ndarray, train: np.ndarray, distance: int) -> int:
    """How many test hashes (uint64) have a training hash within so many bits: every pair is compared."""
    unique, near = np.unique(train), 0
    for start in range(0, len(test) if len(unique) else 0, _BLOCK):
        bits: Any = np.bitwise_count(test[start : start + _BLOCK, None] ^ unique[None, :])
        near += int((bits.min(axis=1) <= distance).sum())
    return near


if __name__ == "__main__":
    clocked(encode)
