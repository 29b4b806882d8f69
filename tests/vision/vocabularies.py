"""Vocabularies written by hand, and learning with a few knobs."""

from __future__ import annotations

from typing import Any

import numpy as np

from pomona.vision.mixture import Mixture
from pomona.vision.words import Learned, Vocabulary, learn

Array = np.ndarray[Any, Any]


def plain(words: Array) -> Vocabulary:
    """These words (n_words, d), of unit variance and equal weight, over descriptors compared as they are."""
    n, d = words.shape
    spread = Mixture(words, np.ones((n, d), np.float32), np.full(n, 1 / n, np.float32))
    return Vocabulary(np.zeros(d, np.float32), np.empty((0, d), np.float32), spread)


def learnt(sample: Array, *, n_words: int, iterations: int = 5, seed: int = 0, em_steps: int = 0, local_components: int = 0) -> Learned:
    knobs = {"kmeans_iterations": iterations, "seed": seed, "em_steps": em_steps, "local_components": local_components}
    return learn(sample, knobs=knobs, n_words=n_words)
