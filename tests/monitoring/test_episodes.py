"""Episodes of drift from scores of windows, by sequences written out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pomona.monitoring.episodes import Rule, Watch, watched

LETTERS = {"calm": "c", "drift": "D", "pause": "p"}


def phases(scores: list[float], watch: Watch | None = None, **rule: Any) -> str:
    """One letter a window."""
    return "".join(LETTERS[each.phase] for each in watched(scores, rule=Rule(**rule), watch=watch))


def test_two_alarms_of_three_begin_an_episode_and_one_does_not() -> None:
    assert phases([0, 2, 0, 0, 2, 0, 0]) == "ccccccc"
    assert phases([0, 2, 2]) == "ccD"
    assert phases([0, 2, 0, 2]) == "cccD"
    assert phases([2, 2], n_recent=2) == "cD"
    assert phases([2], n_alarms=1, n_recent=1) == "D"


def test_a_score_of_exactly_one_is_an_alarm() -> None:
    assert phases([1.0, 1.0]) == "cD"
    assert phases([0.999, 0.999]) == "cc"


def test_only_calm_windows_in_succession_end_it_and_what_lies_between_calm_and_alarm_does_not() -> None:
    # Calm is under .8: .9 begins the count anew.
    assert phases([2, 2, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1]) == "cDDDDDDpp"
    assert phases([2, 2, 0.9, 0.9, 0.9, 0.9, 0.9]) == "cDDDDDD"
    assert phases([2, 2, 0.1, 2, 0.1, 0.1], n_calm=2) == "cDDDDp"


def test_after_an_episode_none_begins_for_three_windows_and_what_goes_on_alarming_begins_the_next() -> None:
    assert phases([2, 2, 0, 0, 0, 2, 2, 2, 2], n_pause=3) == "cDDDpppcD"
    assert phases([2, 2, 0, 2, 2], n_calm=1, n_pause=0) == "cDccD"


def test_an_episode_begins_with_an_alarm_and_not_with_a_calm_window_behind_alarms_of_the_pause() -> None:
    assert phases([2, 2, 0, 0, 0, 0, 2, 2, 0]) == "cDDDpppcc"
    assert phases([2, 2, 0, 0, 0, 0, 2, 2, 0, 2]) == "cDDDpppccD"


def test_alarms_within_an_episode_are_no_evidence_of_another() -> None:
    assert phases([2, 2, 2, 0, 2, 0, 0, 0], n_calm=1, n_pause=0, n_recent=5, n_alarms=2) == "cDDccccc"


def test_it_goes_on_where_it_was_left_whatever_the_sequence_is_cut_into() -> None:
    scores = [0, 2, 0, 2, 0.5, 0.9, 0.5, 0.5, 0.5, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0]
    rule = Rule()
    whole = watched(scores, rule=rule)
    for cut in range(1, len(scores)):
        first = watched(scores[:cut], rule=rule)
        stored = json.loads(json.dumps(first[-1]._asdict()))
        assert [*first, *watched(scores[cut:], rule=rule, watch=Watch(**stored))] == whole


def test_a_rule_that_makes_no_sense_names_its_value() -> None:
    for given, told in (
        ({"n_alarms": 4}, "n_alarms=4 of n_recent=3"),
        ({"n_alarms": 0}, "n_alarms=0"),
        ({"calm_below": 1.5}, "calm_below=1.5"),
        ({"n_calm": 0}, "n_calm=0"),
        ({"n_pause": -1}, "n_pause=-1"),
    ):
        with pytest.raises(ValueError, match=told):
            Rule(**given)  # type: ignore[arg-type]
