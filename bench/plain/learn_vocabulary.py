"""Learning words: a seeded sample of the descriptors read from Parquet, RootSIFT with colour, faiss's K-Means.

Order: `descriptors`, Parquet files with content and descriptors; `train`, a Parquet file with the contents to learn from; `share` of their
descriptors that is drawn; `n_words`, `iterations`, `seed`, `colour_weight`; `target`, an .npy file. Found: `sampled`, `words`, `inertia`.
"""

from __future__ import annotations

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.plain.clock import Order, clocked

N_DIMS, N_LOCAL = 131, 128


def learn_vocabulary(order: Order) -> Order:
    random = np.random.default_rng(order["seed"])
    wanted = pq.read_table(order["train"])["content"].combine_chunks()
    sample = np.concatenate([drawn(path, wanted, order["share"], random) for path in order["descriptors"]])
    points = rooted(sample, order["colour_weight"])
    words = k_means(points, order["n_words"], order["iterations"], order["seed"])
    distances, _ = faiss.knn(points, words, 1)
    np.save(order["target"], words)
    return {"sampled": len(points), "words": len(words), "inertia": float(distances.sum(dtype=np.float64))}


def drawn(path: str, wanted: pa.Array, share: float, random: np.random.Generator) -> np.ndarray:
    """The file's descriptors of wanted contents, (n, 131) uint8, about `share` of them."""
    table = pq.read_table(path, columns=["content", "copy", "descriptors"], use_threads=False)
    table = table.filter(pc.and_(pc.is_in(table["content"], wanted), pc.equal(table["copy"], 0)))
    found = [np.frombuffer(buffer, np.uint8).reshape(-1, N_DIMS) for buffer in table["descriptors"].to_pylist()]
    matrix = np.concatenate([np.empty((0, N_DIMS), np.uint8), *found])
    return matrix if share >= 1 else matrix[random.random(len(matrix)) < share]


def rooted(descriptors: np.ndarray, colour_weight: float) -> np.ndarray:
    """RootSIFT with weighted Lab beside it, (n, 131) float32."""
    local = descriptors[:, :N_LOCAL].astype(np.float32)
    local /= np.maximum(local.sum(axis=1, keepdims=True), 1)
    return np.hstack([np.sqrt(local, out=local), descriptors[:, N_LOCAL:] * np.float32(colour_weight / 255)])


def k_means(points: np.ndarray, n_words: int, iterations: int, seed: int) -> np.ndarray:
    bounds = {"max_points_per_centroid": len(points), "min_points_per_centroid": 1}
    found = faiss.Kmeans(points.shape[1], n_words, niter=iterations, seed=seed, **bounds)
    found.train(points)
    return np.array(found.centroids)


if __name__ == "__main__":
    faiss.omp_set_num_threads(1)
    clocked(learn_vocabulary)
