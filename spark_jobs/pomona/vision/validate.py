"""Grouped cross-validation of the whole chain: vocabulary, projection and classifier fitted anew inside each fold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.vision.chain import Row, fit_chain
from pomona.vision.classify import OneClass
from pomona.vision.describe import Description
from pomona.vision.unknown import N_SIGNS
from pomona.vision.words import TooFewDescriptors, vocabulary_size

# A vocabulary of a fold is fitted on fewer descriptors and iterations than the final one: the score does not move, and five of them cost
# seconds.
_MAX_SAMPLE = 32_000
_MAX_ITERATIONS = 8


class Validation(NamedTuple):
    """What the chain said of images that it was not fitted on.

    Attributes
    ----------
    predictions : one for each row, in the rows' order
        A label, or None for an image that no fold held out.
    n_folds : int
        Folds really fitted; 0 when the data allow none.
    why : str
        What limits the validation, in a line; empty when nothing does.
    also : one for each further sequence of descriptions that was asked about, like `predictions`
    signs : (n_rows, 3) float64
        That a picture is unknown (`unknown.signs`), by the same chains; NaN where no fold held the image out. No rows where n_folds is 0.
    """

    predictions: tuple[str | None, ...]
    n_folds: int
    why: str
    also: tuple[tuple[str | None, ...], ...] = ()
    signs: NDArray[np.float64] = np.empty((0, N_SIGNS))


def cross_validate(rows: Sequence[Row], knobs: Mapping[str, Any], *, also: Sequence[Sequence[Description]] = ()) -> Validation:
    """Predictions for the rows, each from a chain fitted without the row's group; copies teach, and are not asked about.

    Each sequence of `also` describes the rows' images once more, spoiled or turned: the same chains are asked about these too.

    A class with one group is never held out, since nothing of it would be left to learn from: its rows stay in training and have no
    prediction.
    """
    table = list(rows)
    none: tuple[str | None, ...] = (None,) * len(table)
    folds, why = folds_of([(row.label, row.group) for row in table], int(knobs["folds"]))
    n_folds = len(set(folds) - {None})
    if n_folds < 2:
        return Validation(none, 0, why)
    asked = [[row.description for row in table], *also]
    predictions = [list(none) for _ in asked]
    signs = np.full((len(table), N_SIGNS), np.nan)
    lighter = lighter_knobs(knobs, n_words=vocabulary_size(knobs, len({row.label for row in table})))
    for fold in range(n_folds):
        try:
            chain = fit_chain((row for row, own in zip(table, folds, strict=True) if own != fold), lighter)
        except (TooFewDescriptors, OneClass) as error:
            return Validation(none, 0, f"without fold {fold + 1} of {n_folds}: {error}")
        for index in (index for index, own in enumerate(folds) if own == fold):
            judged = [chain.judged(descriptions[index]) for descriptions in asked]
            signs[index] = judged[0][1]
            for (answer, _), said in zip(judged, predictions, strict=True):
                said[index] = chain.classifier.classes[int(answer.argmax())]
    first, *further = map(tuple, predictions)
    return Validation(first, n_folds, why, tuple(further), signs)


def folds_of(keys: Sequence[tuple[str, str]], n_folds: int) -> tuple[list[int | None], str]:
    """The fold of each (label, group) key, 0 to n - 1, or None for one that is never held out; and what limits the folds, in a line.

    Rows of one group share a fold. Greedy, the largest group first, into the fold that has fewest of its class, then fewest of all: a
    class with two groups or more is spread over two folds or more, so that some of it is always left to learn from.
    """
    sizes = Counter(keys)
    groups_of: dict[str, list[str]] = defaultdict(list)
    for label, group in sorted(sizes, key=lambda key: (-sizes[key], key)):
        groups_of[label].append(group)
    alone = sorted(label for label, groups in groups_of.items() if len(groups) == 1)
    n_usable = min(n_folds, max((len(groups) for groups in groups_of.values()), default=0))
    if n_usable < 2:
        return [None] * len(
            keys
        ), "folds=0" if n_folds == 0 else f"folds={n_folds}: too few" if n_folds == 1 else "every class has one group only"
    fold_of: dict[tuple[str, str], int] = {}
    all_rows = np.zeros(n_usable, dtype=np.int64)
    for label in sorted(set(groups_of) - set(alone)):
        class_rows = np.zeros(n_usable, dtype=np.int64)
        for group in groups_of[label]:
            fold = int(np.lexsort((all_rows, class_rows))[0])
            fold_of[label, group] = fold
            class_rows[fold] += sizes[label, group]
            all_rows[fold] += sizes[label, group]
    why = f"never held out, having one group only: {', '.join(alone)}" if alone else ""
    return [fold_of.get(key) for key in keys], why


def lighter_knobs(knobs: Mapping[str, Any], *, n_words: int) -> dict[str, Any]:
    """The knobs of a fold's chain, whose vocabulary is fitted on less."""
    return {
        **knobs,
        "descriptors_per_word": min(int(knobs["descriptors_per_word"]), max(1, _MAX_SAMPLE // n_words)),
        "kmeans_iterations": min(int(knobs["kmeans_iterations"]), _MAX_ITERATIONS),
    }
