"""The record of scores against a listing: what a champion was asked about as it is now, and what it is still to be asked."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pomona.formats import arrow_schema
from pomona.landing import Listed
from pomona.scored import Scored, pending, said, told_before


def record(*rows: dict[str, Any]) -> Scored:
    """A state of these rows; what they do not say is that of a final answer of version 1 to a file of one byte."""
    usual = {"size": 1, "version": "v", "label": "lime", "margin": 0.5, "final": True, "champion": 1, "at": "then"}
    return Scored(1, pa.Table.from_pylist([{**usual, **row} for row in rows], arrow_schema("scored")).to_pandas())


def listed(*names: str) -> list[Listed]:
    return [Listed(name, 1, "v") for name in names]


def test_each_readable_file_was_either_told_before_or_is_pending() -> None:
    others = {"path": "by another", "champion": 2}, {"path": "not final", "final": False}, {"path": "as it was", "version": "u"}
    last = record({"path": "told"}, *others, {"path": "gone"})
    files = [*listed("told", "by another", "not final", "as it was", "new"), Listed("away", 0, "", "a link that leads nowhere")]
    assert told_before(last, files, 1)[["path", "margin"]].to_numpy().tolist() == [["told", 0.5]]
    assert pending(last, files, 1)["path"].tolist() == ["by another", "not final", "as it was", "new"]


def test_of_no_file_nothing_was_told_and_nothing_is_pending() -> None:
    for last in (record(), record({"path": "gone"})):
        assert told_before(last, [], 1).empty and pending(last, [], 1).empty
    assert pending(record(), listed("new"), 1)["path"].tolist() == ["new"]


@pytest.mark.parametrize(("probabilities", "margin"), [((1.0, 0.0, 0.0), 1.0), ((0.2, 0.5, 0.3), 0.2), ((0.4, 0.4, 0.2), 0.0)])
def test_the_margin_is_1_for_a_certain_answer_and_0_where_two_are_equally_likely(probabilities: tuple[float, ...], margin: float) -> None:
    found = said({"error": None, "probabilities": probabilities, "unknown": False, "novelty": 0.1}, ("apple", "lime", "plum"))
    likeliest = max(zip(probabilities, ("apple", "lime", "plum"), strict=True))
    assert (found["probability"], found["label"]) == likeliest
    assert found["margin"] == pytest.approx(margin)
    assert (found["unknown"], found["novelty"]) == (False, 0.1)


def test_of_what_cannot_be_read_the_reason_is_said_and_nothing_else() -> None:
    assert said({"error": "no image", "probabilities": None, "unknown": None, "novelty": None}, ("apple", "lime")) == {"reason": "no image"}
