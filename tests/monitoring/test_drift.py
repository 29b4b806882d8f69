"""Verdicts on windows: what has changed is named, by kind and in words."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from pomona.monitoring.drift import Verdict, complete, judged
from pomona.monitoring.panel import STATISTICS, Panel, calibrated
from pomona.monitoring.profile import Profile
from pomona.vision.observe import Observations
from tests.drawn_observations import profile, seen

USUAL = [number % 3 for number in range(10)]


@pytest.fixture(scope="module")
def known() -> tuple[Profile, Panel]:
    """A profile of 60 groups, and its panel for windows of 100 images from 10 groups."""
    drawn = profile(seed=0)
    return drawn, calibrated(drawn, n_images=100, n_groups=10, permutations=400)


def window(**given: float) -> Observations:
    return seen(USUAL, n_each=10, seed=50, **given)


def test_a_usual_window_has_a_score_under_one_and_no_symptoms(known: tuple[Profile, Panel]) -> None:
    found = judged(*known, window(), n_rejects=1)
    assert (found.kind, found.symptoms, found.n_images, found.n_rejects) == ("none", (), 100, 1)
    assert found.score == max(found.scores.values()) < 1
    assert list(found.scores) == list(STATISTICS)


def test_a_darker_window_is_a_change_of_inputs_and_told_with_its_figures(known: tuple[Profile, Panel]) -> None:
    found = judged(*known, window(brightness=0.3), n_rejects=0)
    assert (found.kind, len(found.symptoms)) == ("inputs", 1)
    # Groups deviate by .05, so that means of ten of them do by .05 / √10 = .016, a little more against a profile of fifty.
    assert found.symptoms[0] in [
        f"darker than in training: mean brightness {mean}, training {usual} ± 0.02"
        for mean in ("0.29", "0.30", "0.31")
        for usual in ("0.49", "0.50", "0.51")
    ]
    brighter = judged(*known, window(brightness=0.7), n_rejects=0)
    assert brighter.symptoms[0].startswith("brighter than in training: mean brightness 0.7")


def test_a_spread_that_grows_under_the_same_mean_is_told_as_such(known: tuple[Profile, Panel]) -> None:
    usual = window()
    blur = np.where(np.arange(100) % 2, -2.5 + 2, -2.5 - 2)
    found = judged(*known, usual._replace(blur=blur), n_rejects=0)
    assert found.kind == "inputs"
    told = re.fullmatch(r"blur varies more than in training: standard deviation 2.00, training (\S+) ± 0.0\d", found.symptoms[0])
    # .2 between groups and .2 within them: .2 · √2.
    assert told and float(told[1]) == pytest.approx(0.283, abs=0.04)


@pytest.mark.parametrize(
    ("red", "blue", "which"), [(0.2, -0.2, "warmer"), (-0.2, 0.2, "colder"), (-0.2, -0.2, "greener"), (0.2, 0.2, "pinker")]
)
def test_another_white_balance_is_told_by_its_direction(red: float, blue: float, which: str, known: tuple[Profile, Panel]) -> None:
    usual = window()
    found = judged(*known, usual._replace(cast=usual.cast + np.array([red, blue])), n_rejects=0)
    assert found.symptoms[0].startswith(f"{which} light than in training: red / green ")
    told = re.fullmatch(
        r"\w+ light than in training: red / green (\S+), training (\S+) ± 0.00\d; blue / green (\S+), training (\S+) ± 0.00\d",
        found.symptoms[0],
    )
    assert told
    # e to the power of .02 and of 0, in training; then times e to the power of .2 or −.2.
    times = {0.2: 1.221, -0.2: 0.819}
    expected = [1.020 * times[red], 1.020, times[blue], 1.0]
    assert [float(figure) for figure in told.groups()] == pytest.approx(expected, abs=0.015)


def test_another_mix_of_labels_is_told_apart_from_a_change_of_inputs(known: tuple[Profile, Panel]) -> None:
    found = judged(*known, seen([1] * 10, n_each=10, seed=77), n_rejects=0)
    assert found.kind == "mix"
    assert found.symptoms[0].startswith("another mix of labels than in training: 9")
    assert found.symptoms[0].endswith("% of the answers are cherry, training 33%")
    both = judged(*known, seen([1] * 10, n_each=10, seed=77, brightness=0.3), n_rejects=0)
    assert both.kind == "inputs"
    assert {line.split(" than ")[0] for line in both.symptoms} >= {"darker", "another mix of labels"}


def test_images_that_fit_the_model_badly_are_farther_stranger_and_the_strongest_symptom_comes_first(known: tuple[Profile, Panel]) -> None:
    found = judged(*known, window(surprise=4.0), n_rejects=0)
    assert found.kind == "inputs"
    assert any(line.startswith("farther from the words than in training: mean squared distance") for line in found.symptoms)
    assert any(line.startswith("stranger vectors than in training: share of a vector") for line in found.symptoms)
    alarmed = sorted((score for score in found.scores.values() if score >= 1), reverse=True)
    assert found.score == alarmed[0]
    assert len(found.symptoms) == len(alarmed)


def test_images_that_fit_the_model_only_too_well_and_surer_answers_are_no_drift(known: tuple[Profile, Panel]) -> None:
    found = judged(*known, window(surprise=-4.0), n_rejects=0)
    assert (found.kind, found.scores["quantisation"], found.scores["reconstruction"]) == ("none", 0, 0)
    usual = window()
    sure = np.eye(3)[usual.probabilities.argmax(axis=1)]
    assert judged(*known, usual._replace(probabilities=sure), n_rejects=0).kind == "none"


def test_where_the_mean_is_none_the_worse_the_spread_is_told(known: tuple[Profile, Panel]) -> None:
    usual = window()
    wide = usual.quantisation.copy()
    wide[::4] += 0.2
    wide[1::2] -= 0.12
    line = next(line for line in judged(*known, usual._replace(quantisation=wide), n_rejects=0).symptoms if "quantisation" in line)
    assert line.startswith("quantisation varies more than in training: standard deviation 0.1")


def test_less_sure_answers_and_other_words_are_symptoms(known: tuple[Profile, Panel]) -> None:
    usual = window()
    unsure = usual._replace(probabilities=0.2 * usual.probabilities + 0.8 / 3, words=usual.words[:, ::-1])
    lines = judged(*known, unsure, n_rejects=0).symptoms
    assert any(line.startswith("less sure than in training: mean probability of the answer 0.4") for line in lines)
    assert any(line.startswith("other visual words than in training: Jensen–Shannon divergence") for line in lines)


def test_too_many_rejects_close_a_window_early_and_are_all_that_is_said(known: tuple[Profile, Panel]) -> None:
    drawn, panel = known
    bound = int(panel.thresholds["rejects"])
    assert not complete(panel, n_images=99, n_rejects=bound - 1)
    assert complete(panel, n_images=0, n_rejects=bound) and complete(panel, n_images=100, n_rejects=0)
    found = judged(drawn, panel, None, n_rejects=bound)
    assert found == Verdict(0, bound, 1.0, {"rejects": 1.0}, "rejects", (f"{bound} of {bound} pictures cannot be read, declared are 1 %",))
    early = judged(drawn, panel, window().rows(slice(0, 30)), n_rejects=2 * bound)
    assert (early.kind, early.score, list(early.scores)) == ("rejects", 2.0, ["rejects"])
    full = judged(drawn, panel, window(), n_rejects=bound)
    assert (full.kind, len(full.scores)) == ("rejects", 9)


def test_a_window_of_another_size_is_refused(known: tuple[Profile, Panel]) -> None:
    for wrong in (window().rows(slice(0, 99)), window().and_those(window())):
        with pytest.raises(ValueError, match="the panel is for 100: calibrate"):
            judged(*known, wrong, n_rejects=0)


def test_a_verdict_is_ready_for_json(known: tuple[Profile, Panel]) -> None:
    found = judged(*known, window(brightness=0.3), n_rejects=0)
    assert json.loads(json.dumps(found._asdict()))["kind"] == "inputs"
    assert json.loads(json.dumps(known[1]._asdict()))["thresholds"]["mix"] == known[1].thresholds["mix"]
