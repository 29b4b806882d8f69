"""What the lake tells of a model over time: gathered from documents written by hand, as the jobs write them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pomona.lake import Lake
from pomona.monitoring.timeline import Asked, Judged, Taken, Timeline, gathered, moment
from tests import drawn_history as drawn
from tests.drawn_history import START

NOW = START + timedelta(days=10)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path), "fruit").open()


def test_an_empty_lake_has_an_empty_timeline(lake: Lake) -> None:
    assert gathered(lake, now=NOW) == Timeline("fruit", NOW, [], [], [], [], 0, [], None)


def test_runs_tell_their_images_and_their_scores_in_the_order_of_time_and_not_of_their_names(lake: Lake) -> None:
    drawn.put_run(lake, "a", day=5, version=2, accuracy=0.9, images=(120, 3), decision="keep")
    drawn.put_run(lake, "b", day=1, version=1, accuracy=None, images=(100, 2))
    # A run of another job, and one that has only taken its pictures in.
    lake.put_document("runs/score/outcomes/score.json", {"status": "done"})
    lake.put_document("runs/c/manifests/ingest.json", drawn.manifest("c", day=7, n_images=130, n_labels=3))
    timeline = gathered(lake, now=NOW)
    days = [timedelta(days=day) for day in (0.98, 4.98, 7)]
    assert [(taken.run, taken.n_images, taken.n_labels) for taken in timeline.taken] == [("b", 100, 2), ("a", 120, 3), ("c", 130, 3)]
    assert [abs(taken.at - START - day) < timedelta(seconds=1) for taken, day in zip(timeline.taken, days, strict=True)] == [True] * 3
    assert timeline.judged == [
        Judged(START + timedelta(days=1), "b", 1, "promote", None, None, None, 0, 0),
        Judged(START + timedelta(days=5), "a", 2, "keep", 0.9, 0.84, 0.93, 640, 16),
    ]
    assert timeline.n_gone == 0


def test_runs_whose_folders_were_tidied_away_are_counted_each_once(lake: Lake) -> None:
    for number, run in enumerate(("gone", "there", "gone", "gone too"), 1):
        lake.append("judged", number, {"run": run, "at": drawn.at(number), "state": {}, "held": False})
    lake.put_document("runs/there/summary.json", drawn.summary("there", day=2, version=1, accuracy=0.8))
    assert gathered(lake, now=NOW).n_gone == 2


def test_the_ledger_tells_changes_and_holds(lake: Lake) -> None:
    drawn.put_move(lake, None, 1, day=1)
    drawn.put_move(lake, 1, 2, day=2)
    assert (gathered(lake, now=NOW).champion, gathered(lake, now=NOW).hold) == (2, None)
    drawn.put_move(lake, 2, 1, day=3, hold=True, by="person (ann)")
    timeline = gathered(lake, now=NOW)
    assert [(change.version, change.kind) for change in timeline.changes] == [(1, "promotion"), (2, "promotion"), (1, "rollback")]
    assert timeline.champion == 1
    assert timeline.hold is not None
    assert (timeline.hold.version, timeline.hold.by, timeline.holds[0][1]) == (1, "person (ann)", None)


def test_records_of_the_watch_are_read_with_their_windows(lake: Lake) -> None:
    windows = [drawn.window(0.5, day=2), drawn.window(1.5, day=2.1, phase="drift", began=True)]
    lake.append("health", 1, drawn.record(1, windows, day=3, champion=4))
    lake.append("health", 2, drawn.record(2, day=4, champion=5, n_unknown=None, why="version 5 has no profile", n_waiting=0))
    # What lies beside the records is none of them.
    lake.put("health/health.html", b"<p>")
    lake.put("health/rows/abc.parquet", b"rows")
    first, second = gathered(lake, now=NOW).batches
    assert (first.at, first.run, first.champion, first.n_new, first.n_unknown, first.n_rejects) == (
        START + timedelta(days=3), "score-1", 4, 250, 5, 0,
    )  # fmt: skip
    assert [(window.champion, window.score, window.alarms, window.phase, window.began) for window in first.windows] == [
        (4, 0.5, False, "calm", False),
        (4, 1.5, True, "drift", True),
    ]
    assert first.windows[0].at == START + timedelta(days=2)
    assert first.windows[1].symptoms == ("blurrier than in training: mean blur 1.50, training 0.41 ± 0.06",)
    assert (second.windows, second.n_unknown, second.why) == ((), None, "version 5 has no profile")


def test_the_newest_state_of_scored_pictures_is_counted(lake: Lake) -> None:
    drawn.put_scored(lake, n_pictures=9, n_unknown=9, n_rejects=0)
    drawn.put_scored(lake, n_pictures=10, n_unknown=2, n_rejects=3)
    assert gathered(lake, now=NOW).asked == Asked(n_pictures=10, n_unknown=2, n_unanswered=3)


def test_a_run_that_is_being_removed_is_no_image_of_its_time(lake: Lake) -> None:
    lake.put_document("runs/old/removing.json", {"began": drawn.at(1)})
    assert gathered(lake, now=NOW).taken == []


def test_times_are_in_utc_whatever_their_offset() -> None:
    assert moment("2026-08-20T08:00:00+02:00") == START
    assert moment("2026-08-20T06:00:00") == START
    assert moment("2026-08-20T08:00:00+02:00").utcoffset() == timedelta(0)


def test_three_months_hold_what_the_pictures_of_the_page_are_made_of(lake: Lake) -> None:
    now = drawn.three_months(lake)
    timeline = gathered(lake, now=now)
    assert [change.version for change in timeline.changes] == [1, 3, 5, 3, 7]
    assert (timeline.champion, timeline.hold, len(timeline.judged)) == (7, None, 8)
    assert timeline.asked == Asked(2_400, 176, 12)

    assert Taken(timeline.taken[-1].at, timeline.taken[-1].run, 12_900, 11) == timeline.taken[-1]
