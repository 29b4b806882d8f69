"""When arrived files call for a run: sequences of looks written by hand, each with the call that it must lead to."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from pomona import snapshots
from pomona.arrivals import DAY_S, LOST_S, Arrivals, Memory, Patience, fingerprint, remembered, waiting
from pomona.labels.annotations import files as files_of_labels
from pomona.lake import Lake
from pomona.landing import Landing, Listed
from pomona.lookout import Lookout

# 3 are enough, 10 s of rest, 100 s of patience.
PATIENCE = Patience(3, 10, 100)


def files(*names: str, size: int = 5, version: str = "v"):
    return [(f"Training/a/{name}", size, version) for name in names]


def play(looks, *, arrivals=None, runs=0, patience=PATIENCE):
    """Shows the looks (second, states) to a watcher that calls whenever a call is due; the calls as (second, number of files)."""
    arrivals, calls = Arrivals(patience) if arrivals is None else arrivals, []
    for second, states in looks:
        arrivals.see(states, second)
        if arrivals.due_s(second, runs) <= 0:
            calls.append((second, arrivals.call(second, runs).n_images))
    return calls


def steadily(states, start: int, end: int, every: int = 1):
    return [(second, states) for second in range(start, end, every)]


# ---- what waits


def test_what_the_last_snapshot_knows_and_what_can_be_no_image_does_not_wait():
    listed = [
        Listed("Training/a/new.jpg", 5, "v2"),
        Listed("Training/a/old.jpg", 5, "v1"),
        Listed("Training/a/changed.jpg", 6, "v2"),
        Listed("Training/a/labels.csv", 5, "v1"),
        Listed("Training/a/.hidden.jpg", 5, "v1"),
        Listed("Training/loose.jpg", 5, "v1"),
        Listed("beside.jpg", 5, "v1"),
        Listed("Training/a/link.jpg", 5, "v1", "a link that leads nowhere"),
    ]
    known = {("Training/a/old.jpg", 5, "v1"), ("Training/a/changed.jpg", 5, "v1")}
    assert [state[0] for state in waiting(known, listed)] == ["Training/a/new.jpg", "Training/a/changed.jpg"]


# ---- when a call is due


def test_enough_files_call_once_when_they_have_rested():
    assert play(steadily(files("1", "2", "3"), 0, 60)) == [(10, 3)]


def test_too_few_files_call_when_the_oldest_has_waited_long_enough():
    looks = steadily(files("1"), 0, 40) + steadily(files("1", "2"), 40, 160)
    assert play(looks) == [(100, 2)]


def test_each_new_file_puts_the_rest_off():
    looks = [(second, files(*map(str, range(1 + second // 6)))) for second in range(40)] + steadily(files(*"0123456"), 40, 60)
    # One every 6 s, the last at 36: never 10 s of rest before 46.
    assert play(looks) == [(46, 7)]


def test_a_stream_that_never_rests_is_called_for_when_the_oldest_has_waited_long_enough():
    looks = [(second, files(*map(str, range(1 + second // 6)))) for second in range(120)]
    assert play(looks) == [(100, 17)]


def test_a_file_that_grows_is_an_arrival_that_has_not_come_to_rest():
    looks = [(second, [*files("1", "2", "3"), *files("4", size=second)]) for second in range(30)]
    looks += steadily([*files("1", "2", "3"), *files("4", size=29)], 30, 60)
    assert play(looks) == [(39, 4)]


def test_a_file_that_changes_without_growing_has_not_come_to_rest_either():
    looks = [(second, [*files("1", "2"), *files("3", version=str(second))]) for second in range(30)]
    looks += steadily([*files("1", "2"), *files("3", version="29")], 30, 60)
    assert play(looks) == [(39, 3)]


def test_a_file_that_never_stops_growing_does_not_hold_the_others_for_ever_nor_calls_by_itself():
    growing = [(second, files("1", size=second)) for second in range(400)]
    assert play(growing) == []
    assert play([(second, [*files("2"), *states]) for second, states in growing[:150]]) == [(100, 2)]


def test_a_thousand_files_within_a_second_are_one_call():
    names = [str(number) for number in range(1000)]
    looks = [(0, files(*names[:300])), (0.4, files(*names[:650])), (0.9, files(*names)), *steadily(files(*names), 1, 60)]
    assert play(looks) == [(11, 1000)]


def test_a_file_that_is_gone_before_its_time_calls_for_nothing():
    assert play(steadily(files("1", "2", "3"), 0, 9) + steadily([], 9, 300)) == []
    # Two are left of three: too few now, and the oldest's time counts.
    assert play(steadily(files("1", "2", "3"), 0, 9) + steadily(files("2", "3"), 9, 130)) == [(100, 2)]


def test_a_renamed_file_has_come_anew():
    looks = steadily(files("1", "2", "3.part"), 0, 6) + steadily(files("1", "2", "3"), 6, 40)
    assert play(looks) == [(16, 3)]


def test_nothing_that_waits_is_never_due():
    arrivals = Arrivals(PATIENCE)
    arrivals.see([], 0)
    assert arrivals.due_s(1e9, 0) == float("inf")


def test_due_says_how_long_until_the_next_look_need_be():
    arrivals = Arrivals(PATIENCE)
    arrivals.see(files("1"), 0)
    assert arrivals.due_s(30, 0) == 70
    arrivals.see(files("1", "2", "3"), 40)
    assert arrivals.due_s(44, 0) == 6


@pytest.mark.parametrize("seed", range(5))
def test_looks_dropped_doubled_and_in_any_order_of_names_lead_to_the_same_single_call(seed):
    """A look is all that lies there: losing some, seeing some twice and another order of the listing change no call, only its moment."""
    chance = random.Random(seed)
    looks = []
    for second in range(60):
        states = files(*map(str, range(min(4, 1 + second // 3))))
        chance.shuffle(states)
        looks += [(second, states)] * chance.choice([0, 1, 1, 2])
    ((second, n_files),) = play(looks)
    assert n_files == 4
    assert 19 <= second <= 30


# ---- after a call


def test_after_a_call_nothing_is_called_for_again_until_its_run_had_time_to_come():
    three = files("1", "2", "3")
    # The call at 10; three more rest at 25, but the run of the first call has not come yet and will take them in itself.
    looks = steadily(three, 0, 15) + steadily([*three, *files("4", "5", "6")], 15, 70)
    assert play(looks) == [(10, 3)]


def test_a_call_that_no_run_followed_is_repeated_ever_more_seldom():
    seconds = [second for second, _ in play(steadily(files("1", "2", "3"), 0, 1000))]
    assert seconds == [10, 10 + LOST_S, 10 + 3 * LOST_S, 10 + 7 * LOST_S, 10 + 15 * LOST_S]


def test_files_that_a_run_left_behind_are_called_for_again_after_ever_longer_waits_of_a_day_at_most():
    arrivals, seconds = Arrivals(PATIENCE), []
    for second in range(0, 400_000, 10):
        arrivals.see(files("1", "2", "3"), second)
        # Each call got its run, and the run failed.
        runs = arrivals.memory.runs + 1
        if arrivals.due_s(second, runs) <= 0:
            arrivals.call(second, runs)
            seconds.append(second)
    assert seconds[:5] == [10, 110, 310, 710, 1510]
    assert seconds[-1] - seconds[-2] == DAY_S


def test_more_files_after_a_failed_run_call_as_any_arrival_does_and_one_more_is_not_enough():
    arrivals = Arrivals(PATIENCE)
    play(steadily(files("1", "2", "3"), 0, 12), arrivals=arrivals)
    left = files("1", "2", "3")
    # The run came and failed. One more file is one file: it waits its 100 s, and does not start a run by the others' number.
    assert play(steadily([*left, *files("4")], 60, 105), arrivals=arrivals, runs=1) == []
    assert play(steadily([*left, *files("4", "5", "6")], 105, 130), arrivals=arrivals, runs=1) == [(115, 6)]


def test_what_a_run_took_in_is_forgotten_and_the_rest_counts_anew():
    arrivals = Arrivals(PATIENCE)
    play(steadily(files("1", "2", "3"), 0, 12), arrivals=arrivals)
    assert play(steadily(files("4"), 60, 80), arrivals=arrivals, runs=1) == []
    assert play(steadily(files("4", "5", "6"), 80, 100), arrivals=arrivals, runs=1) == [(90, 3)]


def test_a_file_that_changes_after_its_call_has_come_anew():
    arrivals = Arrivals(PATIENCE)
    play(steadily(files("1", "2", "3"), 0, 12), arrivals=arrivals)
    later = files("1", "2", "3", size=9)
    assert play(steadily(later, 60, 80), arrivals=arrivals, runs=1) == [(70, 3)]


def test_one_file_that_changes_after_its_call_has_all_its_patience_before_it():
    arrivals = Arrivals(PATIENCE)
    # Called for at 100; its run failed, and somebody saves the file once more at 120.
    assert play(steadily(files("1"), 0, 110), arrivals=arrivals) == [(100, 1)]
    assert play(steadily(files("1", size=9), 120, 240), arrivals=arrivals, runs=1) == [(220, 1)]


# ---- a watcher killed and followed by another


def restarted(arrivals, *, since: float, called_at: float | None, at: float):
    """The next watcher, from what the lake's two documents say at the wall clock `at`; through JSON, as they are kept."""
    watch = {"since": since, "oldest": list(arrivals.oldest)} if arrivals.oldest else None
    memory = arrivals.memory
    called = None
    if called_at is not None:
        called = {"fingerprint": memory.fingerprint, "tries": memory.tries, "runs": memory.runs, "at": called_at}
    return Arrivals(PATIENCE, remembered(json.loads(json.dumps(watch)), json.loads(json.dumps(called)), at))


def test_a_watcher_killed_while_files_wait_does_not_begin_their_patience_anew():
    first = Arrivals(PATIENCE)
    play(steadily(files("1"), 0, 60), arrivals=first)
    # 1,000 on the wall is second 0 of the first watcher; the second one begins at 1,080 with a clock of its own.
    second = restarted(first, since=1000, called_at=None, at=1080)
    assert play(steadily(files("1"), 0, 60), arrivals=second) == [(20, 1)]


def test_a_new_watcher_has_seen_nothing_rest_yet():
    first = Arrivals(PATIENCE)
    play(steadily(files("1", "2", "3"), 0, 8), arrivals=first)
    second = restarted(first, since=1000, called_at=None, at=1500)
    assert play(steadily(files("1", "2", "3"), 0, 60), arrivals=second) == [(10, 3)]


def test_a_watcher_killed_after_its_call_does_not_call_again_for_the_same_files():
    first = Arrivals(PATIENCE)
    play(steadily(files("1", "2", "3"), 0, 12), arrivals=first)
    second = restarted(first, since=1000, called_at=1010, at=1015)
    assert play(steadily(files("1", "2", "3"), 0, 50), arrivals=second) == []
    # No run came: the call was lost with the watcher. 60 s after it, not after the new watcher's start.
    assert play(steadily(files("1", "2", "3"), 50, 70), arrivals=second) == [(55, 3)]


def test_images_that_come_while_nobody_watches_are_called_for_by_the_next_watcher():
    first = Arrivals(PATIENCE)
    play(steadily(files("1", "2", "3"), 0, 12), arrivals=first)
    second = restarted(first, since=1000, called_at=1010, at=1100)
    assert play(steadily(files("1", "2", "3", "4", "5"), 0, 60), arrivals=second, runs=1) == [(10, 5)]


@pytest.mark.parametrize("skew_s", [-7200.0, 7200.0])
def test_another_machines_clock_moves_a_call_by_one_patience_at_most_and_loses_nothing(skew_s):
    first = Arrivals(PATIENCE)
    play(steadily(files("1"), 0, 30), arrivals=first)
    second = restarted(first, since=1000, called_at=None, at=1030 + skew_s)
    ((second_called, n_files),) = play(steadily(files("1"), 0, 110 if skew_s < 0 else 60), arrivals=second)
    assert n_files == 1
    # At the earliest when it has rested, at the latest after one patience of its own.
    assert second_called == (10 if skew_s > 0 else 100)


def test_documents_that_are_missing_or_empty_are_the_memory_of_a_first_watcher():
    assert remembered(None, None, 5.0) == remembered({}, {}, 5.0) == Memory()


def test_the_mark_of_a_set_is_the_same_in_any_order_and_another_for_any_change():
    one = files("1", "2")
    assert fingerprint(one) == fingerprint(reversed(one))
    assert len({fingerprint(states) for states in (one, files("1"), files("1", "2", size=6), files("1", "2", version="w"))}) == 4


def test_a_call_says_in_words_how_many_arrived_and_how_long_the_oldest_waited():
    arrivals = Arrivals(PATIENCE)
    arrivals.see(files("1"), 0)
    assert arrivals.call(100.4, 0).text == "arrival of 1 image, the oldest waited 100 s"
    arrivals.see(files(*map(str, range(1200))), 200)
    assert arrivals.call(261, 0).text == "arrival of 1,200 images, the oldest waited 261 s"
    anna, ben = ((f"../labels/{name}.csv", 5, "v") for name in ("anna", "ben"))
    arrivals.see([anna], 300)
    assert arrivals.call(361, 0).text == "arrival of 1 file of labels, the oldest waited 61 s"
    arrivals.see([*files("1"), ben, anna], 400)
    assert arrivals.call(400, 0).text == "arrival of 1 image and 2 files of labels, the oldest waited 100 s"


def test_a_csv_with_labels_waits_until_an_ingest_has_seen_it(tmp_path):
    landing, labels = tmp_path / "landing", tmp_path / "labels"
    landing.mkdir()
    lake = Lake(str(tmp_path / "lake"), "fruit").open()
    at = [0.0]
    watch = Lookout(Landing(str(landing)), lake, Patience(20, 5, 60), Landing(str(labels)), clock=lambda: at[0])
    assert watch.look() == 0
    labels.mkdir()
    (labels / "anna.csv").write_text("content,label\n")
    (labels / "notes.txt").write_text("no labels")
    assert (watch.look(), watch.due_s(0)) == (1, 60)
    listed = files_of_labels(Landing(str(labels)))
    snapshot = replace(snapshots.latest(lake), labels=tuple((file.path, file.size, file.version) for file in listed))
    assert snapshots.save(lake, snapshot)
    assert snapshots.latest(lake).labels == snapshot.labels
    assert watch.look() == 0
    (labels / "anna.csv").write_text("content,label\nmore\n")
    assert watch.look() == 1
