"""Scores, intervals over groups and verdicts, against values worked out by hand or known from theory."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from pomona.judgement import Interval, Verdict, compare, group_safe, interval, scores, without_comparison

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


def verdict(
    n_images: int, champion_right: int, challenger_right: int, *, n_groups: int = 10, margin: float = 0.01, min_test: int = 20
) -> Verdict:
    """compare() where each model is right on its first so many images, dealt to groups in turn."""
    labels = ["a"] * n_images
    answers = [["a" if i < right else "b" for i in range(n_images)] for right in (champion_right, challenger_right)]
    groups = [f"g{i % n_groups}" for i in range(n_images)]
    return compare(labels, groups, *answers, margin=margin, min_test=min_test, resamples=1000, seed=0)


def test_a_better_challenger_is_promoted_and_the_reason_holds_the_figures() -> None:
    found = verdict(1000, 900, 950)
    assert found.decision == "promote"
    assert found.reason == (
        "accuracy 95.0 % against the champion's 90.0 %: +5.0 points (95 % interval +5.0 to +5.0), within the margin of 1, "
        "on 1,000 images in 10 groups"
    )
    assert found.figures["only_challenger_right"] == 50
    assert found.figures["only_champion_right"] == 0


@pytest.mark.parametrize(("challenger", "decision"), [(900, "promote"), (890, "promote"), (889, "keep"), (0, "keep")])
def test_a_loss_of_the_margin_is_allowed_and_not_one_image_more(challenger: int, decision: str) -> None:
    assert verdict(1000, 900, challenger).decision == decision


def test_a_refusal_says_that_the_loss_is_beyond_the_margin() -> None:
    assert "−10.0 points" in verdict(1000, 900, 800).reason
    assert "beyond the margin of 1" in verdict(1000, 900, 800).reason


def test_the_interval_of_the_difference_resamples_groups_and_is_paired() -> None:
    groups = [f"g{i}" for i in range(100) for _ in range(10)]
    champion = ["a"] * 1000
    challenger = ["a" if i % 2 else "b" for i in range(100) for _ in range(10)]
    found = compare(["a"] * 1000, groups, champion, challenger, margin=1, min_test=1, resamples=4000, seed=0)
    assert (found.figures["low"], found.figures["high"]) == pytest.approx((-0.60, -0.40), abs=0.011)
    same = compare(["a"] * 1000, groups, challenger, challenger, margin=0, min_test=1, resamples=100, seed=0)
    assert (same.decision, same.figures["low"], same.figures["high"]) == ("promote", 0, 0)


def test_too_few_common_images_keep_the_champion() -> None:
    found = verdict(19, 0, 19)
    assert found.decision == "keep"
    assert found.reason == "only 19 test images that neither model trained on, min_test asks for 20"
    assert verdict(20, 0, 20).decision == "promote"
    assert compare([], [], [], [], margin=0, min_test=0, resamples=100, seed=0).decision == "keep"


def test_one_group_is_still_judged_without_an_interval() -> None:
    found = verdict(30, 20, 25, n_groups=1)
    assert (found.decision, found.figures["low"]) == ("promote", None)
    assert "no interval: all images are of one group" in found.reason


def test_verdicts_without_a_comparison() -> None:
    none = without_comparison(n_test=0, champion=None)
    assert none is not None and (none.decision, none.reason) == ("keep", "there are no test images: nothing is known about this model")
    first = without_comparison(n_test=5, champion=None)
    assert first is not None and (first.decision, first.reason) == ("promote", "the first model")
    broken = without_comparison(n_test=5, champion=7, trouble="its files are missing")
    assert broken is not None
    assert (broken.decision, broken.reason) == ("keep", "champion version 7 cannot be asked: its files are missing")
    assert without_comparison(n_test=5, champion=7) is None
