"""Verdicts on a challenger, against values worked out by hand or known from theory."""

from __future__ import annotations

import pytest

from pomona.judgement import Verdict, compare, without_comparison


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
