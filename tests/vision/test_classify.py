"""Our layers against scikit-learn's own probabilities, and weights counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from pomona.knobs import resolve
from pomona.vision.classify import Classifier, OneClass, fit, probabilities, weights_of

GENERATOR = np.random.default_rng(0)
FEATURES = GENERATOR.normal(size=(90, 5)) + np.repeat(np.eye(3, 5) * 1.5, 30, axis=0)
LABELS = {2: ["apple"] * 45 + ["plum"] * 45, 3: ["apple"] * 30 + ["fig"] * 30 + ["plum"] * 30}
GROUPS = [f"video {i % 4}" for i in range(90)]


def all_probabilities(classifier: Classifier) -> np.ndarray[Any, Any]:
    return np.array([probabilities(classifier, row) for row in FEATURES])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_regression_answers_as_scikit_learn_does(n_classes: int) -> None:
    knobs = resolve({"balance": "none", "regularisation": 0.7})
    classifier = fit(FEATURES, LABELS[n_classes], GROUPS, knobs=knobs)
    peer = LogisticRegression(C=0.7, max_iter=200).fit(FEATURES, LABELS[n_classes])
    assert classifier.classes == tuple(sorted(set(LABELS[n_classes])))
    assert np.abs(all_probabilities(classifier) - peer.predict_proba(FEATURES)).max() < 1e-9


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_classic_network_answers_as_scikit_learn_does(n_classes: int) -> None:
    knobs = resolve({"preset": "classic", "max_iterations": 25, "seed": 4})
    classifier = fit(FEATURES, LABELS[n_classes], GROUPS, knobs=knobs)
    peer = MLPClassifier((5, 5), activation="logistic", solver="lbfgs", alpha=0, tol=1e-6, max_iter=25, random_state=4)
    peer.fit(FEATURES, LABELS[n_classes])
    assert [weights.shape for weights, _ in classifier.layers] == [(5, 5), (5, 5), (5, n_classes)]
    assert np.abs(all_probabilities(classifier) - peer.predict_proba(FEATURES)).max() < 1e-9


def test_probabilities_are_those_of_softmax_by_hand() -> None:
    classifier = Classifier(("a", "b"), ((np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, np.log(3)])),))
    assert probabilities(classifier, np.array([0.0, 0.0])) == pytest.approx([0.25, 0.75])
    assert probabilities(classifier, np.array([5000.0, -5000.0])).tolist() == [1, 0]


def test_a_hidden_layer_is_the_logistic_function_by_hand() -> None:
    layers = ((np.array([[1.0]]), np.array([0.0])), (np.array([[0.0, np.log(9)]]), np.zeros(2)))
    # logistic(0) = 1/2, so the logits are 0 and log(9)/2 = log 3.
    assert probabilities(Classifier(("a", "b"), layers), np.array([0.0])) == pytest.approx([0.25, 0.75])


def test_fitting_twice_gives_the_same_bits() -> None:
    for preset in ("default", "classic"):
        knobs = resolve({"preset": preset, "max_iterations": 30})
        first, again = (fit(FEATURES, LABELS[3], GROUPS, knobs=knobs) for _ in range(2))
        assert all(first.arrays()[name].tobytes() == array.tobytes() for name, array in again.arrays().items())


def test_a_classifier_survives_being_taken_apart() -> None:
    classifier = fit(FEATURES, LABELS[3], GROUPS, knobs=resolve({"preset": "classic", "max_iterations": 5}))
    arrays = classifier.arrays()
    assert list(arrays) == ["classes", "weights0", "bias0", "weights1", "bias1", "weights2", "bias2"]
    rebuilt = Classifier.from_arrays(arrays)
    assert rebuilt.classes == classifier.classes
    assert all_probabilities(rebuilt).tobytes() == all_probabilities(classifier).tobytes()


def test_every_group_weighs_the_same_and_then_every_class() -> None:
    labels = ["apple"] * 4 + ["plum"] * 2
    groups = ["one", "one", "one", "two", "one", "one"]
    # Three groups: the classes sum to 1.5 each. Apples: a third of .75 for each of three frames, .75 for the lone one.
    assert weights_of(labels, groups, "group") == pytest.approx([0.25, 0.25, 0.25, 0.75, 0.75, 0.75])
    assert weights_of(labels, groups, "class") == pytest.approx([0.75] * 4 + [1.5] * 2)
    assert weights_of(labels, groups, "none") == pytest.approx([1] * 6)


def test_copies_weigh_their_share_of_their_image_and_change_no_sum() -> None:
    labels, copies = ["apple"] * 3 + ["plum"] * 3, [0, 1, -3, 0, 2, 0]
    groups = ["one", "one", "one", "one", "one", "two"]
    # Three images and three copies at a half: 4.5 in all, for 3 images.
    assert weights_of(labels, groups, "none", copies, 0.5) == pytest.approx(np.array([1, 0.5, 0.5, 1, 0.5, 1]) * 3 / 4.5)
    assert weights_of(labels, groups, "class", copies, 0.5) == pytest.approx([0.75, 0.375, 0.375, 0.6, 0.3, 0.6])
    # Three groups, as without the copies: half of plum's 1.5 for each of its two.
    assert weights_of(labels, groups, "group", copies, 0.5) == pytest.approx([0.75, 0.375, 0.375, 0.5, 0.25, 0.75])


def test_more_frames_of_a_group_change_nothing_when_groups_are_balanced() -> None:
    knobs = resolve({"regularisation": 1.0, "max_iterations": 1000})
    once = fit(FEATURES, LABELS[3], [str(i) for i in range(90)], knobs=knobs)
    ten = fit(np.repeat(FEATURES, 10, axis=0), np.repeat(LABELS[3], 10).tolist(), [str(i // 10) for i in range(900)], knobs=knobs)
    assert np.abs(all_probabilities(once) - all_probabilities(ten)).max() < 1e-3


def test_weights_reach_the_fit() -> None:
    lopsided = ["apple"] * 80 + ["plum"] * 10
    shares = [
        all_probabilities(fit(FEATURES * 0, lopsided, GROUPS, knobs=resolve({"balance": balance})))[0] for balance in ("none", "class")
    ]
    assert shares[0] == pytest.approx([8 / 9, 1 / 9], abs=1e-3)
    assert shares[1] == pytest.approx([1 / 2, 1 / 2], abs=1e-3)


def test_one_class_is_refused_with_the_remedy() -> None:
    with pytest.raises(OneClass, match="all 90 training images have the label 'apple': add images of a second one"):
        fit(FEATURES, ["apple"] * 90, GROUPS, knobs=resolve({}))


def test_no_images_are_refused() -> None:
    with pytest.raises(OneClass, match="no training images"):
        fit(np.empty((0, 5)), [], [], knobs=resolve({}))
