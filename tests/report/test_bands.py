"""Where the marks of the monitoring page's charts stand: places worked out by hand on scales of round numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pomona.lake import Lake
from pomona.monitoring.panel import STATISTICS
from pomona.monitoring.timeline import Judged, Taken, Timeline, batch, gathered
from pomona.reigns import Change, Hold
from pomona.report.bands import Chart, brief, nice, timeline_chart
from pomona.report.multiples import height_of, highest, statistics
from pomona.report.shapes import Band, Box, dots, hatching, steps, triangles
from tests import drawn_history as drawn
from tests.drawn_history import START, record, window

NOW = START + timedelta(days=60)


def chart(**facts: Any) -> Chart:
    """From 40 to 142: the axis begins a day before the first of 60 days, so that day d stands at 40 + (d + 1) × 102 / 61."""
    found = timeline_chart(Timeline("fruit", NOW, **facts), width=150, gutter=40)
    assert found is not None
    return found


def band(name: str, **facts: Any) -> Band:
    return next(each for each in chart(**facts).bands if each.name == name)


def place(day: float) -> float:
    return round(40 + (day + 1) * 102 / 61, 1)


def changed(version: int | None, day: float, kind: Any = "promotion", before: int | None = None) -> Change:
    moment = START + timedelta(days=day)
    return Change(version, before, moment, moment, kind, "r1", "schedule", "better")


def taken(day: float, n_images: int, n_labels: int) -> Taken:
    return Taken(START + timedelta(days=day), "run", n_images, n_labels)


def judged(day: float, version: int, accuracy: float | None, *bounds: float) -> Judged:
    low, high = bounds or (None, None)
    return Judged(START + timedelta(days=day), f"run {version}", version, "keep", accuracy, low, high, 100, 9)


def batches(*windows: tuple[float, float], **facts: Any) -> list[Any]:
    """A batch with one window for each (day, score)."""
    return [batch(record(number, [window(score, day=day)], day=day, **facts)) for number, (day, score) in enumerate(windows, 1)]


def kinds(shapes: Sequence[Any]) -> list[str]:
    return [shape.kind for shape in shapes]


def test_without_an_event_there_is_no_chart() -> None:
    assert timeline_chart(Timeline("fruit", NOW), width=150, gutter=40) is None


def test_a_reign_is_a_bar_from_its_change_to_the_next_and_the_last_one_ends_now() -> None:
    found = band("Champion", changes=[changed(1, 0), changed(2, 30, before=1), changed(1, 45, "rollback", before=2)])
    assert [(box.kind, box.x, round(box.x + box.width, 1)) for box in found.boxes] == [
        ("reign0", place(0), place(30)),
        ("reign1", place(30), place(45)),
        ("reigning", place(45), 142.0),
    ]
    assert kinds(found.strokes) == ["promotion", "promotion", "rollback"]
    assert [(word.kind, word.text) for word in found.words] == [("of-reign0", "1"), ("of-reign1", "2"), ("of-reigning", "1")]
    assert found.boxes[1].title == "version 2, from 2026-09-19 until 2026-10-04: promoted by run r1 of schedule: better"


def test_times_without_a_champion_and_moves_by_hand_have_marks_of_their_own() -> None:
    found = band("Champion", changes=[changed(1, 0), changed(None, 30, "by hand", before=1)])
    assert (kinds(found.boxes), kinds(found.strokes)) == (["reign0", "nobody"], ["promotion", "by-hand"])


def test_a_hold_is_hatched_from_the_rollback_to_its_release_or_until_now() -> None:
    hold = Hold(6, 1, "ann", START + timedelta(days=20))
    released = band("Champion", changes=[changed(1, 0)], holds=[(hold, START + timedelta(days=40))])
    (box,) = [each for each in released.boxes if each.kind == "hold"]
    assert (box.x, round(box.x + box.width, 1)) == (place(20), place(40))
    assert "hatch" in kinds(released.strokes)
    lasting = band("Champion", changes=[changed(1, 0)], holds=[(hold, None)])
    assert [round(each.x + each.width, 1) for each in lasting.boxes if each.kind == "hold"] == [142.0]


def test_changes_of_the_champion_run_through_all_bands() -> None:
    found = chart(changes=[changed(1, 0), changed(2, 30)])
    line = next(each for each in found.lines if each.kind == "change")
    assert line.path == f"M{place(0)} {found.bands[0].bottom:g}V{found.floor:g}M{place(30)} {found.bands[0].bottom:g}V{found.floor:g}"
    assert all(above.bottom < below.y for above, below in pairwise(found.bands))


def test_images_are_steps_under_a_row_of_their_labels() -> None:
    found = band("Images and labels", taken=[taken(0, 100, 3), taken(20, 200, 3), taken(40, 150, 4)])
    area = next(each for each in found.strokes if each.kind == "area")
    bottom, top = found.bottom, found.bottom - 48
    assert area.path == f"M{place(0)} {bottom:g}H{place(0)}V{bottom - 24:g}H{place(20)}V{top:g}H{place(40)}V{bottom - 36:g}H142V{bottom:g}z"
    assert [(box.x, round(box.x + box.width + 1, 1)) for box in found.boxes] == [(place(0), place(40)), (place(40), 142.0)]
    assert [word.text for word in found.words] == ["0", "200", "3 labels", "4"]


def test_scores_have_a_dot_or_a_cross_with_their_interval_and_no_mark_where_there_is_none() -> None:
    runs = [judged(0, 1, 0.9, 0.8, 1.0), judged(20, 2, 0.8), judged(30, 3, None)]
    found = band("Test accuracy", changes=[changed(1, 0)], judged=runs)
    bottom, top = found.bottom, found.bottom - 76
    middle = (bottom + top) / 2
    # The scale begins at 80 %, the lowest bound.
    assert [word.text for word in found.words if word.kind == "tick"] == ["80 %", "90 %", "100 %"]
    assert [(each.kind, each.path) for each in found.strokes[1:]] == [
        ("interval", f"M{place(0)} {bottom:g}V{top:g}"),
        ("promoted", f"M{place(0)} {middle:g}h0"),
        ("kept", f"M{place(20) - 3.5:g} {bottom - 3.5:g}l7 7m0-7l-7 7"),
    ]
    assert found.strokes[2].title == "version 1, promoted, 2026-08-20: 90.0\u00a0%, 95 %: 80.0\u00a0% to 100.0\u00a0%"


def test_multiples_stand_on_powers_of_two_and_are_clipped_at_both_ends() -> None:
    scale = {"top": 0.0, "bottom": 100.0, "high": 4.0}
    assert [height_of(score, **scale) for score in (0.25, 0.5, 1, 2, 4)] == [100, 75, 50, 25, 0]
    assert [height_of(score, **scale) for score in (0, 0.01, 400)] == [100, 100, 0]
    assert [highest(scores) for scores in ([], [0.2], [4.0], [4.1], [1e9])] == [4, 4, 4, 8, 32]


def test_windows_that_alarm_are_triangles_and_others_dots() -> None:
    found = band("Drift", batches=batches((10, 0.5), (20, 1.0), (30, 2.0)))
    marks = {each.kind: each.path for each in found.strokes}
    bottom, top = found.bottom, found.bottom - 104
    middle = (bottom + top) / 2
    assert marks["threshold"] == f"M40 {middle:g}H142"
    # The first of the windows is the first event, and stands 1/61 of its 50 days behind the border.
    days = {day: round(40 + (day - 10 + 50 / 60) * 102 / (50 + 50 / 60), 1) for day in (10, 20, 30)}
    assert marks["calm"] == f"M{days[10]:g} {bottom - 26:g}h0"
    assert marks["alarm"] == triangles([(days[20], middle), (days[30], bottom - 78)])


def test_an_episode_is_a_hatched_box_over_its_time_with_its_name() -> None:
    windows = [window(1.5, day=day, phase=phase, began=day == 10) for day, phase in ((10, "drift"), (30, "drift"), (50, "pause"))]
    found = band("Drift", changes=[changed(1, 0)], batches=[batch(record(1, windows, day=50))])
    (box,) = found.boxes
    assert (box.kind, box.x, round(box.x + box.width, 1)) == ("episode", place(10), place(50))
    assert ("of-episode", "drift 1") in [(word.kind, word.text) for word in found.words]


def test_shares_of_unknown_and_unreadable_pictures_are_bars_and_none_is_a_dot() -> None:
    first = batch(record(1, day=0, n_new=110, n_rejects=10, n_unknown=5))
    second = batch(record(2, day=30, n_new=100, n_rejects=0, n_unknown=0))
    third = batch(record(3, day=45, n_new=0, n_rejects=0, n_unknown=None))
    unknown, rejects = (band(name, batches=[first, second, third]) for name in ("Unknown pictures", "Pictures that cannot be read"))
    # 5 of 100 readable ones on a scale to 10 %, 10 of 110 on one to 10 %.
    assert [(each.kind, each.path) for each in unknown.strokes[1:]] == [
        ("share", f"M{place(0)} {unknown.bottom:g}v-18"),
        ("no-share", f"M{place(30)} {unknown.bottom:g}h0"),
    ]
    assert rejects.strokes[1].path == f"M{place(0)} {rejects.bottom:g}v-32.7"
    assert [word.text for word in rejects.words] == ["0", "10 %"]


def test_more_windows_than_can_be_told_apart_become_the_largest_of_each_span_and_the_chart_says_so() -> None:
    many = batches(*[(day / 20, 3.0 if day == 400 else 0.5) for day in range(1_200)])
    found = chart(batches=many)
    drift = next(each for each in found.bands if each.name == "Drift")
    marks = {each.kind: each.path for each in drift.strokes}
    # 102 units hold 30 marks.
    assert (marks["calm"].count("h0"), marks["alarm"].count("z")) == (29, 1)
    assert found.notes == [
        "Of 1,200 windows the largest score of each of 30 equal spans of time is drawn.",
        "Batches of such a span are one bar.",
    ]
    assert chart(batches=many[:10]).notes == []


def test_what_is_older_than_a_year_is_left_out_and_the_chart_says_so() -> None:
    found = chart(changes=[changed(1, -800), changed(2, -600)], taken=[taken(-700, 10, 2)], batches=batches((0, 0.5)))
    assert found.notes[0].startswith("3 events before 2025-10-1")
    reigns = found.bands[0]
    assert [(box.kind, box.x, round(box.x + box.width, 1)) for box in reigns.boxes] == [("reigning", 40.0, 142.0)]
    assert reigns.strokes == []
    # The images of before are still there where the scale begins.
    assert next(each for each in found.bands[1].strokes if each.kind == "area").path.startswith("M40 ")


def test_bands_without_anything_say_so() -> None:
    found = chart(changes=[changed(1, 0)])
    assert [(each.name, each.words[0].text) for each in found.bands[1:]] == [
        ("Images and labels", "none yet"),
        ("Test accuracy", "no score yet"),
        ("Drift", "no window judged yet"),
        ("Unknown pictures", "nothing known yet"),
        ("Pictures that cannot be read", "nothing known yet"),
    ]


def test_the_words_of_the_chart_say_what_it_shows() -> None:
    windows = [window(1.5, day=10, phase="drift", began=True), window(0.2, day=12, phase="drift")]
    found = chart(
        changes=[changed(1, 0)], taken=[taken(0, 1_200, 3)], judged=[judged(0, 1, 0.9, 0.8, 1.0)], batches=[batch(record(1, windows))]
    )
    assert found.words == (
        "Champions: version 1 from 2026-08-20; images: 1,200 of 3 labels at the end; test accuracy of 1 run: 90.0\u00a0% at the end; "
        "drift: 1 of 2 windows alarmed, in 1 episode. The tables of this page have the figures."
    )


def test_each_statistic_has_a_chart_those_of_another_release_behind_the_known_ones() -> None:
    axis = chart(batches=batches((0, 0.5))).axis
    windows = batch(record(1, [window(2.0, scores={"blur": 2.0, "texture": 0.5}), window(0.5, day=1, scores={"blur": 0.5})])).windows
    found = statistics(windows, axis)
    assert [each.name for each in found] == [*STATISTICS, "texture"]
    blur = next(each for each in found if each.name == "blur")
    assert (blur.n_windows, blur.n_alarms, blur.last, blur.largest) == (2, 1, 0.5, 2.0)
    assert next(each for each in found if each.name == "mix").last is None


@pytest.mark.parametrize(
    ("number", "end"), [(0, 1), (1, 1), (7, 8), (10, 10), (11, 15), (4_100, 5_000), (12_900, 15_000), (99_999, 100_000)]
)
def test_a_scale_of_counts_ends_at_a_round_number(number: int, end: int) -> None:
    assert nice(number) == end


def test_large_counts_are_written_briefly() -> None:
    assert [brief(number) for number in (0, 5_000, 15_000, 100_000)] == ["0", "5,000", "15k", "100k"]


def test_paths_of_marks_hatching_and_steps() -> None:
    assert dots([(1, 2), (1, 2), (3.5, 4)]) == "M1 2h0M3.5 4h0"
    assert triangles([(10, 10)], 4) == "M10 6l4 8h-8z"
    assert steps([(0, 5), (10, 3)], 20, 9) == "M0 9H0V5H10V3H20V9z"
    # Lines rise to the right and end at the border of a box of 10 by 4.
    assert hatching(Box("hold", 0, 0, 10, 4), step=4) == "M0 4l4 -4M4 4l4 -4M8 4l2 -2"


def test_three_months_are_drawn_within_the_chart(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path), "fruit").open()
    found = timeline_chart(gathered(lake, now=drawn.three_months(lake)), width=1072, gutter=48)
    assert found is not None
    assert found.axis.end == datetime(2026, 11, 20, 6, tzinfo=UTC)
    boxes = [box for each in found.bands for box in each.boxes]
    assert all(box.x >= 48 and box.x + box.width <= 1064.1 and box.y + box.height <= found.floor for box in boxes)
    assert [box.kind for box in found.bands[0].boxes] == ["reign0", "reign1", "reign0", "reign1", "reigning", "hold"]
    assert [box.kind for box in found.bands[3].boxes] == ["episode", "episode"]
