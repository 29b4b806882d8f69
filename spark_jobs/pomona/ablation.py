"""What each piece of a recipe adds: the grouped cross-validation without it, on the same images in the same folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pomona.scoring import difference_interval, interval, members_of
from pomona.vision.chain import Row
from pomona.vision.validate import Validation, cross_validate


class Piece(NamedTuple):
    """How a piece is left out, by knobs alone: the images are described once; and the knobs of the recipes that have it."""

    changes: Mapping[str, Any]
    of: Mapping[str, Any] = {}


PIECES: Mapping[str, Piece] = {
    "colour at the keypoints": Piece({"colour_weight": 0.0}),
    "colour histogram": Piece({"histogram_weight": 0.0}),
    "sharpness": Piece({"energy_weight": 0.0}, of={"extractor": "dense"}),
    "altered copies": Piece({"copies": 0}),
    "quarter turns": Piece({"turns": False}, of={"extractor": "dense"}),
    "spread of the words (bag of words instead of Fisher vector)": Piece({"encoding": "hellinger"}, of={"encoding": "fisher"}),
    "expectation-maximisation": Piece({"em_steps": 0}),
    "PCA of the descriptors": Piece({"local_components": 0}),
    "equal weight of groups": Piece({"balance": "none"}, of={"balance": "group"}),
}


def without(knobs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The knobs without each piece that they have, by its name."""
    given = dict(knobs)
    there = {name: piece for name, piece in PIECES.items() if given == {**given, **piece.of}}
    return {name: {**given, **piece.changes} for name, piece in there.items() if given != {**given, **piece.changes}}


def ablated(rows: Sequence[Row], knobs: Mapping[str, Any], whole: Validation) -> list[dict[str, Any]]:
    """One entry a piece that can be left out: `without`, the accuracy with its interval, and the `difference` to the whole recipe.

    Parameters
    ----------
    whole : the cross-validation of these rows with all pieces
    """
    found = {piece: cross_validate(rows, changed) for piece, changed in without(knobs).items()}
    bounds = {"resamples": int(knobs["resamples"]), "seed": int(knobs["seed"])}
    return [{"without": piece, **compared(rows, whole, changed, **bounds)} for piece, changed in found.items() if changed.n_folds]


def compared(rows: Sequence[Row], whole: Validation, changed: Validation, *, resamples: int, seed: int) -> dict[str, Any]:
    """`accuracy` and `interval` of the changed recipe, `difference` and `difference_interval` to the whole one; groups resampled."""
    labels, groups, old, new = compared_rows(rows, whole.predictions, changed.predictions)
    own = interval(labels, new, groups, statistic="accuracy", resamples=resamples, seed=seed)
    spread = difference_interval(old == labels, new == labels, *members_of(groups), resamples=resamples, seed=seed)
    return {
        "accuracy": float((new == labels).mean()),
        "interval": [own.low, own.high],
        "difference": float((new == labels).mean() - (old == labels).mean()),
        "difference_interval": [spread.low, spread.high],
    }


def compared_rows(rows: Sequence[Row], *predictions: Sequence[str | None]) -> list[np.ndarray]:
    """Labels, groups and each of the predictions, of the rows that were held out."""
    held = [index for index, said in enumerate(predictions[0]) if said is not None]
    columns = [[row.label for row in rows], [row.group for row in rows], *predictions]
    return [np.asarray([column[index] for index in held], dtype=object) for column in columns]
