"""Each case of the gate is decided as it should, on answers made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pomona.checks import Alone, Rules
from pomona.judgement import Answers, Verdict, judged
from pomona.paragraph import paragraph

RULES = Rules(margin=0.01, max_class_drop=0.05, significance=0.05, floor=0.0, min_test=20, resamples=1000, seed=0)


def names(values: Sequence[str]) -> Any:
    return np.array(values, dtype=object)


def alone(labels: Sequence[str], groups: Sequence[str], predictions: Sequence[str], **given: Any) -> Alone:
    """The challenger alone: right as its predictions are, with no image of a group that is in train."""
    accuracy = float((names(labels) == names(predictions)).mean()) if len(labels) else None
    facts: dict[str, Any] = {
        "safe": np.ones(len(labels), dtype=bool),
        "accuracy": accuracy,
        "macro_f1": accuracy,
        "majority": "apple",
        "histogram": None,
    }
    return Alone(names(labels), names(groups), names(predictions), **(facts | given))


def verdict(kinds: dict[str, list[tuple[int, int, int]]], *, rules: Rules = RULES, order: int = 1, **given: Any) -> Verdict:
    """The verdict over classes given as groups of (images, right by champion version 3, right by the challenger)."""
    labels, groups, old, new = [], [], [], []
    for label, sizes in kinds.items():
        for number, (n_images, before, now) in enumerate(sizes):
            labels += [label] * n_images
            groups += [f"{label}/{number}"] * n_images
            old += [label if i < before else "?" for i in range(n_images)]
            new += [label if i < now else "?" for i in range(n_images)]
    contents = names([f"content {i:04d}" for i in range(len(labels))])
    trained = given.pop("trained", 0)
    facts = {"champion_knows": tuple(kinds), "challenger_knows": tuple(kinds)}
    facts |= {name: given.pop(name) for name in list(given) if name in facts}
    rows = [values[trained:][::order] for values in (contents, names(labels), names(groups), names(old), names(new))]
    answers = Answers(*rows, **facts, n_trained_on=trained)
    return judged(alone(labels, groups, new, **given), rules, champion=3, answers=answers)


def unmet(found: Verdict) -> list[str]:
    return [check.check for check in found.checks if not check.met]


def test_a_better_challenger_is_promoted_and_reason_and_words_say_so() -> None:
    # One image of ten gained in each of ten groups: one flip of 1,024.
    found = verdict({"apple": [(10, 8, 9)] * 5, "pear": [(10, 9, 10)] * 5})
    assert (found.decision, found.rule, found.champion, unmet(found)) == ("promote", "better", 3, [])
    assert found.reason == (
        "accuracy 95.0 % against the champion's 85.0 %: +10.0 points (95 % interval +10.0 to +10.0), "
        "better by more than chance explains (p = 0.00098), on 100 images in 10 groups"
    )
    assert paragraph(found) == (
        "The new model is right on 95 of 100 pictures, the one in use (version 3) on 85. "
        "This was counted on 100 test pictures in 10 groups of pictures that belong together, such as the frames of one video; "
        "neither model has learnt from any of them. The new model alone is right on 10 of them, the one in use alone on 0. "
        "For comparison: naming the commonest kind every time is right on 50 of 100 test pictures. "
        "The new model should be used, because it does better, and by more than chance explains."
    )
    figures = found.figures
    assert (figures["only_challenger_right"], figures["only_champion_right"], figures["difference"]) == (10, 0, 0.1)
    assert (figures["p_gain_one_sided"], figures["p_loss_one_sided"], figures["p_two_sided"]) == (1 / 1024, 1, 2 / 1024)
    assert figures["test"] == "sign flips of groups"
    json.dumps(found.document(), allow_nan=False)


def test_an_equal_challenger_is_promoted() -> None:
    found = verdict({"apple": [(10, 9, 9)] * 10})
    assert (found.decision, found.rule, found.figures["difference"]) == ("promote", "not inferior", 0)
    assert "because it makes no more mistakes." in paragraph(found)


def test_a_gain_that_can_be_chance_is_promoted_and_is_not_called_better() -> None:
    found = verdict({"apple": [(10, 9, 9)] * 9 + [(10, 9, 10)]})
    assert (found.decision, found.rule) == ("promote", "not inferior")
    assert "a gain that can be chance (p = 0.5)" in found.reason
    assert "because it makes fewer mistakes, though so few fewer can be chance." in paragraph(found)


def test_a_loss_within_the_margin_that_can_be_chance_is_promoted() -> None:
    # Nine images of a thousand in one of ten groups: it could as well have been the other model.
    found = verdict({"apple": [(100, 90, 90)] * 9 + [(100, 90, 81)]})
    assert (found.decision, found.rule, found.figures["p_loss_one_sided"]) == ("promote", "not inferior", 0.5)
    assert "within the margin of 1, and it can be chance (p = 0.5)" in found.reason
    assert "because it does only a little worse, which can be chance: up to 1 of 100 pictures may be lost." in paragraph(found)


def test_a_loss_within_the_margin_that_is_certain_keeps_the_champion() -> None:
    # Five images of a thousand, but each in a group of its own: one flip of 32.
    found = verdict({"apple": [(100, 90, 89)] * 5 + [(100, 90, 90)] * 5})
    assert (found.decision, found.rule, found.figures["p_loss_one_sided"]) == ("keep", "not inferior", 1 / 32)
    assert "within the margin of 1, more than chance explains" in found.reason
    assert "The model in use should stay, because the new one is a little worse, and that is more than chance explains." in paragraph(found)


@pytest.mark.parametrize(("right", "decision"), [(80, "promote"), (79, "keep")])
def test_a_loss_of_the_margin_is_allowed_and_not_one_image_more(right: int, decision: str) -> None:
    assert verdict({"apple": [(100, 90, 90)] * 9 + [(100, 90, right)]}, rules=replace(RULES, max_class_drop=1)).decision == decision


def test_a_much_worse_challenger_is_kept_back_even_where_groups_are_too_few_to_be_certain() -> None:
    found = verdict({"apple": [(50, 45, 30), (50, 45, 45)]}, rules=replace(RULES, max_class_drop=1))
    assert (found.decision, found.rule, found.figures["p_loss_one_sided"]) == ("keep", "not inferior", 0.5)
    assert "−15.0 points" in found.reason and "beyond the margin of 1" in found.reason
    assert "because the new one loses 15 of 100 pictures and no more than 1 are allowed." in paragraph(found)


def test_a_collapse_of_one_class_keeps_the_champion_although_all_in_all_the_challenger_is_better() -> None:
    found = verdict({"apple": [(100, 80, 90)] * 8, "lemon": [(20, 20, 2)], "pear": [(100, 80, 90)] * 8})
    assert (found.decision, found.rule, unmet(found)) == ("keep", "no class falls", ["no class falls"])
    assert found.figures["difference"] > 0.05
    assert found.reason == "the recall falls of lemon from 100.0 % to 10.0 % on 20 images in 1 group; max_class_drop allows 5 points"
    assert "much worse than before: lemon (100 of 100 pictures before, 10 now)." in paragraph(found)
    assert [row.label for row in found.per_class] == ["apple", "lemon", "pear"]


@pytest.mark.parametrize(("right", "decision"), [(6, "promote"), (4, "keep"), (0, "keep")])
def test_a_new_class_has_to_be_recognised_half_as_often_as_the_classes_that_both_know(right: int, decision: str) -> None:
    # 90 % on the other two classes: asked is 45 %, and more than 1/3.
    kinds = {"apple": [(10, 9, 9)] * 6, "fig": [(10, 0, right)], "pear": [(10, 9, 9)] * 6}
    found = verdict(kinds, champion_knows=("apple", "pear"))
    assert (found.decision, found.figures["new_classes"]) == (decision, ["fig"])
    assert (found.figures["n_images"], found.figures["n_other_labels"]) == (120, 10)
    assert "The new model also knows fig, which the one in use does not." in paragraph(found)
    assert found.per_class[1] == ("fig", 10, 1, None, right / 10, None)
    if decision == "keep":
        assert found.rule == "new classes"
        assert f"too rarely recognised: fig {10 * right}.0 %" in found.reason


def test_a_new_class_has_to_be_recognised_more_often_than_by_chance() -> None:
    # Three classes: chance is a third, and half of the 60 % on the others less than that.
    kinds = {"apple": [(10, 6, 6)] * 6, "fig": [(9, 0, 3)], "pear": [(10, 6, 6)] * 6}
    assert verdict(kinds, champion_knows=("apple", "pear")).rule == "new classes"
    kinds["fig"] = [(9, 0, 4)]
    assert verdict(kinds, champion_knows=("apple", "pear")).decision == "promote"


def test_a_new_class_without_test_images_is_named_and_not_judged() -> None:
    found = verdict({"apple": [(10, 9, 9)] * 6}, challenger_knows=("apple", "fig"))
    assert found.decision == "promote"
    assert "fig not judged, without test images" in next(check.line for check in found.checks if check.check == "new classes")


def test_a_class_that_was_taken_away_is_named_and_does_not_stop_a_promotion() -> None:
    found = verdict({"apple": [(10, 9, 9)] * 6}, champion_knows=("apple", "plum"))
    assert (found.decision, found.figures["removed_classes"]) == ("promote", ["plum"])
    assert "It no longer knows plum." in paragraph(found)


def test_a_class_whose_training_images_alone_are_gone_is_left_out_of_the_comparison_and_keeps_the_champion() -> None:
    kinds = {"apple": [(10, 9, 9)] * 6, "plum": [(10, 10, 0)]}
    found = verdict(kinds, challenger_knows=("apple",))
    assert (found.decision, found.rule, found.figures["n_images"], found.figures["difference"]) == ("keep", "removed classes", 60, 0)
    assert found.reason == (
        "no training images any more, but test images, of plum (10 test images): take these away too if the class is to go"
    )


@pytest.mark.parametrize("missing", [None, float("nan")])
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_missing_metric_keeps_the_champion(metric: str, missing: float | None) -> None:
    found = verdict({"apple": [(10, 8, 9)] * 10}, **{metric: missing})
    assert (found.decision, found.rule) == ("keep", "scores")
    assert found.reason == f"not known on the test images: {'accuracy' if metric == 'accuracy' else 'macro-F1'}"
    assert "because its score is missing" in paragraph(found)


@pytest.mark.parametrize(("floor", "decision"), [(0.9, "promote"), (0.91, "keep")])
def test_below_the_floor_even_a_better_challenger_is_kept_back(floor: float, decision: str) -> None:
    found = verdict({"apple": [(10, 8, 9)] * 10}, rules=replace(RULES, floor=floor))
    assert found.decision == decision
    assert found.reason == "accuracy 90.0 % on all 100 test images, below the floor of 91.0 %" or decision == "promote"


@pytest.mark.parametrize(("n_images", "decision"), [(19, "keep"), (20, "promote")])
def test_too_few_common_images_keep_the_champion(n_images: int, decision: str) -> None:
    found = verdict({"apple": [(n_images, 0, n_images)]})
    assert found.decision == decision
    if decision == "keep":
        assert found.reason == "only 19 test images that neither model trained on and whose label both know, min_test asks for 20"
        assert "there are too few pictures to compare the two on: 19, where 20 are asked for." in paragraph(found)


def test_images_that_the_champion_trained_on_do_not_count_and_may_leave_too_few() -> None:
    kinds = {"apple": [(10, 10, 10)] * 10}
    found = verdict(kinds, trained=70)
    assert (found.decision, found.figures["n_images"], found.figures["n_trained_on"]) == ("promote", 30, 70)
    found = verdict(kinds, trained=100)
    assert (found.decision, found.rule) == ("keep", "common images")
    assert "only 0 test images" in found.reason and "(100 left out because the champion trained on them)" in found.reason


def test_a_champion_that_cannot_be_asked_keeps_its_place() -> None:
    found = judged(alone(["apple"], ["g"], ["apple"]), RULES, champion=7, trouble="its files are missing")
    assert (found.decision, found.rule, found.champion) == ("keep", "champion answers", 7)
    assert found.reason == "champion version 7 cannot be asked: its files are missing"
    assert paragraph(found).endswith("The model in use should stay, because the two could not be compared: " + found.reason + ".")


def first(right: int, by_colour: int | None, *, n_images: int = 60, **given: Any) -> Verdict:
    """The verdict on a first model: two thirds of the images are apples, the model and the histogram have the first so many right."""
    labels = ["apple", "apple", "pear"] * (n_images // 3)
    told = [[label if i < n else "?" for i, label in enumerate(labels)] for n in (right, by_colour or 0)]
    histogram = None if by_colour is None else names(told[1])
    groups = [f"g{i % 6}" for i in range(n_images)]
    return judged(alone(labels, groups, told[0], **({"histogram": histogram} | given)), RULES, champion=None)


@pytest.mark.parametrize(
    ("right", "by_colour", "rule"),
    [
        (50, 45, "first model"),
        # As good as apples every time, and as good as the colours: not better.
        (40, 20, "majority class"),
        (41, 20, "first model"),
        (45, 45, "colour histogram"),
        (45, 50, "colour histogram"),
        # Above a histogram that is always right there is nothing: five images less are more than chance explains (1/32), four are not.
        (60, 60, "first model"),
        (56, 60, "first model"),
        (55, 60, "colour histogram"),
    ],
)
def test_the_first_model_has_to_beat_the_commonest_label_and_the_colours(right: int, by_colour: int, rule: str) -> None:
    found = first(right, by_colour)
    assert (found.rule, found.decision) == (rule, "promote" if rule == "first model" else "keep")
    assert found.baselines == {"majority": pytest.approx(2 / 3), "histogram": by_colour / 60}
    assert paragraph(found).startswith("No model is in use yet. The new model is right on ")
    assert f"should {'be' if rule == 'first model' else 'not be'} used" in paragraph(found)


def test_a_first_model_that_colours_are_ahead_of_does_not_claim_to_be_better() -> None:
    assert "what colours have ahead of it can be chance" in paragraph(first(56, 60))
    assert "does better than the simplest ways to answer" in paragraph(first(50, 45))


def test_the_first_model_is_measured_on_groups_that_are_not_in_train_where_there_are_enough() -> None:
    # The last thirty images are of other groups than train's, and there it has nothing right that the colours have not.
    safe = np.arange(60) >= 30
    assert first(50, 45, safe=safe).figures["n_images"] == 30
    assert first(25, 20, safe=safe).rule == "majority class"
    few = first(50, 45, safe=np.arange(60) >= 41)
    assert (few.decision, few.figures["n_images"], few.figures["held_out"]) == ("promote", 60, False)


def test_without_a_histogram_the_first_model_is_promoted_and_the_reason_says_so() -> None:
    found = first(50, None)
    assert (found.decision, found.baselines["histogram"]) == ("promote", None)
    assert found.reason.startswith("the first model: accuracy 83.3 % against 66.7 % for naming the commonest label (apple) every time")
    assert found.reason.endswith("not compared with a colour histogram, for this run has none")


@pytest.mark.parametrize("champion", [None, 3])
def test_without_test_images_nothing_is_promoted(champion: int | None) -> None:
    found = judged(alone([], [], []), RULES, champion=champion)
    assert (found.decision, found.rule) == ("keep", "test images")
    assert found.reason == "there are no test images: nothing is known about this model"
    assert paragraph(found) == "There are no test pictures, so nothing is known about the new model. It should not be used."


def test_the_interval_of_the_difference_resamples_groups() -> None:
    found = verdict({"apple": [(10, 10, 10), (10, 10, 0)] * 50}, rules=replace(RULES, resamples=4000))
    # Half of a hundred groups lost: binomial(100, ½) / 100 has its 2.5 % and 97.5 % points at .40 and .60.
    assert (found.figures["low"], found.figures["high"]) == pytest.approx((-0.60, -0.40), abs=0.011)


def test_one_group_is_judged_without_an_interval() -> None:
    found = verdict({"apple": [(30, 20, 25)]})
    assert (found.decision, found.figures["low"], found.figures["p_gain_one_sided"]) == ("promote", None, 0.5)
    assert "no interval: all images are of one group" in found.reason


def test_the_verdict_does_not_depend_on_the_order_of_images() -> None:
    kinds = {"apple": [(10, 9, 7)] * 6, "pear": [(8, 4, 6)] * 5, "fig": [(7, 0, 5)] * 2}
    known = {"champion_knows": ("apple", "pear")}
    assert verdict(kinds, **known).document() == verdict(kinds, order=-1, **known).document()


def test_examples_are_spread_over_groups() -> None:
    found = verdict({"apple": [(30, 0, 30), (2, 0, 2), (30, 30, 30)]})
    # Contents 0 to 29 are of the first group, 30 and 31 of the second.
    assert found.examples["only_challenger"][:4] == ["content 0000", "content 0030", "content 0001", "content 0031"]
    assert (len(found.examples["only_challenger"]), found.examples["only_champion"]) == (12, [])
