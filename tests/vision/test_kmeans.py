"""K-Means on all cores: its centres, and that cores change no bit."""

from __future__ import annotations

import numpy as np
import pytest

from pomona.vision import kmeans
from pomona.vision.kmeans import clustered


def _heaps(n_each: int, spread: float = 0.01) -> np.ndarray:
    """Points about the corners of a square, in turn."""
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    noise = np.random.default_rng(0).normal(0, spread, (n_each * 4, 2))
    return (np.tile(corners, (n_each, 1)) + noise).astype(np.float32)


def test_each_heap_gets_its_centre() -> None:
    points = _heaps(200)
    # Seeds 2 and 5 begin with a row of each heap; others end with two centres in one, as K-Means does.
    found = clustered(points, 4, iterations=5, seed=2)
    assert sorted(map(tuple, found.centres.round(1).tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert np.abs(points - found.centres[found.nearest]).max() < 0.06
    assert found.inertia == pytest.approx(float(((points - found.centres[found.nearest]) ** 2).sum()), rel=1e-4)


def test_a_centre_is_the_mean_of_the_points_that_took_it() -> None:
    points = np.random.default_rng(1).random((30_000, 8), np.float32)
    found = clustered(points, 16, iterations=60, seed=0)
    means = np.array([points[found.nearest == cluster].mean(axis=0, dtype=np.float64) for cluster in range(16)])
    # The last step moved the centres a little, and the points were not asked again.
    assert np.abs(found.centres - means).max() < 0.01


def test_no_number_of_cores_changes_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(2).random((40_000, 24), np.float32)
    found = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(kmeans, "n_cores", lambda cores=cores: cores)
        clusters = clustered(points, 50, iterations=4, seed=7)
        found.append((clusters.centres.tobytes(), clusters.nearest.tobytes(), clusters.inertia))
    assert found[0] == found[1] == found[2]


def test_another_seed_begins_elsewhere() -> None:
    points = np.random.default_rng(2).random((1000, 4), np.float32)
    assert clustered(points, 9, iterations=1, seed=0).centres.tobytes() != clustered(points, 9, iterations=1, seed=1).centres.tobytes()


def test_a_cluster_without_points_begins_anew_at_the_point_farthest_from_its_own() -> None:
    # Equal rows: of centres that begin alike the first takes all, and the others would stay empty for ever.
    points = np.repeat(np.array([[0.0, 4.0], [8.0, 8.0], [8.5, 8.5]], np.float32), [1, 300, 300], axis=0)
    for seed in range(5):
        found = clustered(points, 3, iterations=4, seed=seed)
        assert (found.inertia, len(np.unique(found.nearest))) == (0, 3)


def test_every_row_may_be_a_centre() -> None:
    points = _heaps(1, spread=0)
    found = clustered(points, 4, iterations=3, seed=0)
    assert found.inertia == 0 and sorted(found.nearest.tolist()) == [0, 1, 2, 3]


def test_many_points_end_near_where_all_iterations_over_all_of_them_do(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    points = np.ascontiguousarray(random.normal(size=(3000, 6)) + 4 * random.integers(0, 3, (3000, 1)), dtype=np.float32)
    whole = clustered(points, 30, iterations=20, seed=0)
    monkeypatch.setattr(kmeans, "_MANY", 2999)
    halves = clustered(points, 30, iterations=20, seed=0)
    assert halves.centres.tobytes() != whole.centres.tobytes()
    assert halves.inertia < 1.01 * whole.inertia
    assert clustered(points, 30, iterations=0, seed=0).inertia > 1.1 * whole.inertia
