"""Labels of the training set that are probably wrong, by chains that saw neither the image nor its group (Northcutt et al., 2021)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pomona.vision.chain import Row
from pomona.vision.validate import Validation


class Suspect(NamedTuple):
    """A training image that is taken for another label than its own.

    `confident` says whether the other label is as probable as it is on average for images that bear it, which is what confident
    learning counts as an error.
    """

    content: str
    label: str
    group: str
    prediction: str
    label_probability: float
    prediction_probability: float
    confident: bool


class SuspectGroup(NamedTuple):
    """A group of which most images are taken for one other label: a folder wrongly named, or a fruit like none that was learnt."""

    label: str
    group: str
    prediction: str
    n_images: int
    n_predicted: int


def suspects(rows: Sequence[Row], found: Validation) -> list[Suspect]:
    """The held-out images that are taken for another label, those first whose own label is least probable.

    Of the orders that Northcutt et al. compare, this one (self-confidence) found flipped labels of photographs best; a margin between both
    probabilities lets images go first that are merely hard.

    Parameters
    ----------
    found : the cross-validation of these rows
    """
    if not found.n_folds:
        return []
    own, bounds = _own(rows, found), thresholds(rows, found)
    said = []
    for row, prediction, probabilities, probability in zip(rows, found.predictions, found.probabilities, own, strict=True):
        if prediction is None or prediction == row.label:
            continue
        beyond = np.where(probabilities >= bounds, probabilities, -1.0)
        confident = beyond.max() >= 0 and found.classes[int(beyond.argmax())] != row.label
        said.append(Suspect(row.content, row.label, row.group, prediction, float(probability), float(probabilities.max()), bool(confident)))
    return sorted(said, key=lambda suspect: (suspect.label_probability, suspect.content))


def suspect_groups(rows: Sequence[Row], found: Validation) -> list[SuspectGroup]:
    """The groups of two images or more of which over half are taken for the same other label, the largest share first."""
    predictions: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row, prediction in zip(rows, found.predictions, strict=True):
        if prediction is not None:
            predictions[row.label, row.group].append(prediction)
    groups = []
    for (label, group), said in predictions.items():
        prediction, n_predicted = min(Counter(said).items(), key=lambda counted: (-counted[1], counted[0]))
        if prediction != label and len(said) > 1 and 2 * n_predicted > len(said):
            groups.append(SuspectGroup(label, group, prediction, len(said), n_predicted))
    return sorted(groups, key=lambda found: (-found.n_predicted / found.n_images, -found.n_images, found.label, found.group))


def thresholds(rows: Sequence[Row], found: Validation) -> NDArray[np.float64]:
    """(n_classes,) float64: the mean probability of each class over the held-out images that bear it.

    A class that was never held out takes the mean of the others'.
    """
    own, labels = _own(rows, found), np.array([row.label for row in rows], dtype=object)
    means = np.array([_mean(own[labels == name]) for name in found.classes])
    return np.where(np.isnan(means), _mean(means), means)


def _own(rows: Sequence[Row], found: Validation) -> NDArray[np.float64]:
    """(n_rows,) float64: the probability of each row's own label, NaN where it was not held out."""
    column = {name: index for index, name in enumerate(found.classes)}
    return found.probabilities[np.arange(len(rows)), [column[row.label] for row in rows]]


def _mean(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")
