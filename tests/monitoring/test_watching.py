"""The documents of `health` over days of new pictures: each is counted once, whatever is killed or written at the same time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pomona import scored
from pomona.care.forgotten import REASON as FORGOTTEN
from pomona.command import Drift
from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.landing import Listed
from pomona.monitoring import record
from pomona.monitoring.watching import Observed, Watching, is_drawn, profile_of, wanted, written
from pomona.outcome import File
from pomona.scored import Scored
from tests.drawn_observations import CLASSES, profile, seen
from tests.observed_rows import rejects, rows

Rows = list[dict[str, Any]]
PROFILE = profile(n_groups=30, n_each=10)
DRIFT = Drift(window=40, groups=4)
FIELDS = "number at run champion n_new n_watched n_unknown n_rejects labels windows watch n_waiting waiting rate why scored"
OF_WINDOW = "n_images n_rejects score scores kind symptoms phase began ended from to"


def pictures(n: int, *, first: int = 0, **given: Any) -> Rows:
    """Pictures of four groups or as many as fit, with numbers from `first` on."""
    return rows(seen([0, 1, 2, 0], n_each=-(-n // 4), seed=first, **given), first=first)[:n]


@dataclass
class Days:
    """A lake whose folder of unlabelled pictures grows from day to day; each day is a run of `score`."""

    lake: Lake
    champion: int = 1
    drift: Drift = DRIFT

    def state(self, run: str, present: Rows, **changed: Any) -> Scored:
        """The state of `scored` that the run saves over the files that are there."""
        last = scored.latest(self.lake)
        told = [{**self._said(row), **changed} for row in present]
        table = pa.Table.from_pylist(told, schema=arrow_schema("scored")).sort_by("path")
        counted = scored.counted(self.lake)
        saved = scored.save(self.lake, replace(last, rows=table.to_pandas()), run=run, champion=self.champion, counted=counted)
        assert saved is not None
        return saved

    def document(self, run: str, saved: Scored, observed: Sequence[dict[str, Any]], **given: Any) -> Any:
        watching = Watching(given.pop("lake", self.lake), run, self.champion, self.drift)
        reigning = given.pop("reigning", self.champion)
        return written(watching, saved, Observed(**{"rows": observed, "profile": PROFILE, "why": "", **given}), reigning=lambda: reigning)

    def day(self, run: str, present: Rows, observed: Rows | None = None, **given: Any) -> Any:
        """State and document of a run that observed these, by default all that are there."""
        return self.document(run, self.state(run, present), present if observed is None else observed, **given)

    def asked(self, present: Rows) -> dict[str, float]:
        """The files that a run would observe now, with the share of them that it draws."""
        listed = [Listed(row["path"], row["size"], row["version"]) for row in present]
        found = wanted(Watching(self.lake, "next", self.champion, self.drift), listed)
        return dict(zip(found["path"], found["share"], strict=True))

    def waiting(self) -> list[str]:
        """The paths of what waits."""
        document = record.latest(self.lake)
        assert document is not None
        return self.lake.read_rows([File(**document["waiting"])], ["path"])["path"].to_pylist() if document["waiting"] else []

    def _said(self, row: dict[str, Any]) -> dict[str, Any]:
        file = {name: row[name] for name in ("path", "size", "version", "content", "reason")}
        label = None if row["reason"] else CLASSES[int(np.argmax(row["probabilities"]))]
        return {
            **file,
            "label": label,
            "unknown": None if label is None else label == "tomato",
            "final": True,
            "champion": self.champion,
            "at": "",
        }


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(Lake(str(tmp_path), "fruit").open())


def test_a_document_has_the_fields_of_its_contract_and_is_the_one_in_the_lake(days: Days) -> None:
    found = days.day("r1", [*pictures(40), *rejects(1)])
    assert list(found) == FIELDS.split()
    assert (found["number"], found["run"], found["champion"], found["rate"], found["why"]) == (1, "r1", 1, 0.05, "")
    assert (found["n_new"], found["n_watched"], found["n_rejects"]) == (41, 41, 1)
    assert sum(found["labels"].values()) == 40 and found["n_unknown"] == found["labels"]["tomato"]
    (window,) = found["windows"]
    assert list(window) == OF_WINDOW.split()
    assert (window["n_images"], window["kind"], window["symptoms"], window["phase"], window["began"]) == (40, "none", [], "calm", False)
    assert window["score"] == max(window["scores"].values()) < 1
    assert days.lake.entry("health", 1) == json.loads(json.dumps(found))


def test_too_few_pictures_wait_and_are_judged_with_the_next_ones(days: Days) -> None:
    first = pictures(10)
    found = days.day("r1", first)
    assert (found["windows"], found["n_waiting"], found["n_watched"]) == ([], 10, 10)
    assert record.line(found) == "10 wait for a window"
    more = pictures(15, first=10)
    again = days.day("r2", [*first, *more], more)
    assert (again["n_new"], again["n_watched"], [window["n_images"] for window in again["windows"]]) == (15, 15, [25])
    assert (again["n_waiting"], again["waiting"], days.waiting()) == (0, None, [])
    assert again["windows"][0]["from"] == found["at"]


def test_what_waits_comes_last_in_an_order_drawn_by_a_hash(days: Days) -> None:
    present = pictures(50)
    found = days.day("r1", present)
    assert ([window["n_images"] for window in found["windows"]], found["n_waiting"]) == ([40], 10)
    ordered = sorted(present, key=lambda row: hashlib.sha256(f"1/{row['content']}".encode()).hexdigest())
    assert days.waiting() == [row["path"] for row in ordered[40:]]


def test_a_picture_is_new_once_and_again_only_when_its_file_has_changed(days: Days) -> None:
    present = pictures(40)
    days.day("r1", present)
    assert days.day("r2", present, [])["n_new"] == 0
    assert days.asked(present) == {}
    changed = [{**present[0], "version": "2"}, *present[1:]]
    assert days.asked(changed) == {present[0]["path"]: 1.0}
    assert days.day("r3", changed, changed[:1])["n_new"] == 1


def test_forgotten_files_and_those_that_could_not_be_read_this_time_are_not_counted(days: Days) -> None:
    saved = days.state("r1", pictures(2))
    rows_now = saved.rows.assign(reason=[FORGOTTEN, "vanished before it was read"], final=[True, False], label=None)
    assert days.document("r1", replace(saved, rows=rows_now), [])["n_new"] == 0


def test_darker_pictures_begin_an_episode_with_the_second_window_and_it_is_told_in_words(days: Days) -> None:
    dark = pictures(80, brightness=0.2)
    found = days.day("r1", dark)
    assert [(window["kind"], window["phase"], window["began"]) for window in found["windows"]] == [
        ("inputs", "calm", False),
        ("inputs", "drift", True),
    ]
    assert found["watch"]["phase"] == "drift"
    assert record.line(found).startswith("drift began: darker than in training: mean brightness 0.")
    assert record.words(found).startswith("drift began with 40 pictures, ")
    assert "the pictures themselves have changed (darker than in training" in record.words(found)
    later = days.day("r2", [*dark, *pictures(40, first=80, brightness=0.2)], pictures(40, first=80, brightness=0.2))
    assert (record.began(later), record.line(later), record.words(later)) == ([], "drift goes on", "")


def test_the_end_of_an_episode_is_told_and_alarms_in_the_pause_are_called_what_they_are(days: Days) -> None:
    dark, usual, dark_again = pictures(80, brightness=0.2), pictures(120, first=80), pictures(40, first=200, brightness=0.2)
    began = days.day("r1", dark)
    ended = days.day("r2", [*dark, *usual], usual)
    assert [began["watch"]["phase"], ended["watch"]["phase"]] == ["drift", "pause"]
    assert [window["ended"] for window in ended["windows"]] == [False, False, True]
    assert record.line(ended) == "drift has ended"
    assert record.line(days.day("r3", [*dark, *usual, *dark_again], dark_again)).startswith(
        "1 of 1 windows alarms, soon after drift: darker"
    )


def test_an_episode_that_began_and_ended_among_the_pictures_of_one_run_is_told_as_both() -> None:
    windows = [{"began": True, "score": 2.0, "symptoms": ["darker"]}, {"began": False, "ended": True, "score": 0.1, "symptoms": []}]
    assert (
        record.line({"why": "", "n_waiting": 0, "windows": windows, "watch": {"phase": "pause"}})
        == "drift began: darker; it has ended since"
    )


def test_an_alarm_is_remembered_from_one_run_to_the_next(days: Days) -> None:
    dark = pictures(80, brightness=0.2)
    first = days.day("r1", dark[:40])
    assert not record.began(first)
    assert record.line(first).startswith("1 of 1 windows alarms, no drift yet: darker than in training")
    assert len(record.began(days.day("r2", dark, dark[40:]))) == 1


def test_pictures_of_a_run_that_was_killed_before_its_document_are_asked_about_again_and_counted_once(days: Days) -> None:
    present = pictures(10)
    days.state("killed", present)
    assert scored.counted(days.lake) == 0 < scored.latest(days.lake).number
    assert days.asked(present) == {row["path"]: 1.0 for row in present}
    found = days.document("killed", scored.latest(days.lake), present)
    assert (found["n_new"], found["n_waiting"]) == (10, 10)
    more = pictures(4, first=10)
    days.state("killed too", [*present, *more])
    assert set(days.asked([*present, *more])) == {row["path"] for row in more}
    last = pictures(6, first=14)
    found = days.day("r3", [*present, *more, *last], [*more, *last])
    assert (found["n_new"], found["n_watched"], [window["n_images"] for window in found["windows"]]) == (10, 10, [20])
    assert scored.counted(days.lake) == scored.latest(days.lake).number


def test_pictures_that_an_earlier_release_has_scored_are_new_no_more(days: Days) -> None:
    present = pictures(10)
    days.state("older", present)
    entry = days.lake.entry("scored", 1) or {}
    days.lake.put_document("scored/000001.json", {name: value for name, value in entry.items() if name != "counted"})
    assert days.asked(present) == {}
    assert days.day("r1", [*present, *pictures(3, first=10)], pictures(3, first=10))["n_new"] == 3


class Overtaken(Lake):
    """A lake where another writer takes the number that this one is about to take, once."""

    def append(self, name: str, number: int, document: Any) -> bool:
        rivals: list[Any] = self.__dict__["rivals"]
        if name == record.RECORD and rivals:
            rivals.pop()()
        return super().append(name, number, document)


def test_of_two_writers_each_picture_is_counted_by_one(days: Days) -> None:
    mine, both = pictures(10), pictures(14)
    first = days.state("mine", mine)
    second = days.state("theirs", both)
    lake = Overtaken(days.lake.root, days.lake.name)
    lake.__dict__["rivals"] = [lambda: days.document("theirs", second, both)]
    found = days.document("mine", first, mine, lake=lake)
    theirs = days.lake.entry("health", 1) or {}
    assert (theirs["run"], theirs["n_new"], theirs["n_waiting"]) == ("theirs", 14, 14)
    assert (found["number"], found["n_new"], found["n_waiting"], found["scored"]) == (2, 0, 14, 2)


def test_a_new_champion_begins_a_new_watch_and_observes_what_waits_anew(days: Days) -> None:
    dark = pictures(90, brightness=0.2)
    assert days.day("r1", dark)["watch"]["phase"] == "drift"
    waiting = days.waiting()
    assert len(waiting) == 10
    days.champion = 2
    assert days.asked(dark) == dict.fromkeys(waiting, 1.0)
    gone = waiting[0]
    found = days.day("r2", dark, [row for row in dark if row["path"] in waiting and row["path"] != gone])
    assert (found["watch"]["phase"], found["n_new"], found["n_waiting"]) == ("calm", 0, 9)
    assert gone not in days.waiting()
    file = days.lake.read_rows([File(**found["waiting"])]).to_pylist()
    assert {row["champion"] for row in file} == {2}
    assert {row["at"] for row in file} == {days.lake.entry("health", 1)["at"]}  # type: ignore[index]


def test_who_is_champion_no_more_writes_nothing_behind_the_champion_and_its_pictures_are_counted_by_the_next(days: Days) -> None:
    dark, late = pictures(90, brightness=0.2), pictures(4, first=90, brightness=0.2)
    days.champion = 2
    before = days.day("r1", dark)
    assert (before["watch"]["phase"], before["n_waiting"]) == ("drift", 10)
    days.champion = 1
    assert days.document("overtaken", days.state("overtaken", [*dark, *late]), [*dark, *late], reigning=2) is None
    assert record.latest(days.lake) == json.loads(json.dumps(before))
    days.champion = 2
    assert set(days.asked([*dark, *late])) == {row["path"] for row in late}
    found = days.day("r2", [*dark, *late], late)
    assert (found["n_new"], found["n_waiting"], found["watch"]["phase"]) == (4, 14, "drift")


def test_after_a_rollback_the_version_before_watches_again(days: Days) -> None:
    days.champion = 2
    days.day("r1", pictures(10))
    days.champion = 1
    assert days.day("r2", pictures(14), pictures(14))["champion"] == 1


def test_no_more_than_twenty_windows_are_watched_and_how_many_pictures_is_told(days: Days) -> None:
    days.drift = Drift(window=4, groups=4)
    present = pictures(120)
    shares = days.asked(present)
    (share,) = set(shares.values())
    # Of 120 files 80 and four deviations more.
    assert share == pytest.approx((80 + 4 * 80**0.5) / 120)
    drawn = [row for row in present if is_drawn(row["content"], share)]
    found = days.day("r1", present, drawn)
    assert (found["n_new"], found["n_watched"], len(found["windows"]), found["n_waiting"]) == (120, 80, 20, 0)


def test_a_feed_of_nothing_readable_is_drift_and_no_window_grows_for_ever(days: Days) -> None:
    found = days.day("r1", rejects(100))
    assert {window["kind"] for window in found["windows"]} == {"rejects"}
    assert len(record.began(found)) == 1
    assert (found["labels"], found["n_unknown"], found["n_rejects"]) == ({}, 0, 100)


def test_why_nothing_can_be_judged_is_told_and_what_waits_goes_on_waiting(days: Days) -> None:
    days.day("r1", pictures(10))
    found = days.day("r2", pictures(20), [], profile=None, why="version 1 has no profile")
    assert (found["n_new"], found["n_watched"], found["windows"], found["n_waiting"]) == (10, 0, [], 10)
    assert record.line(found) == "not watched for drift: version 1 has no profile"
    days.drift = Drift(window=0)
    assert days.asked(pictures(30)) == {}
    found = days.day("r3", pictures(30), [], profile=None, why=None)
    assert found["why"] == "switched off (POMONA_DRIFT_WINDOW is 0)"
    days.drift = DRIFT
    # Nothing was to be asked: why it cannot be judged is what was last said of this champion, but for the switch.
    assert days.day("r4", pictures(29), [], profile=None, why=None)["why"] == ""


def test_a_profile_is_none_where_an_earlier_release_or_no_fold_made_it_or_groups_are_too_few() -> None:
    arrays = {**PROFILE.arrays(), "held_out": np.ones(len(PROFILE.labels), bool)}
    assert profile_of(None, 3) == (None, "version 3 has no profile of its training images, for an earlier release registered it")
    found, why = profile_of(arrays, 3)
    assert found is not None and why == "" and found.classes == CLASSES
    nobody = {**arrays, "held_out": np.zeros(len(PROFILE.labels), bool)}
    assert profile_of(nobody, 3)[1].startswith("no image was held out of the training of version 3")
    few = profile(n_groups=3)
    told = profile_of({**few.arrays(), "held_out": np.ones(len(few.labels), bool)}, 3)
    assert told == (None, "version 3 cannot tell: its training images come from 3 groups, and what is usual shows from 4 on")


def test_the_runs_own_document_is_found_among_the_newest(days: Days) -> None:
    assert record.of_run(days.lake, "r1") is None
    for number in range(1, 6):
        days.day(f"r{number}", pictures(number), [])
    assert [run for run in ("r1", "r2", "r3", "r4", "r5") if record.of_run(days.lake, run)] == ["r3", "r4", "r5"]
    assert (record.numbered(days.lake, 2) or {})["run"] == "r2"
    assert record.numbered(days.lake, None) is record.numbered(days.lake, 9) is None
