"""Features become probabilities: a classifier fitted by scikit-learn, kept as plain layers, answered by NumPy alone."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classifier:
    """A stack of dense layers, the logistic function between them and softmax behind the last.

    Attributes
    ----------
    classes : the labels, sorted
    layers : (weights, bias) pairs
        float64, (n_in, n_out) and (n_out,); the last layer has one output for each class.
    """

    classes: tuple[str, ...]
    layers: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The same as named arrays: `classes`, `weights0`, `bias0`, `weights1`, …"""
        named: dict[str, NDArray[Any]] = {"classes": np.asarray(self.classes, dtype=np.str_)}
        for number, (weights, bias) in enumerate(self.layers):
            named |= {f"weights{number}": weights, f"bias{number}": bias}
        return named

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Classifier:
        """The classifier that `arrays()` took apart."""
        n_layers = sum(name.startswith("weights") for name in arrays)
        layers = tuple((np.asarray(arrays[f"weights{i}"]), np.asarray(arrays[f"bias{i}"])) for i in range(n_layers))
        return cls(tuple(str(label) for label in arrays["classes"]), layers)


class OneClass(ValueError):
    """All training images have the same label."""


def weights_of(
    labels: Sequence[str], groups: Sequence[str], balance: str, copies: Sequence[int] = (), copy_weight: float = 1.0
) -> NDArray[np.float64]:
    """The weight of each training image, (n,) float64; of an altered copy (`copies` other than 0) `copy_weight` times that of its image.

    `none`: 1 for every image. `class`: every class the same in sum, 1 on average. `group`: within a class every group the same in sum,
    then every class the same, and all together the number of groups: a group counts as one observation, however many frames its video
    has, so that `regularisation` means the same for videos and for single pictures. A group is known by its label and its name. Copies
    change none of these sums.
    """
    weights = np.where(np.asarray(copies) != 0, copy_weight, 1.0) if len(copies) else np.ones(len(labels))
    total = float(np.count_nonzero(np.asarray(copies) == 0)) if len(copies) else float(len(labels))
    if balance == "group":
        keys = list(zip(labels, groups, strict=True))
        weights, total = _evened(weights, keys), float(len(set(keys)))
    if balance != "none":
        weights = _evened(weights, list(labels))
    return np.asarray(weights * (total / weights.sum()))


def fit(
    features: NDArray[np.float64], labels: Sequence[str], groups: Sequence[str], copies: Sequence[int] = (), *, knobs: Mapping[str, Any]
) -> Classifier:
    """The classifier that the knobs ask for, fitted to (n, n_components) features; the same rows in the same order give the same bits.

    `logistic_regression`: multinomial, L2 with C = `regularisation`. `mlp`: the classic recipe's network [p, p, p, classes], logistic
    units, no penalty.

    Raises
    ------
    OneClass
        When there is nothing to tell apart.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    classes = sorted(set(labels))
    if len(classes) < 2:
        raise OneClass(
            f"all {len(labels)} training images have the label {classes[0]!r}: add images of a second one"
            if classes
            else "no training images"
        )
    weights = weights_of(labels, groups, str(knobs["balance"]), copies, float(knobs["copy_weight"]))
    model = _logistic_regression(knobs) if knobs["classifier"] == "logistic_regression" else _mlp(knobs, features.shape[1])
    # BLAS's rounding depends on its number of threads.
    with threadpool_limits(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(features, np.asarray(labels), sample_weight=weights)
    for warning in caught:
        _LOG.info("%s: %s", knobs["classifier"], str(warning.message).splitlines()[0])
    return Classifier(tuple(str(label) for label in model.classes_), _layers(model))


def probabilities(classifier: Classifier, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of each class, (n_classes,) float64, for one image's (n_components,) features."""
    *hidden, last = classifier.layers
    values = features
    for weights, bias in hidden:
        values = 0.5 * (1 + np.tanh(0.5 * (values @ weights + bias)))
    logits = values @ last[0] + last[1]
    exponentials = np.exp(logits - logits.max())
    return np.asarray(exponentials / exponentials.sum(), dtype=np.float64)


def _evened(weights: NDArray[np.float64], keys: Sequence[Any]) -> NDArray[np.float64]:
    """The weights scaled so that those of each key sum to 1."""
    sums: dict[Any, float] = {}
    for key, weight in zip(keys, weights, strict=True):
        sums[key] = sums.get(key, 0.0) + float(weight)
    return np.asarray(weights / np.array([sums[key] for key in keys]))


def _logistic_regression(knobs: Mapping[str, Any]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=float(knobs["regularisation"]), max_iter=int(knobs["max_iterations"]), solver="lbfgs")


def _mlp(knobs: Mapping[str, Any], n_features: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=(n_features, n_features),
        activation="logistic",
        solver="lbfgs",
        alpha=0.0,
        tol=1e-6,
        max_iter=int(knobs["max_iterations"]),
        random_state=int(knobs["seed"]),
    )


def _layers(model: Any) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
    """The layers of a fitted scikit-learn model; where two classes have one output, the first gets an output of constant 0."""
    network = hasattr(model, "coefs_")
    pairs = list(zip(model.coefs_, model.intercepts_, strict=True)) if network else [(model.coef_.T, model.intercept_)]
    weights, bias = pairs[-1]
    if len(bias) == 1:
        pairs[-1] = (np.hstack([np.zeros_like(weights), weights]), np.concatenate([[0.0], bias]))
    # C order: a matrix in the other order takes another BLAS routine, and rounds otherwise.
    return tuple((np.array(weights, dtype=np.float64, order="C"), np.array(bias, dtype=np.float64)) for weights, bias in pairs)
