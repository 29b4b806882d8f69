"""A content taken out of documents, CSV records and pages leaves all else as it was."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa

from pomona.care.erasing import without_items, without_pictures, without_records, without_rows, without_texts
from pomona.formats import npz

SHA, OTHER = "a" * 64, "b" * 64


def test_rows_that_name_it_in_any_column_go_and_those_that_name_nothing_stay() -> None:
    table = pa.table({"content": [SHA, OTHER, None], "nearest": [OTHER, OTHER, OTHER], "n": [1, 2, 3]})
    assert without_rows(table, SHA)["n"].to_pylist() == [2, 3]
    assert without_rows(table, OTHER)["n"].to_pylist() == []
    assert without_rows(table, "").equals(table)


def test_items_that_name_it_go_whole_and_its_name_in_a_text_is_replaced() -> None:
    document = {
        "pairs": [{"test": SHA, "train": OTHER}, {"test": OTHER, "train": OTHER}],
        "linked": [["lemon", SHA], ["lime", OTHER]],
        "groups": {SHA: 1, OTHER: 2},
        "line": f"of {SHA}",
        "n": 2,
    }
    assert without_items(document, SHA) == {
        "pairs": [{"test": OTHER, "train": OTHER}],
        "linked": [["lime", OTHER]],
        "groups": {OTHER: 2},
        "line": "of forgotten",
        "n": 2,
    }


def test_in_arrays_a_group_of_its_name_gets_another_that_no_other_has_and_stays_a_group() -> None:
    arrays = {"blur": np.array([0.1, 0.2, 0.3]), "groups": np.array([OTHER, SHA, "Apple/r0"])}
    once = without_texts(npz(arrays), SHA)
    with np.load(io.BytesIO(without_texts(once, OTHER)), allow_pickle=False) as found:
        assert found["blur"].tolist() == [0.1, 0.2, 0.3]
        assert found["groups"].tolist() == ["forgotten 0", "forgotten 1", "Apple/r0"]
    assert without_texts(once, SHA) is once


def test_records_of_its_paths_go_and_the_others_stay_byte_by_byte() -> None:
    text = b'"image","f0"\r\n"a, ""b""\n.jpg",0.10\r\n"c.jpg",1\r\n"a",2\r\n'
    lines = text.splitlines(keepends=True)
    assert b"".join(without_records(lines, SHA, ['a, "b"\n.jpg'])) == b'"image","f0"\r\n"c.jpg",1\r\n"a",2\r\n'
    assert b"".join(without_records(lines, SHA, ["x"])) == text
    assert b"".join(without_records([f"x,{SHA}\n".encode(), b"y,z\n"], SHA, [])) == b"y,z\n"


def test_a_page_loses_every_picture_and_says_so_once() -> None:
    page = f'<body><main><img src="data:image/jpeg;base64,/9j/4AA="><p>{SHA}</p></main>'
    bare = without_pictures(page, SHA)
    assert "/9j/4AA=" not in bare and SHA not in bare
    assert bare.count("The pictures of this page were taken out") == 1
    assert without_pictures(bare, SHA) == bare
    assert without_pictures("<main>no picture</main>", SHA) == "<main>no picture</main>"
