"""Scores and intervals over groups, against values worked out by hand or known from theory."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from pomona.scoring import Interval, _kinds, group_safe, interval, scores

# Four apples (one taken for a pear), two pears (one taken for an apple), a plum that nobody sees; the model also knows figs.
LABELS = ["apple"] * 4 + ["pear"] * 2 + ["plum"]
PREDICTIONS = ["apple"] * 3 + ["pear"] + ["pear", "apple"] + ["apple"]
CLASSES = ["apple", "fig", "pear", "plum"]


def test_scores_of_a_worked_example() -> None:
    found = scores(LABELS, PREDICTIONS, CLASSES)
    assert found["n_images"] == 7
    assert found["accuracy"] == pytest.approx(4 / 7)
    assert found["confusion"] == [[3, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]]
    assert found["row_percent"] == [[75, 0, 25, 0], [None] * 4, [50, 0, 50, 0], [100, 0, 0, 0]]
    # apple: precision 3/5, recall 3/4, F1 2/3; pear: 1/2, 1/2, 1/2; plum: 0. The fig has no test image and does not count.
    assert found["per_class"]["apple"] == pytest.approx({"precision": 0.6, "recall": 0.75, "f1": 2 / 3, "support": 4, "predicted": 5})
    assert found["per_class"]["pear"] == pytest.approx({"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2, "predicted": 2})
    assert found["per_class"]["plum"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1, "predicted": 0}
    assert found["per_class"]["fig"] == {"precision": 0.0, "recall": None, "f1": None, "support": 0, "predicted": 0}
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert (found["without_test"], found["unknown"]) == (["fig"], [])
    json.dumps(found, allow_nan=False)


def test_scores_agree_with_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    random = np.random.default_rng(1)
    classes = [f"c{i}" for i in range(12)]
    labels, predictions = random.choice(classes, 500), random.choice(classes, 500)
    found = scores(labels, predictions, classes)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predictions))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert found["confusion"] == confusion_matrix(labels, predictions, labels=classes).tolist()


def test_a_label_that_the_model_does_not_know_counts_as_wrong_and_is_named() -> None:
    found = scores(["apple", "durian"], ["apple", "apple"], ["apple"])
    assert (found["unknown"], found["classes"]) == (["durian"], ["apple", "durian"])
    assert (found["accuracy"], found["macro_f1"]) == pytest.approx((0.5, (2 / 3 + 0) / 2))


def test_without_test_images_there_is_no_score() -> None:
    found = scores([], [], CLASSES)
    assert (found["n_images"], found["accuracy"], found["macro_f1"], found["without_test"]) == (0, None, None, CLASSES)
    json.dumps(found, allow_nan=False)


def two_kinds_of_groups(n_groups: int, size: int = 10) -> tuple[list[str], list[str], list[str]]:
    """Labels, predictions and groups: every second group is all right, the others are all wrong."""
    groups = [f"g{i}" for i in range(n_groups) for _ in range(size)]
    predictions = ["a" if i % 2 else "b" for i in range(n_groups) for _ in range(size)]
    return ["a"] * len(groups), predictions, groups


def test_the_interval_is_as_wide_as_groups_make_it_not_images() -> None:
    labels, predictions, groups = two_kinds_of_groups(100)
    found = interval(labels, predictions, groups, statistic="accuracy", resamples=4000, seed=0)
    # Accuracy of a resample is binomial(100, ½) / 100: its 2.5 % and 97.5 % points are .40 and .60.
    assert (found.low, found.high) == pytest.approx((0.40, 0.60), abs=0.011)
    assert (found.n_images, found.n_groups, found.why) == (1000, 100, "")
    single = interval(labels, predictions, [str(i) for i in range(1000)], statistic="accuracy", resamples=4000, seed=0)
    # As 1,000 groups of one image: ½ ± 1.96 · √(¼ / 1000) = .469 to .531.
    assert (single.low, single.high) == pytest.approx((0.469, 0.531), abs=0.004)


def test_groups_with_equal_figures_are_drawn_as_often_as_there_are_of_them() -> None:
    predictions = ["a" if i % 5 == 0 else "b" for i in range(100)]
    found = interval(["a"] * 100, predictions, [str(i) for i in range(100)], statistic="accuracy", resamples=4000, seed=0)
    # binomial(100, 1/5) / 100: .12 or .13, and .28.
    assert (found.low, found.high) == pytest.approx((0.125, 0.28), abs=0.011)


def test_the_interval_of_macro_f1_agrees_with_resampling_the_images_of_whole_groups() -> None:
    random = np.random.default_rng(2)
    groups = np.repeat([f"g{i}" for i in range(12)], 20)
    labels = np.repeat(["a", "b", "c"] * 4, 20)
    predictions = np.where(random.random(240) < 0.7, labels, random.choice(["a", "b", "c"], 240))
    found = interval(labels, predictions, groups, statistic="macro_f1", resamples=4000, seed=0)
    values = []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(groups == name) for name in random.choice([f"g{i}" for i in range(12)], 12)])
        values.append(scores(labels[rows], predictions[rows], [])["macro_f1"] if len(rows) else 0)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.01)


def test_the_interval_does_not_depend_on_the_order_of_images_but_on_the_seed() -> None:
    random = np.random.default_rng(3)
    labels, predictions, groups = random.choice(["a", "b"], 300), random.choice(["a", "b"], 300), random.integers(0, 31, 300).astype(str)

    def found(order: slice, seed: int) -> Interval:
        return interval(labels[order], predictions[order], groups[order], statistic="macro_f1", resamples=1000, seed=seed)

    assert found(slice(None), 5) == found(slice(None, None, -1), 5)
    assert len({found(slice(None), seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("statistic", ["accuracy", "macro_f1"])
def test_one_group_or_none_has_no_interval_and_says_why(statistic: str) -> None:
    found = interval(["a", "b"], ["a", "a"], ["g", "g"], statistic=statistic, resamples=100, seed=0)  # type: ignore[arg-type]
    assert found == (None, None, 2, 1, "no interval: all images are of one group")
    assert interval([], [], [], statistic=statistic, resamples=100, seed=0).why == "no interval: there are no images"  # type: ignore[arg-type]


@pytest.mark.parametrize("n_groups", [200, 25_000])
def test_a_thousand_resamples_of_25000_images_in_100_classes_take_seconds_at_most(n_groups: int) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 100, 25_000).astype(str)
    predictions = np.where(random.random(25_000) < 0.9, labels, random.integers(0, 100, 25_000).astype(str))
    groups = [f"g{i % n_groups}" for i in range(25_000)]
    started = time.process_time()
    interval(labels, predictions, groups, statistic="macro_f1", resamples=1000, seed=0)
    assert time.process_time() - started < 4


def test_the_group_safe_score_leaves_out_the_groups_of_train() -> None:
    labels, predictions, groups = ["a", "a", "b", "b"], ["a", "b", "b", "b"], ["a/1", "a/2", "b/1", "b/2"]
    found, safe = group_safe(labels, predictions, groups, unsafe_groups={"a/2", "c/9"}, classes=["a", "b"])
    assert safe.tolist() == [True, False, True, True]
    assert (found["accuracy"], found["n_images"], found["n_groups"], found["left_out"], found["why"]) == (1.0, 3, 3, ["a/2"], "")


def test_a_test_set_of_training_groups_has_no_group_safe_score_and_says_why() -> None:
    found, safe = group_safe(["a"], ["a"], ["a/1"], unsafe_groups={"a/1"}, classes=["a"])
    assert (found["accuracy"], safe.any(), found["why"]) == (None, False, "every test image's group is in train too")
    assert group_safe([], [], [], unsafe_groups=(), classes=["a"])[0]["why"] == "there are no test images"


def test_kinds_of_groups_are_told_apart_by_their_numbers_in_ascending_order() -> None:
    random = np.random.default_rng(3)
    for low, high in ((0, 2), (-3, 4), (-200, 200), (0, 70_000)):
        sums = random.integers(low, high, (60, 3)).astype(np.float64)
        sums = np.concatenate([sums, sums[::2]])
        kinds, times = _kinds(sums)
        # Python's own order of lists of numbers.
        expected = sorted({tuple(row) for row in sums.tolist()})
        assert [tuple(row) for row in kinds.tolist()] == expected
        assert times.tolist() == [sums.tolist().count(list(row)) for row in expected]
