"""Lloyd's K-Means (1982) on all cores of a process: the same bits for any number of them, since each block is worked out by one thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_BLOCK = 8192
_MANY = 100_000
_EVERY = 3


class Clusters(NamedTuple):
    """Centres (n_clusters, d) float32; the nearest centre of each point, (n,) int64; the sum of squared distances to these."""

    centres: Floats
    nearest: NDArray[np.int64]
    inertia: float


def clustered(points: Floats, n_clusters: int, *, iterations: int, seed: int) -> Clusters:
    """Clusters of (n, d) points, n not less than `n_clusters`, from random rows on.

    A cluster that no point took begins anew at one of the points that are farthest from theirs. Of more than 100,000 points every third is
    enough to begin with (Newling & Fleuret 2016): half of the iterations go over these, and a tenth of their number more than the other
    half over all. 150,000 descriptors and 500 words then take a quarter less time, for an inertia that is .06 % higher.
    """
    import faiss

    order = np.empty(len(points), np.int32)
    # The rows that faiss's own K-Means would begin with.
    faiss.rand_perm(faiss.swig_ptr(order), len(order), seed + 1)  # type: ignore[attr-defined]
    centres = np.ascontiguousarray(points[order[:n_clusters]])
    with ThreadPoolExecutor(n_cores(), initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        if len(points) > _MANY:
            some = np.ascontiguousarray(points[::_EVERY])
            centres = _improved(some, centres, iterations=iterations // 2, pool=pool)
            iterations += iterations // 10 - iterations // 2
        centres = _improved(points, centres, iterations=iterations, pool=pool)
        squares, nearest = zip(*pool.map(lambda block: _nearest(block, centres), _blocks(points)), strict=True)
    return Clusters(centres, np.concatenate(nearest), float(sum(each.sum(dtype=np.float64) for each in squares)))


def _improved(points: Floats, centres: Floats, *, iterations: int, pool: ThreadPoolExecutor) -> Floats:
    """The centres after so many of Lloyd's iterations over the points."""
    blocks = _blocks(points)
    for _ in range(iterations):
        counts, sums, distances = np.zeros(len(centres)), np.zeros(centres.shape), []
        # In the order of the blocks, whichever is done first.
        for count, total, each in pool.map(_gathered(centres), blocks):
            counts += count
            sums += total
            distances.append(each)
        empty = np.flatnonzero(counts == 0)
        centres = np.ascontiguousarray(sums / np.maximum(counts, 1)[:, None], dtype=np.float32)
        centres[empty] = points[np.argsort(-np.concatenate(distances), kind="stable")[: len(empty)]]
    return centres


def _blocks(points: Floats) -> list[Floats]:
    return [points[start : start + _BLOCK] for start in range(0, len(points), _BLOCK)]


def n_cores() -> int:
    """Of this machine, those that the process may use."""
    return len(os.sched_getaffinity(0))


def _gathered(centres: Floats) -> Callable[[Floats], tuple[NDArray[np.int64], Floats, Floats]]:
    """For a block of points: how many took each centre, their sums, and each one's squared distance."""
    from scipy.sparse import csr_array

    def gather(block: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
        squares, nearest = _nearest(block, centres)
        taken = csr_array((np.ones(len(block), np.float32), (nearest, np.arange(len(block)))), shape=(len(centres), len(block)))
        return np.bincount(nearest, minlength=len(centres)), taken @ block, squares

    return gather


def _nearest(block: Floats, centres: Floats) -> tuple[Floats, NDArray[np.int64]]:
    import faiss

    squares, nearest = faiss.knn(block, centres, 1)
    return squares[:, 0], nearest[:, 0]
