"""What the ledger of promotions says about a moment: hand-written ledgers, with the sentences that follow from them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pomona import reigns

DAY = "2026-11-17T"
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)


def numbered(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"number": number, "run": "", **document} for number, document in enumerate(documents, 1)]


def move(start: str, end: str, before: int | None, to: int, *, number: int, result: str = "moved", **facts: Any) -> list[dict[str, Any]]:
    """Intent and outcome; `number` is the intent's own."""
    ends = {"from": before, "to": to}
    return [
        {"kind": "intent", "at": f"{DAY}{start}+00:00", **ends, "reason": "better", **facts},
        {"kind": "outcome", "at": f"{DAY}{end}+00:00", **ends, "intent": number, "result": result},
    ]


def by_hand(at: str, before: int | None, to: int | None) -> dict[str, Any]:
    return {"kind": "by_hand", "at": f"{DAY}{at}+00:00", "from": before, "to": to}


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{DAY}{text}+00:00")


FIRST = move("10:00:00", "10:00:01", None, 1, number=1, run="r1", by="schedule")
SECOND = move("12:00:00", "12:00:00", 1, 2, number=3, run="r2", by="person (ann)")
BACK = move("14:00:00", "14:00:02", 2, 1, number=5, run="back", by="person (bob)", reason="lemons taken for limes", hold=True)
LEDGER = numbered(*FIRST, *SECOND, *BACK)


@pytest.mark.parametrize(
    ("moment", "line"),
    [
        ("09:59:59", "no version of fruit served at 2026-11-17 09:59:59 UTC, until 2026-11-17 10:00:01 UTC (then version 1)"),
        (
            "10:00:01",
            "version 1 of fruit served at 2026-11-17 10:00:01 UTC: since 2026-11-17 10:00:01 UTC, until 2026-11-17 12:00:00 UTC "
            "(then version 2); promoted by run r1 of schedule: better",
        ),
        (
            "13:59:00",
            "version 2 of fruit served at 2026-11-17 13:59:00 UTC: since 2026-11-17 12:00:00 UTC, until 2026-11-17 14:00:02 UTC "
            "(then version 1); promoted by run r2 of person (ann): better",
        ),
        (
            "14:00:01",
            "at 2026-11-17 14:00:01 UTC either version 2 or version 1 of fruit served: the change came at 2026-11-17 14:00:02 UTC; "
            "rolled back from version 2 by run back of person (bob): lemons taken for limes",
        ),
        (
            "20:00:00",
            "version 1 of fruit served at 2026-11-17 20:00:00 UTC: since 2026-11-17 14:00:02 UTC, and still does; "
            "rolled back from version 2 by run back of person (bob): lemons taken for limes",
        ),
    ],
)
def test_a_moment_has_the_version_that_served_then_since_and_until_when_by_whom_and_why(moment: str, line: str) -> None:
    assert reigns.served("fruit", LEDGER, at(moment)) == line


def test_now_is_told_with_the_hold() -> None:
    assert reigns.served("fruit", LEDGER) == (
        "version 1 of fruit serves since 2026-11-17 14:00:02 UTC: rolled back from version 2 by run back of person (bob): lemons taken "
        "for limes; automatic promotion is held since the rollback to version 1 by person (bob) on 2026-11-17 14:00:00 UTC: release with "
        "`make release`"
    )


def test_before_the_first_champion_there_is_none() -> None:
    assert reigns.served("fruit", []) == "no version of fruit has been champion yet: `make run` makes the first"
    assert reigns.served("fruit", [], at("10:00:00")) == "no version of fruit served at 2026-11-17 10:00:00 UTC: none has been champion yet"


def test_a_move_by_hand_happened_somewhere_between_the_last_look_and_the_note() -> None:
    ledger = numbered(*FIRST, by_hand("18:00:00", 1, 4))
    assert reigns.served("fruit", ledger, at("10:00:01")).startswith("version 1 of fruit served at")
    assert reigns.served("fruit", ledger, at("15:00:00")) == (
        "at 2026-11-17 15:00:00 UTC either version 1 or version 4 of fruit served: the change came at some time between "
        "2026-11-17 10:00:01 UTC and 2026-11-17 18:00:00 UTC; the alias was moved by hand from version 1, nobody noted by whom or why"
    )
    assert reigns.served("fruit", ledger, at("18:00:00")).startswith("version 4 of fruit served at")


def test_a_first_champion_set_by_hand_may_have_served_for_ever() -> None:
    ledger = numbered(by_hand("18:00:00", None, 4))
    assert reigns.served("fruit", ledger, at("01:00:00")).startswith("at 2026-11-17 01:00:00 UTC either no version or version 4 of fruit")
    assert "since a time not known, by 2026-11-17 18:00:00 UTC at the latest" in reigns.served("fruit", ledger)


def test_an_alias_taken_away_leaves_no_champion_and_the_last_one_to_go_back_to() -> None:
    ledger = numbered(*FIRST, *SECOND, by_hand("18:00:00", 2, None))
    assert reigns.served("fruit", ledger).startswith("no version of fruit is champion since some time between 2026-11-17 12:00:00 UTC and")
    assert (reigns.champion(ledger), reigns.previous(ledger)) == (None, 2)


def test_an_abandoned_move_changes_nothing_and_proves_nothing_about_the_alias() -> None:
    abandoned = move("13:00:00", "15:00:00", 1, 2, number=3, result="abandoned")
    ledger = numbered(*FIRST, *abandoned, by_hand("15:00:01", 1, 3))
    assert [(change.version, change.kind) for change in reigns.changes(ledger)] == [(1, "promotion"), (3, "by hand")]
    # The intent saw version 1 in place, its abandonment only that version 2 was not.
    assert reigns.changes(ledger)[1].earliest == at("13:00:00")


def test_a_move_that_another_process_closed_an_hour_later_is_told_as_a_span() -> None:
    ledger = numbered(*move("10:00:00", "11:00:00", None, 1, number=1))
    assert "since some time between 2026-11-17 10:00:00 UTC and 2026-11-17 11:00:00 UTC" in reigns.served("fruit", ledger)


def test_the_way_back_leads_past_what_was_left_by_going_back() -> None:
    third = move("13:00:00", "13:00:00", 2, 3, number=5)
    once = [*FIRST, *SECOND, *third, *move("14:00:00", "14:00:00", 3, 2, number=7, hold=True)]
    assert reigns.previous(numbered(*FIRST)) is None
    assert reigns.previous(numbered(*FIRST, *SECOND, *third)) == 2
    assert reigns.previous(numbered(*once)) == 1, "not 3, which was left for being bad"
    twice = [*once, *move("15:00:00", "15:00:00", 2, 1, number=9, hold=True)]
    assert reigns.previous(numbered(*twice)) is None


def test_promotion_is_held_from_a_rollbacks_outcome_until_its_release() -> None:
    release = {"kind": "release", "at": f"{DAY}16:00:00+00:00"}
    again = {"kind": "hold", "at": f"{DAY}17:00:00+00:00", "to": 1, "by": "person (eve)", "hold": True}
    assert reigns.held(LEDGER[:-2]) is None
    assert reigns.held(LEDGER[:-1]) is None, "an intent is no rollback yet"
    assert reigns.held(numbered(*LEDGER, by_hand("15:00:00", 1, 2))) == reigns.Hold(6, 1, "person (bob)", at("14:00:00"))
    assert reigns.held(numbered(*LEDGER, release)) is None
    assert reigns.held(numbered(*LEDGER, release, again)) == reigns.Hold(8, 1, "person (eve)", at("17:00:00"))
    abandoned = move("14:00:00", "15:00:00", 2, 1, number=5, result="abandoned", hold=True)
    assert reigns.held(numbered(*FIRST, *SECOND, *abandoned)) is None


def test_every_hold_is_told_with_its_end_and_a_second_rollback_ends_the_first_ones() -> None:
    release = {"kind": "release", "at": f"{DAY}16:00:00+00:00", "hold": 6}
    further = move("15:00:00", "15:00:01", 1, 7, number=7, hold=True, by="person (eve)")
    first, second = reigns.Hold(6, 1, "person (bob)", at("14:00:00")), reigns.Hold(8, 7, "person (eve)", at("15:00:00"))
    assert reigns.holds(LEDGER) == [(first, None)]
    assert reigns.holds(numbered(*LEDGER, release)) == [(first, at("16:00:00"))]
    assert reigns.holds(numbered(*LEDGER, *further)) == [(first, at("15:00:01")), (second, None)]
    # A release without a hold ends nothing, and promotions hold nothing.
    assert reigns.holds(numbered(*FIRST, *SECOND, release)) == []


@pytest.mark.parametrize(
    ("text", "hour"), [("2026-11-17 14:00", 14), ("2026-11-17T14:00:00Z", 14), ("2026-11-17 14:00+02:00", 12), ("2026-11-17", 0)]
)
def test_a_time_is_in_utc_unless_it_has_an_offset(text: str, hour: int) -> None:
    assert reigns.moment_of(text, now=NOW) == datetime(2026, 11, 17, hour, tzinfo=UTC)


@pytest.mark.parametrize(("text", "said"), [("yesterday", "is no time: write it like AT="), ("2026-11-18 12:00:01", "is still to come")])
def test_a_wrong_time_is_named_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        reigns.moment_of(text, now=NOW)
