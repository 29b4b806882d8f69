"""The lake: whole files or none, records that one writer wins, manifests that name what exists."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pomona.datasets import DATASETS
from pomona.formats import arrow_schema, npz
from pomona.lake import Lake
from pomona.outcome import BadInput

ENCODER = {"mean": np.zeros(3), "components": np.ones((2, 3))}


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path), "n").open()


def test_an_unknown_format_is_refused_with_the_remedy(tmp_path):
    lake = Lake(str(tmp_path), "n")
    lake.put_document("format.json", {"format": 99})
    with pytest.raises(BadInput, match=r"has format 99, this release reads 1: .*POMONA_LAKE"):
        lake.open()


def test_of_many_writers_of_a_number_exactly_one_wins_and_its_text_is_whole(lake):
    won = []

    def write(n):
        if lake.append("record", 1, {"writer": n, "text": "x" * 100_000}):
            won.append(n)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert lake.entry("record", 1) == {"writer": won[0], "text": "x" * 100_000}
    assert lake.names("record") == ["000001.json"]


def test_records_are_read_in_their_order(lake):
    for number in (2, 1, 10):
        assert lake.append("record", number, {"n": number})
    assert [entry["n"] for entry in lake.entries("record")] == [1, 2, 10]
    assert lake.last_number("record") == 10
    assert lake.last_number("nothing") == 0


def test_a_part_is_named_by_its_bytes_and_equal_rows_are_one_part(lake):
    table = pa.Table.from_pylist(
        [{"path": "a", "size": 1, "version": "v", "reason": "r", "final": True, "first_seen": "t"}], arrow_schema("rejects")
    )
    first, second = (lake.write_rows("parts/x", "rejects", table) for _ in range(2))
    assert first == second
    assert first.name == f"{first.sha256}.parquet"
    assert lake.read_rows([first]).equals(table)


def test_columns_that_the_contract_does_not_declare_are_refused(lake):
    with pytest.raises(ValueError, match="declared are"):
        lake.write_rows("x", "rejects", pa.table({"path": ["a"]}))
    with pytest.raises(ValueError, match="lacks"):
        lake.write_arrays("x", "encoder", {"mean": np.zeros(2)})
    with pytest.raises(ValueError, match="lacks"):
        lake.write_document("x", "verdict", {"decision": "keep"})


def test_equal_arrays_are_equal_bytes_and_pickles_are_refused(lake):
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.array(["x", "é"])}
    assert npz(arrays) == npz(dict(reversed(arrays.items())))
    assert npz(arrays) != npz({**arrays, "b": arrays["b"] + 1e-12})
    with pytest.raises(ValueError, match="allow_pickle"):
        npz({"o": np.array([object()])})
    file = lake.write_arrays("x", "encoder", ENCODER)
    assert lake.read_arrays(file)["components"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_what_has_no_manifest_does_not_exist(lake):
    file = lake.write_document("runs/r/registration", "registration", {"version": 1, "alias_moved": True})
    with pytest.raises(BadInput, match="run r has no registration yet: run its stage register first"):
        lake.files("r", "registration")
    lake.write_manifest("r", "register", {"registration": [file]})
    assert lake.files("r", "registration") == [file]
    lake.forget_manifest("r", "register")
    with pytest.raises(BadInput):
        lake.files("r", "registration")


def test_a_manifest_must_name_what_its_stage_declares(lake):
    with pytest.raises(ValueError, match="declared are"):
        lake.write_manifest("r", "train", {"model": []})


def test_every_dataset_of_rows_has_an_arrow_schema():
    for name, dataset in DATASETS.items():
        if dataset.kind == "rows":
            assert arrow_schema(name).names == [column.name for column in dataset.columns]


def test_a_failed_write_leaves_nothing_behind(lake, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        lake.put("folder/file", b"data")
    monkeypatch.undo()
    assert not lake.exists("folder/file")
    assert lake.names("folder") == []


def test_who_may_read_a_file_is_said_by_the_umask(lake, tmp_path):
    before = os.umask(0o002)
    try:
        lake.put("f/put", b"1")
        lake.create("f/created", b"1")
        lake.write_stream("f", "streamed", lambda file: file.write(b"1"))
    finally:
        os.umask(before)
    assert {oct((tmp_path / "n" / "f" / name).stat().st_mode & 0o777) for name in ("put", "created", "streamed")} == {"0o664"}


def test_a_file_written_in_pieces_is_the_same_as_one_written_whole_and_a_broken_one_is_not_there(tmp_path):
    lake = Lake(str(tmp_path), "n").open()

    def pieces(file):
        for piece in (b"one", b"", b"two"):
            file.write(piece)
        return 2

    assert lake.write_stream("f", "streamed", pieces) == replace(lake.write_file("f", "whole", b"onetwo", rows=2), path="f/streamed")
    assert lake.get("f/streamed") == b"onetwo"

    def broken(file):
        file.write(b"one")
        raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        lake.write_stream("f", "streamed", broken)
    assert lake.get("f/streamed") == b"onetwo"
    assert sorted(path.name for path in (tmp_path / "n" / "f").iterdir()) == ["streamed", "whole"]


def test_what_lies_below_a_folder_is_told_with_size_and_time_and_a_killed_writers_half_file_too(lake, tmp_path):
    lake.put("f/b/two", b"22")
    lake.put("f/one", b"1")
    (tmp_path / "n" / "f" / ".writing-x").write_bytes(b"half")
    found = lake.below("f")
    assert [(file.path, file.bytes) for file in found] == [("f/.writing-x", 4), ("f/b/two", 2), ("f/one", 1)]
    assert all(abs(file.written - (tmp_path / "n" / file.path).stat().st_mtime) < 1e-3 for file in found)
    assert lake.below("g") == []
