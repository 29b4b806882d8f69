"""How well a chain tells what it does not know: measured on classes that are left out of training, against groups that are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.vision.chain import Chain, Row, fit_chain
from pomona.vision.classify import OneClass
from pomona.vision.unknown import N_SIGNS, Rule, calibrated, separation
from pomona.vision.validate import folds_of, lighter_knobs
from pomona.vision.words import TooFewDescriptors, vocabulary_size

Signs = NDArray[np.float64]

GIVEN_AWAY = 0.05
"""Share of the pictures of known classes that may be marked unknown."""

# A class left out takes a third of the chains' time at most, and a class of thousands says no more than some hundreds of it.
_MAX_PARTS = 3
_MAX_OF_CLASS = 100


class Outsiders(NamedTuple):
    """The rule, and what it does.

    Attributes
    ----------
    rule : None when no picture was held out, as `why` says
    marked_known : share of the pictures of known classes, in groups never seen, that a rule marks which did not see them either
    marked_unknown : share of the pictures of classes left out of training that it marks
    separation : probability that of one of each the latter is the more novel; None, as `marked_unknown`, when no class can be left out
    n_known, n_unknown : pictures
    why : what limits the measurement, in a line; empty when nothing does
    """

    rule: Rule | None
    marked_known: float | None
    marked_unknown: float | None
    separation: float | None
    n_known: int
    n_unknown: int
    why: str


def outsiders(rows: Sequence[Row], knobs: Mapping[str, Any], signs: Signs) -> Outsiders:
    """The rule from the signs (n_rows, 3) of rows held out by groups, NaN where none was, and its error, measured on chains of their own.

    Signs of two chains cannot be compared: what one that lacks some classes says of them is held against what it says of known ones.
    """
    folds = folds_of([(row.label, row.group) for row in rows], int(knobs["folds"]))[0]
    own = np.array([-1 if fold is None else fold for fold in folds])
    is_known = ~np.isnan(signs).any(axis=1)
    if not is_known.any():
        return Outsiders(None, None, None, None, 0, 0, "no picture was held out of training")
    rule = calibrated(signs[is_known], given_away=GIVEN_AWAY)
    marked = _marked_known(signs[is_known], own[is_known])
    labels = sorted({row.label for row in rows})
    if len(labels) < 3:
        return Outsiders(rule, marked, None, None, int(is_known.sum()), 0, f"of {len(labels)} classes none can be left out")
    try:
        usual, strange = _left_out(rows, lighter_knobs(knobs, n_words=vocabulary_size(knobs, len(labels))), own)
    except (TooFewDescriptors, OneClass) as error:
        return Outsiders(rule, marked, None, None, int(is_known.sum()), 0, f"without some of the classes: {error}")
    if not len(strange):
        return Outsiders(rule, marked, None, None, int(is_known.sum()), 0, "no class can be left out beside a group")
    return Outsiders(rule, marked, float((strange > 1).mean()), separation(usual, strange), int(is_known.sum()), len(strange), "")


def _marked_known(signs: Signs, folds: NDArray[np.int64]) -> float:
    """The share of pictures that a rule marks which was calibrated on the other folds."""
    marks = [
        calibrated(signs[folds != fold], given_away=GIVEN_AWAY).novelties(signs[folds == fold]) > 1
        for fold in np.unique(folds)
        if (folds != fold).any()
    ]
    return float(np.concatenate(marks).mean())


def _left_out(rows: Sequence[Row], knobs: Mapping[str, Any], folds: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The novelties of pictures of known and of unknown classes: each class is left out once, with a fold of the others."""
    labels = sorted({row.label for row in rows})
    n_folds = int(folds.max()) + 1
    # Two parts of three classes would leave one alone, which nothing can be told from.
    n_parts = min(_MAX_PARTS, n_folds) if len(labels) > 3 else 3
    usual, strange = [np.empty(0)], [np.empty(0)]
    for part in range(n_parts):
        outside = set(labels[part::n_parts])
        inside = [(row, fold == part % n_folds) for row, fold in zip(rows, folds.tolist(), strict=True) if row.label not in outside]
        chain = fit_chain((row for row, held in inside if not held), knobs)
        known = _signs(chain, [row for row, held in inside if held])
        if not len(known):
            continue
        rule = calibrated(known, given_away=GIVEN_AWAY)
        usual.append(rule.novelties(known))
        of_classes = ([row for row in rows if row.label == label] for label in sorted(outside))
        strange += [rule.novelties(_signs(chain, some[:: max(1, len(some) // _MAX_OF_CLASS)])) for some in of_classes]
    return np.concatenate(usual), np.concatenate(strange)


def _signs(chain: Chain, rows: Sequence[Row]) -> Signs:
    return np.array([chain.judged(row.description)[1] for row in rows]).reshape(-1, N_SIGNS)
