"""What a timeline says now, in words: one history for each thing that can be said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from pomona.monitoring.conclusion import Conclusion, concluded
from pomona.monitoring.timeline import Asked, Timeline, batch
from pomona.reigns import Change, Hold
from tests.drawn_history import START, record, window

NOW = START + timedelta(days=30)
FIRST = Change(1, None, START, START, "promotion", "r1", "schedule", "the first")
SECOND = Change(2, 1, START + timedelta(days=5), START + timedelta(days=5), "promotion", "r2", "schedule", "better")
BACK = Change(1, 2, START + timedelta(days=9), START + timedelta(days=9), "rollback", "back", "person (ann)", "limes")


def said(*batches: dict[str, Any], changes: Sequence[Change] = (FIRST,), **facts: Any) -> Conclusion:
    return concluded(Timeline("fruit", NOW, changes=changes, batches=[batch(each) for each in batches], **facts))


def test_without_a_champion_the_first_one_is_to_be_made_or_one_put_back() -> None:
    assert said(changes=()) == Conclusion(
        "unknown", "There is no champion", "No version is the champion yet.", "", "`make run` makes the first one."
    )
    away = Change(None, 1, START, START, "by hand")
    assert said(changes=(FIRST, away)).champion == "No version is the champion since 2026-08-20 06:00:00 UTC: the alias was taken away."
    assert said(changes=(FIRST, away)).remedy == "`make rollback` puts one back."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ((FIRST,), "Version 1 is the champion since 2026-08-20 06:00:00 UTC, promoted."),
        ((FIRST, SECOND, BACK), "Version 1 is the champion since 2026-08-29 06:00:00 UTC, put back in place of version 2."),
        (
            (FIRST, Change(3, 1, START, START + timedelta(days=2), "by hand")),
            "Version 3 is the champion since some time between 2026-08-20 06:00:00 UTC and 2026-08-22 06:00:00 UTC, set by hand.",
        ),
    ],
)
def test_the_champion_is_told_since_when_and_how(changes: Sequence[Change], sentence: str) -> None:
    assert said(changes=changes).champion == sentence


def test_where_nobody_watched_it_says_how_to() -> None:
    nothing = said()
    assert (nothing.tone, nothing.headline) == ("unknown", "No picture without a label has been shown to a champion yet")
    assert nothing.remedy == "Put some into `unlabelled/` beside the landing zone, then `make score`."
    older = said(asked=Asked(1_200, None, 3))
    assert older.headline == "Nobody has watched yet whether new pictures look as in training"
    assert older.pictures == "1,200 pictures without a label have been shown to a champion."


def test_a_new_champion_has_not_been_asked() -> None:
    given = said(record(1, [window(0.4)], day=2, champion=1), changes=(FIRST, SECOND))
    headline = "Version 2 has not been shown any picture without a label since it became the champion"
    assert (given.tone, given.headline) == ("unknown", headline)
    assert given.pictures == "The last ones, of 2026-08-22 06:00:00 UTC, were shown to version 1."
    assert given.remedy == "`make score` asks it."


def test_a_version_that_was_put_back_is_not_said_to_have_seen_no_picture_ever() -> None:
    shown = record(1, [window(0.4)], day=2, champion=1), record(2, [window(0.4)], day=6, champion=2)
    given = said(*shown, changes=(FIRST, SECOND, BACK))
    assert given.headline == "Version 1 has not been shown any picture without a label since it became the champion"


def test_what_could_not_be_judged_is_told_with_its_reason() -> None:
    given = said(record(1, [window(0.4)]), record(2, why="version 1 has no profile: an earlier release made it"))
    assert (given.tone, given.headline) == ("unknown", "Whether the last pictures look as in training cannot be said")
    assert given.pictures == "Version 1 has no profile: an earlier release made it."


def test_pictures_that_wait_for_a_window_are_counted() -> None:
    given = said(record(1, n_waiting=60), record(2, n_waiting=90))
    assert (given.tone, given.headline) == ("unknown", "Too few pictures to say whether they look as in training")
    assert given.pictures == "90 pictures wait for their window to be full."


def test_calm_windows_say_that_the_pictures_look_as_in_training() -> None:
    given = said(record(1, [window(0.4, day=1), window(0.5, day=1)]), record(2, [window(0.3, day=3)]), record(3, day=4))
    assert (given.tone, given.headline) == ("good", "The last pictures look as in training")
    assert given.pictures == "Of the last 3 windows (600 pictures, 2026-08-21 to 2026-08-23) none alarmed."
    assert given.remedy == "Nothing needs to be done."
    assert said(record(1, [window(0.4)])).pictures == "The only window so far (200 pictures, 2026-08-20) did not alarm."


def test_only_windows_of_this_champion_and_at_most_ten_of_them_are_counted() -> None:
    before = record(1, [window(5.0)] * 3, champion=1)
    ten = record(2, [window(1.1, day=1), *[window(0.4, day=2)] * 10], champion=2)
    one = said(before, record(2, [window(0.4, day=1)], champion=2), changes=(FIRST, SECOND))
    assert one.pictures == "The only window so far (200 pictures, 2026-08-21) did not alarm."
    given = said(before, ten, changes=(FIRST, SECOND))
    assert given.pictures == "Of the last 10 windows (2,000 pictures, 2026-08-22) none alarmed."


def test_an_alarm_that_is_past_is_told_beside_how_often_chance_makes_one() -> None:
    given = said(record(1, [window(1.1, day=1), window(0.4, day=2), window(0.4, day=3)], rate=0.05))
    assert given.tone == "good"
    assert given.pictures == "Of the last 3 windows (600 pictures, 2026-08-21 to 2026-08-23) 1 alarmed; of usual ones 5 in 100 do."


def test_one_alarm_at_the_end_is_no_drift_yet() -> None:
    given = said(record(1, [window(0.4, day=1), window(1.25, day=2)]))
    assert (given.tone, given.headline) == ("watch", "The last pictures look unusual, which may be chance")
    assert given.pictures == (
        "The last window alarmed: blurrier than in training: mean blur 1.25, training 0.41 ± 0.06. "
        "Of the last 2 windows (400 pictures, 2026-08-21 to 2026-08-22) 1 alarmed; of usual ones 5 in 100 do."
    )
    assert given.remedy == "One alarm alone is no drift: the next windows decide."


def test_drift_says_since_when_what_changed_and_what_to_do() -> None:
    windows = [window(1.3, day=1, phase="calm"), window(1.6, day=2, phase="drift", began=True), window(0.9, day=3, phase="drift")]
    given = said(record(1, windows))
    assert (given.tone, given.headline) == ("bad", "Drift: the last pictures do not look as in training")
    assert given.pictures == (
        "Since 2026-08-22 06:00:00 UTC the pictures themselves have changed: "
        "blurrier than in training: mean blur 1.60, training 0.41 ± 0.06."
    )
    assert given.remedy.startswith("`make queue` picks the pictures that are most worth a label")


@pytest.mark.parametrize(
    ("kind", "told", "remedy"),
    [
        ("mix", "the labels come in other shares than in training: another mix.", "Each label still looks as it did"),
        ("rejects", "too many pictures cannot be read: another mix.", "`scored.csv` of the run says"),
    ],
)
def test_each_kind_of_drift_has_its_words_and_its_remedy(kind: str, told: str, remedy: str) -> None:
    drifting = window(1.3, phase="drift", began=True, kind=kind, scores={kind: 1.3}, symptoms=["another mix"])
    given = said(record(1, [drifting]))
    assert given.pictures == f"Since 2026-08-20 06:00:00 UTC {told}"
    assert given.remedy.startswith(remedy)


def test_of_many_symptoms_two_are_named_and_the_others_counted() -> None:
    scores = {"blur": 2.0, "words": 1.8, "cast": 1.5, "confidence": 1.1}
    given = said(record(1, [window(2.0, phase="drift", began=True, scores=scores, symptoms=["a", "b", "c", "d"])]))
    assert given.pictures.endswith("the pictures themselves have changed: a; b; and 2 more symptoms.")


def test_a_hold_is_told_with_its_remedy() -> None:
    hold = Hold(6, 1, "person (ann)", START)
    given = said(record(1, [window(0.4)]), holds=[(hold, None)])
    assert given.remedy == "Nothing needs to be done. Automatic promotion is held at version 1: `make release` ends that."
    assert "held" not in said(record(1, [window(0.4)]), holds=[(hold, NOW)]).remedy


def test_the_line_is_all_of_it_as_plain_text() -> None:
    assert said(changes=()).line == "There is no champion. No version is the champion yet. make run makes the first one."
