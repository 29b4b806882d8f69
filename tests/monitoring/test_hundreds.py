"""Documents of the watch packed a hundred to a file: nothing of them is lost, and the newest stays where it is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pomona.lake import Lake
from pomona.monitoring import hundreds, record
from tests import drawn_history as drawn


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path), "fruit").open()


def told(lake: Lake, first: int, last: int) -> None:
    for number in range(first, last + 1):
        lake.append("health", number, drawn.record(number))


def test_all_documents_are_read_in_their_order_before_they_are_packed_and_once_they_are_dropped(lake: Lake) -> None:
    assert hundreds.every(lake) == []
    told(lake, 1, 250)
    for _ in range(2):
        assert [document["run"] for document in hundreds.every(lake)] == [f"score-{number}" for number in range(1, 251)]
        hundreds.pack(lake)
    for path in (*hundreds.inside(1), *hundreds.inside(2)):
        lake.remove(path)
    assert lake.names("health") == [f"{number:06d}.json" for number in range(201, 251)]
    assert [document["number"] for document in hundreds.every(lake)] == list(range(1, 251))
    told(lake, 251, 301)
    hundreds.pack(lake)
    assert lake.names("health/hundreds") == ["000001.json", "000002.json", "000003.json"]
    assert [document["number"] for document in hundreds.every(lake)] == list(range(1, 302))


def test_the_newest_document_is_not_packed_for_the_next_one_has_its_number_from_it(lake: Lake) -> None:
    told(lake, 1, 100)
    hundreds.pack(lake)
    assert lake.names("health/hundreds") == []
    told(lake, 101, 101)
    hundreds.pack(lake)
    assert lake.names("health/hundreds") == ["000001.json"]
    assert (record.latest(lake) or {})["number"] == 101
