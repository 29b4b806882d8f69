"""Episodes, days and reigns read off records that are written out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from pomona.monitoring import chronicle
from pomona.monitoring.chronicle import Symptom
from pomona.monitoring.timeline import Batch, Timeline, batch
from pomona.reigns import Change
from tests.drawn_history import START, record, window

NOW = START + timedelta(days=30)
CALM, BEGINS, GOES_ON, PAUSE = ("calm", False), ("drift", True), ("drift", False), ("pause", False)


def history(*champions: tuple[int, Sequence[tuple[str, bool]]], changes: Sequence[Change] = ()) -> Timeline:
    """A batch for each (version, windows), a window a day, each given as (phase, began)."""
    batches: list[Batch] = []
    day = 0
    for number, (champion, phases) in enumerate(champions, 1):
        windows = []
        for phase, began in phases:
            windows.append(window(1.2 if phase == "drift" else 0.4, day=day, phase=phase, began=began))
            day += 1
        batches.append(batch(record(number, windows, day=day, champion=champion)))
    return Timeline("fruit", NOW, changes=changes, batches=batches)


def spans(timeline: Timeline) -> list[tuple[int, int, int | None, int, bool]]:
    """Version, first day, day of the end, windows and whether a new champion ended it, of each episode."""
    return [
        (each.champion, (each.since - START).days, each.until and (each.until - START).days, len(each.windows), each.superseded)
        for each in chronicle.episodes(timeline)
    ]


def promoted(version: int, day: float, kind: Any = "promotion") -> Change:
    moment = START + timedelta(days=day)
    return Change(version, None, moment, moment, kind)


def test_an_episode_lasts_from_the_window_that_began_it_until_one_of_another_phase() -> None:
    assert spans(history((1, [CALM, CALM, BEGINS, GOES_ON]), (1, [GOES_ON, PAUSE, CALM]))) == [(1, 2, 5, 3, False)]
    assert spans(history((1, [CALM, CALM]))) == []


def test_an_episode_that_nothing_ended_goes_on() -> None:
    assert spans(history((1, [CALM, BEGINS, GOES_ON]))) == [(1, 1, None, 2, False)]


def test_an_episode_ends_with_its_champion_whether_the_new_one_was_asked_already_or_not() -> None:
    assert spans(history((1, [BEGINS, GOES_ON]), (2, [CALM, BEGINS]))) == [(1, 0, 2, 2, True), (2, 3, None, 1, False)]
    assert spans(history((1, [BEGINS, GOES_ON]), changes=[promoted(1, -1), promoted(2, 9)])) == [(1, 0, 9, 2, True)]
    # One that was asked about too few pictures for a window ended it all the same, one that was never asked did not.
    assert spans(history((1, [BEGINS]), (2, []), (1, [CALM]))) == [(1, 0, 1, 1, True)]
    back = [promoted(1, -1), promoted(2, 9), promoted(1, 9.1, "rollback")]
    assert spans(history((1, [BEGINS, GOES_ON]), changes=back)) == [(1, 0, None, 2, False)]
    # What became champion before the drift ends nothing.
    assert spans(history((2, [BEGINS]), changes=[promoted(1, -2), promoted(2, -1)])) == [(2, 0, None, 1, False)]


def test_an_episode_whose_beginning_is_not_in_the_records_is_told_from_what_there_is() -> None:
    assert spans(history((1, [GOES_ON, GOES_ON, PAUSE]))) == [(1, 0, 2, 2, False)]


def test_two_episodes_in_succession_are_two() -> None:
    assert spans(history((1, [BEGINS, PAUSE, PAUSE, CALM, BEGINS, BEGINS]))) == [
        (1, 0, 1, 1, False),
        (1, 4, 5, 1, False),
        (1, 5, None, 1, False),
    ]


def test_an_episode_tells_its_alarms_its_worst_score_and_its_kinds_the_commonest_first() -> None:
    windows = [
        window(1.2, phase="drift", began=True, kind="mix"),
        window(0.9, phase="drift"),
        window(3.5, phase="drift"),
        window(2.0, phase="drift"),
    ]
    (episode,) = chronicle.episodes(Timeline("fruit", NOW, batches=[batch(record(1, windows))]))
    assert (episode.n_alarms, episode.score, episode.kinds) == (3, 3.5, ("inputs", "mix"))


def test_symptoms_are_told_by_statistic_each_by_the_window_in_which_it_was_strongest() -> None:
    first = window(1.5, scores={"words": 1.2, "blur": 1.5, "mix": 0.3}, symptoms=["blurrier", "other words"])
    second = window(2.0, scores={"words": 2.0, "blur": 1.0}, symptoms=["more other words", "a little blurrier"])
    third = window(1.1, scores={"blur": 0.2, "words": 0.1, "rejects": 1.1}, symptoms=["3 of 9 pictures cannot be read"])
    windows = batch(record(1, [first, second, third])).windows
    assert chronicle.symptoms(windows) == [
        Symptom("words", 2, "more other words"),
        Symptom("blur", 2, "blurrier"),
        Symptom("rejects", 1, "3 of 9 pictures cannot be read"),
    ]
    assert chronicle.symptoms([]) == []


def test_the_batches_of_a_day_in_utc_are_one_row_and_the_newest_day_comes_first() -> None:
    batches = [
        # 06:00 and 23:59 of the first day, one minute past midnight after it.
        batch(record(1, [window(0.5), window(1.5)], n_new=400, n_unknown=8, n_rejects=1)),
        batch(record(2, day=1 - 6 / 24 - 1 / 1440, n_new=30, n_unknown=None, n_rejects=2)),
        batch(record(3, day=1 - 6 / 24 + 1 / 1440, n_new=20, n_unknown=None, n_rejects=0)),
    ]
    second, first = chronicle.days(batches)
    assert (first.day, first.n_batches, first.n_pictures, first.n_unknown, first.n_rejects) == (date(2026, 8, 20), 2, 430, 8, 3)
    assert (first.n_windows, first.n_alarms, first.score) == (2, 1, 1.5)
    assert [symptom.statistic for symptom in first.symptoms] == ["blur"]
    assert (second.day, second.n_pictures, second.n_unknown, second.n_windows, second.score) == (date(2026, 8, 21), 20, None, 0, None)


def test_a_reign_lasts_until_the_next_change_and_the_last_one_has_no_end() -> None:
    taken_away = Change(None, 2, None, START + timedelta(days=5), "by hand")
    reigns = chronicle.reigns([promoted(1, 0), promoted(2, 3), taken_away])
    assert [(reign.version, (reign.since - START).days, reign.until and (reign.until - START).days) for reign in reigns] == [
        (1, 0, 3),
        (2, 3, 5),
        (None, 5, None),
    ]
    assert chronicle.reigns([]) == []
