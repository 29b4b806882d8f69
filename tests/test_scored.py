"""The record of scores against a listing: what a champion was asked about as it is now, and what it is still to be asked."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pomona.formats import arrow_schema
from pomona.landing import Listed
from pomona.scored import Scored, pending, told_before


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
