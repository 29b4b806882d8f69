"""Calibration: bins and scores of hand-made probabilities, with the figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pomona.calibration import calibration

CLASSES = ("A", "B")


def test_four_answers_have_the_figures_worked_out_by_hand() -> None:
    # Top probabilities .9 (right), .9 (wrong), .6 (right), 1.0 (right): bins .8–.9, .5–.6, .9–1.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1.0, 0.0]])
    found = calibration(probabilities, ["A", "B", "B", "A"], CLASSES)
    filled = {row["high"]: (row["n_images"], row["confidence"], row["accuracy"]) for row in found["bins"] if row["n_images"]}
    assert filled == {0.9: (2, pytest.approx(0.9), 0.5), 0.6: (1, pytest.approx(0.6), 1.0), 1.0: (1, 1.0, 1.0)}
    # (2 · |.5 − .9| + 1 · |1 − .6| + 1 · 0) / 4
    assert found["expected_error"] == pytest.approx(0.3)
    assert found["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.1) + math.log(0.6) + math.log(1.0)) / 4)
    # .01 + .01, .81 + .81, .16 + .16, 0
    assert found["brier"] == pytest.approx((0.02 + 1.62 + 0.32 + 0) / 4)


def test_there_are_ten_bins_of_equal_width_also_where_they_are_empty() -> None:
    found = calibration(np.array([[0.05, 0.95]]), ["B"], CLASSES)
    assert [(row["low"], row["high"]) for row in found["bins"]] == [(i / 10, (i + 1) / 10) for i in range(10)]
    assert [row["n_images"] for row in found["bins"]] == [0] * 9 + [1]
    assert found["bins"][0] == {"low": 0.0, "high": 0.1, "n_images": 0, "confidence": None, "accuracy": None}


def test_a_model_that_is_as_right_as_it_says_has_no_calibration_error() -> None:
    # .75 said a hundred times, right in 75.
    found = calibration(np.tile([0.75, 0.25], (100, 1)), ["A"] * 75 + ["B"] * 25, CLASSES)
    assert found["expected_error"] == pytest.approx(0, abs=1e-12)
    # Of all answers that are always the same, the true shares have the least Brier score: 2 · .75 · .25.
    assert found["brier"] == pytest.approx(0.375)


def test_a_certain_mistake_costs_much_and_not_everything() -> None:
    found = calibration(np.array([[1.0, 0.0]]), ["B"], CLASSES)
    assert found["log_loss"] == pytest.approx(15 * math.log(10))
    assert found["brier"] == 2.0


def test_a_label_that_the_model_does_not_know_is_wrong_and_has_no_log_loss() -> None:
    found = calibration(np.array([[0.6, 0.4], [0.8, 0.2]]), ["C", "A"], CLASSES)
    assert found["log_loss"] == pytest.approx(-math.log(0.8))
    # .36 + .16 + 1 for the unknown, .04 + .04 for the other.
    assert found["brier"] == pytest.approx((1.52 + 0.08) / 2)
    assert found["expected_error"] == pytest.approx((0.6 + 0.2) / 2)
    assert calibration(np.array([[0.6, 0.4]]), ["C"], CLASSES)["log_loss"] is None


def test_without_images_nothing_is_measured() -> None:
    found = calibration(np.empty((0, 2)), [], CLASSES)
    assert (found["expected_error"], found["log_loss"], found["brier"]) == (None, None, None)
    assert sum(row["n_images"] for row in found["bins"]) == 0
