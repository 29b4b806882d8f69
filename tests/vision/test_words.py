"""Preparation, sampling, K-Means and assignment against theory and hand-made points."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest

from pomona.knobs import resolve
from pomona.vision import dense
from pomona.vision.words import Preparation, TooFewDescriptors, draw, prepare, vocabulary_size
from tests.vision.vocabularies import learnt, plain

SIFT = Preparation("sift", root=True, colour_weight=0.5)
GENERATOR = np.random.default_rng(0)
RAW = GENERATOR.integers(0, 256, (50, 131), dtype=np.uint8)


def clouds(n_each: int, *, n_clouds: int) -> np.ndarray[Any, Any]:
    """(n_clouds * n_each, 6) float32: tight clouds around the corners 10 · e_i."""
    corners = np.repeat(10 * np.eye(n_clouds, 6), n_each, axis=0)
    return np.random.default_rng(0).normal(corners, 0.1).astype(np.float32)


def test_a_root_descriptor_has_unit_length_and_its_dot_products_are_hellinger_s() -> None:
    prepared = prepare(RAW, Preparation("sift", root=True, colour_weight=0))
    shares = RAW[:, :128] / RAW[:, :128].sum(axis=1, keepdims=True, dtype=np.float64)
    assert prepared.dtype == np.float32
    assert np.allclose(prepared @ prepared.T, np.sqrt(shares[:, None] * shares[None]).sum(axis=2), atol=1e-5)


def test_an_empty_sift_descriptor_stays_zero() -> None:
    assert not prepare(np.zeros((1, 131), np.uint8), SIFT).any()


def test_without_root_sift_stays_as_it_is() -> None:
    assert np.array_equal(prepare(RAW, Preparation("sift", root=False, colour_weight=0)), RAW[:, :128])


@pytest.mark.parametrize(("root", "length"), [(True, 1), (False, 512)])
def test_colour_is_scaled_to_the_descriptor_s_length_and_its_weight(root: bool, length: float) -> None:
    prepared = prepare(RAW, Preparation("sift", root=root, colour_weight=0.5))
    assert prepared.shape == (50, 131)
    assert np.allclose(prepared[:, 128:], RAW[:, 128:] / 255 * 0.5 * length, rtol=1e-6)


def test_euclid_on_orb_bits_is_hamming_s_distance() -> None:
    orb = GENERATOR.integers(0, 256, (20, 35), dtype=np.uint8)
    points = prepare(orb, Preparation("orb", root=True, colour_weight=0))
    hamming = [[sum(int(a ^ b).bit_count() for a, b in zip(x[:32].tolist(), y[:32].tolist(), strict=True)) for y in orb] for x in orb]
    assert np.array_equal(((points[:, None] - points[None]) ** 2).sum(axis=2), hamming)


@pytest.mark.parametrize(("extractor", "stored", "d"), [("sift", 131, 131), ("orb", 35, 259)])
def test_no_descriptors_prepare_to_no_points(extractor: str, stored: int, d: int) -> None:
    prepared = prepare(np.empty((0, stored), np.uint8), Preparation(extractor, root=True, colour_weight=1))
    assert prepared.shape == (0, d)
    assert plain(np.ones((3, d), np.float32)).nearest(prepared).shape == (0,)


def test_a_draw_depends_on_content_seed_and_share_alone() -> None:
    first = draw("a" * 64, RAW, share=0.4, seed=1)
    draw("b" * 64, RAW, share=0.4, seed=1)
    assert np.array_equal(first, draw("a" * 64, RAW, share=0.4, seed=1))
    assert not np.array_equal(first, draw("b" * 64, RAW, share=0.4, seed=1))
    assert not np.array_equal(first, draw("a" * 64, RAW, share=0.4, seed=2))


def test_draws_hold_about_their_share_and_all_of_it_from_one_on() -> None:
    drawn = sum(len(draw(f"{number:064x}", RAW, share=0.3, seed=0)) for number in range(400))
    # A binomial of 20,000 trials: four standard deviations are 260.
    assert drawn == pytest.approx(0.3 * 400 * len(RAW), abs=260)
    assert np.array_equal(draw("a", RAW, share=1.0, seed=0), RAW)
    assert np.array_equal(draw("a", RAW, share=7.0, seed=0), RAW)


def test_words_settle_in_the_middle_of_clouds() -> None:
    sample = clouds(50, n_clouds=2)
    learned = learnt(sample, n_words=2, iterations=20, seed=0)
    middles = sample.reshape(2, 50, 6).mean(axis=1)
    assert np.allclose(learned.vocabulary.words[plain(learned.vocabulary.words).nearest(middles)], middles, atol=1e-5)
    assert learned.inertia == pytest.approx(((sample - np.repeat(middles, 50, axis=0)) ** 2).sum(), rel=1e-3)
    assert (learned.n_empty, learned.n_duplicate) == (0, 0)


def test_learning_twice_gives_the_same_bits() -> None:
    sample = np.random.default_rng(5).random((3000, 131), dtype=np.float32)
    first, again = (learnt(sample, n_words=61, iterations=6, seed=3) for _ in range(2))
    assert first.vocabulary.words.tobytes() == again.vocabulary.words.tobytes()
    assert first.vocabulary.words.tobytes() != learnt(sample, n_words=61, iterations=6, seed=4).vocabulary.words.tobytes()


def test_the_number_of_threads_does_not_change_the_words() -> None:
    sample = np.random.default_rng(5).random((9_001, 131), dtype=np.float32)
    before = faiss.omp_get_max_threads()
    try:
        found = []
        for threads in (1, 3, 7):
            faiss.omp_set_num_threads(threads)
            found.append(learnt(sample, n_words=203, iterations=3, seed=0).vocabulary.words.tobytes())
    finally:
        faiss.omp_set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_equal_descriptors_give_duplicate_and_empty_words_which_are_counted() -> None:
    learned = learnt(np.ones((40, 8), np.float32), n_words=3, iterations=5, seed=0)
    assert learned.inertia == pytest.approx(0, abs=1e-4)
    assert learned.n_empty == 2
    assert learned.vocabulary.words.shape == (3, 8)


def test_the_weights_of_dense_descriptors_are_those_of_the_knobs() -> None:
    preparation = Preparation.of(resolve({"colour_weight": 0.7, "energy_weight": 0.4}))
    assert preparation == Preparation("dense", root=True, colour_weight=0.7, energy_weight=0.4)
    stored = GENERATOR.integers(0, 256, (5, dense.N_DIMS), dtype=np.uint8)
    assert np.array_equal(prepare(stored, preparation), dense.weighted(stored, colour=0.7, energy=0.4))


def test_as_many_words_as_descriptors_are_the_descriptors() -> None:
    twice = learnt(clouds(1, n_clouds=4)[[0, 1, 2, 3, 1]], n_words=5, iterations=5, seed=0)
    assert (twice.n_duplicate, twice.n_empty) == (1, 1)
    sample = clouds(1, n_clouds=4)
    assert np.array_equal(np.sort(learnt(sample, n_words=4, iterations=5, seed=0).vocabulary.words, axis=0), np.sort(sample, axis=0))


def test_more_words_than_descriptors_name_both_and_the_remedy() -> None:
    with pytest.raises(TooFewDescriptors, match="n_words=5 but only 4 descriptors were sampled: add images or lower n_words"):
        learnt(clouds(1, n_clouds=4), n_words=5, iterations=1, seed=0)


def test_the_nearest_word_is_the_nearest_by_brute_force() -> None:
    generator = np.random.default_rng(2)
    points, words = generator.random((200, 131), dtype=np.float32), generator.random((40, 131), dtype=np.float32)
    distances = ((points[:, None].astype(np.float64) - words[None]) ** 2).sum(axis=2)
    assert np.array_equal(plain(words).nearest(points), distances.argmin(axis=1))


def test_of_equal_words_the_first_is_taken() -> None:
    words = np.ones((3, 4), np.float32)
    assert plain(words).nearest(np.ones((5, 4), np.float32)).tolist() == [0] * 5


def test_no_number_of_words_means_ten_for_each_class() -> None:
    assert vocabulary_size({"n_words": 0}, 3) == 30
    assert vocabulary_size({"n_words": 77}, 3) == 77


def test_local_axes_are_those_along_which_the_sample_varies_most() -> None:
    generator = np.random.default_rng(5)
    sample = (generator.normal(size=(500, 4)) * [1, 5, 0.01, 3] + [0, 7, 0, 0]).astype(np.float32)
    vocabulary = learnt(sample, n_words=3, local_components=2).vocabulary
    assert np.allclose(np.abs(vocabulary.axes), [[0, 1, 0, 0], [0, 0, 0, 1]], atol=0.1)
    points = vocabulary.points(sample)
    assert points.mean(axis=0) == pytest.approx([0, 0], abs=1e-4)
    assert vocabulary.words.shape == (3, 2)


def test_a_vocabulary_comes_back_from_its_arrays() -> None:
    vocabulary = learnt(clouds(20, n_clouds=4), n_words=4, local_components=3).vocabulary
    again = type(vocabulary).from_arrays(vocabulary.arrays())
    assert {name: array.tobytes() for name, array in again.arrays().items()} == {
        name: array.tobytes() for name, array in vocabulary.arrays().items()
    }
