"""Labels from people: every row is read, counted or named; the last word on an image wins; agreement as worked by hand."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pomona.labels.annotations import Agreement, Annotation, History, Spoiled, agreements, files, gather, joined, parse, resolved, standing
from pomona.landing import Landing
from pomona.outcome import BadInput

A, B, C = "a" * 64, "b" * 64, "c" * 64
SAVED = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
HEADER = "content,path,label,annotator,at,note\n"


def read(text: str, file: str = "anna.csv") -> History:
    return parse(file, text.encode(), modified=SAVED)


def said(content: str, label: str | None, annotator: str = "anna", at: str = "2026-05-01", file: str = "f.csv") -> Annotation:
    return Annotation(content, "", label, annotator, at, "", file, 2)


def test_a_row_says_label_annotator_time_and_note() -> None:
    found = read(f'{HEADER}{A},Training/x/1.jpg,Apple 6,anna,2026-05-01T10:00:00+02:00,"brown, soft"\n')
    assert found == History(
        (Annotation(A, "Training/x/1.jpg", "Apple 6", "anna", "2026-05-01T08:00:00.000000+00:00", "brown, soft", "anna.csv", 2),)
    )


@pytest.mark.parametrize(
    ("given", "utc"),
    [
        ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00.000000+00:00"),
        ("2026-05-01T10:00:00.25", "2026-05-01T10:00:00.250000+00:00"),
        ("2026-04-30T23:30:00-01:00", "2026-05-01T00:30:00.000000+00:00"),
        ("2026-05-01", "2026-05-01T00:00:00.000000+00:00"),
        ("", "2026-05-01T12:00:00.000000+00:00"),
    ],
)
def test_times_are_utc_of_one_length_and_the_file_s_where_none_is_given(given: str, utc: str) -> None:
    assert read(f"{HEADER}{A},,lime,anna,{given},\n").annotations[0].at == utc


def test_content_and_label_are_enough_and_further_columns_are_left_alone() -> None:
    found = read(f"probability,Label ,CONTENT\n0.7, lime ,{A.upper()}\n", "box/berta.csv").annotations
    assert [(row.content, row.label, row.annotator, row.note) for row in found] == [(A, "lime", "berta", "")]


@pytest.mark.parametrize("divider", [";", "\t"])
def test_what_a_spreadsheet_saves_is_read(divider: str) -> None:
    text = '\ufeffpath;label;note\r\nnew/1.jpg;Äpfel, rot;"two\r\nlines"\r\n;;\r\nnew/2.jpg;lime;\r\n'.replace(";", divider)
    found = read(text)
    assert [(row.path, row.label, row.line) for row in found.annotations] == [("new/1.jpg", "Äpfel, rot", 3), ("new/2.jpg", "lime", 5)]
    assert found.spoiled == ()


def test_a_question_mark_means_cannot_tell_and_a_row_that_nobody_filled_in_means_nothing() -> None:
    found = read(f"{HEADER}{A},,?,,,\n{B},,,anna,,\n{C},,,,,\n")
    assert [(row.content, row.label) for row in found.annotations] == [(A, None)]
    # A name that was filled in for all rows at once says nothing of their images.
    assert (found.n_unanswered, found.spoiled) == (2, ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("abc,,lime,anna,,", "content 'abc' is no SHA-256 (64 hexadecimal digits)"),
        (",,lime,anna,,", "neither content nor path"),
        (f"{A},,apple/red,anna,,", "label 'apple/red' cannot be a folder's name"),
        (f"{A},,..,anna,,", "label '..' cannot be a folder's name"),
        (f"{A},,lime,anna,yesterday,", "at 'yesterday' is no ISO 8601 time"),
        (f"{A},,lime,anna,0001-01-01T00:00:00+05:00,", "at '0001-01-01T00:00:00+05:00' is no ISO 8601 time"),
        (f"{A},,lime, green,anna,,", "7 fields under 6 names"),
        (f"{A},lime", "2 fields under 6 names"),
    ],
)
def test_a_spoiled_row_is_named_and_the_others_count(row: str, reason: str) -> None:
    found = read(f"{HEADER}{B},,plum,anna,,\n{row}\n{C},,plum,anna,,\n")
    assert [annotation.content for annotation in found.annotations] == [B, C]
    assert found.spoiled == (Spoiled("anna.csv", 3, reason),)


def test_columns_that_a_spreadsheet_left_out_behind_the_label_are_empty_and_a_row_cut_off_at_the_end_is_spoiled() -> None:
    found = read(f"{HEADER}{A},,lime,anna\r\n{B},,lime\r\n{C},,lim")
    assert [(row.content, row.label, row.annotator) for row in found.annotations] == [(A, "lime", "anna"), (B, "lime", "anna")]
    assert found.spoiled == (Spoiled("anna.csv", 4, "3 fields under 6 names"),)


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"\xff\xfec\x00", 0, "the file is not UTF-8: save it as CSV UTF-8"),
        (b"", 1, "the first line names nothing: it must name label, and content or path"),
        (b"name,label\nx,lime\n", 1, "the first line names name, label: it must name label, and content or path"),
        (b"path,label,label\nx,lime,plum\n", 1, "the first line names label twice"),
    ],
)
def test_a_file_that_is_no_list_of_labels_is_named_with_the_remedy(data: bytes, line: int, reason: str) -> None:
    assert parse("x.csv", data, modified=SAVED) == History(spoiled=(Spoiled("x.csv", line, reason),))


def test_a_quote_that_never_ends_spoils_the_rest_and_says_so() -> None:
    found = read(f'{HEADER}{A},,lime,anna,,\n{B},,lime,anna,,"never ends\n{C},,lime,anna,,\n')
    assert [row.content for row in found.annotations] == [A]
    assert [(row.file, row.reason.startswith("from here on no CSV: ")) for row in found.spoiled] == [("anna.csv", True)]


def test_the_last_word_on_an_image_wins_and_the_history_stays() -> None:
    early, late = (f"{HEADER}{A},,{label},anna,2026-05-0{day},\n" for label, day in (("lime", 1), ("plum", 2)))
    history = joined([read(late, "1.csv"), read(early, "2.csv")])
    assert [row.label for row in history.annotations] == ["lime", "plum"]
    assert {content: row.label for content, row in standing(history.annotations).items()} == {A: "plum"}


def test_of_equal_times_the_last_file_by_name_and_the_last_line_win() -> None:
    def label_of(*files: tuple[str, str]) -> str | None:
        history = joined(read(HEADER + "".join(f"{A},,{label},anna,2026-05-01,\n" for label in labels), file) for file, labels in files)
        return standing(history.annotations)[A].label

    assert label_of(("b.csv", "p"), ("a.csv", "q")) == "p"
    assert label_of(("a.csv", "pq")) == "q"
    # The same row in two files is one, and stands where its last copy does.
    assert label_of(("a.csv", "p"), ("b.csv", "q"), ("c.csv", "p")) == "p"


def test_what_was_saved_twice_is_one_row_of_the_history() -> None:
    once, again = (
        read(f"{HEADER}{A},,lime,anna,2026-05-01,\n{line}", f"{name}.csv") for name, line in (("x", ""), ("y", f"{B},,?,anna,,\n"))
    )
    assert [(row.content, row.file) for row in joined([once, again]).annotations] == [(A, "y.csv"), (B, "y.csv")]


def test_paths_find_their_content_and_unknown_ones_are_named() -> None:
    history = read("path,label\nnew/1.jpg,lime\nnew/2.jpg,plum\n")
    known, unknown = resolved(history, {"new/1.jpg": A})
    assert [(row.content, row.label) for row in known] == [(A, "lime")]
    assert unknown == [Spoiled("anna.csv", 3, "no image lies at 'new/2.jpg'")]


def table(*counts: tuple[str, str, int]) -> list[Annotation]:
    """So many images that anna gave the first label and berta the second."""
    rows = [(first, second) for first, second, n in counts for _ in range(n)]
    return [
        annotation
        for number, (first, second) in enumerate(rows)
        for annotation in (said(f"{number:064x}", first), said(f"{number:064x}", second, "berta"))
    ]


def test_kappa_is_that_of_a_table_worked_by_hand() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: p_o = 35/50, p_e = .5 × .6 + .5 × .4 = .5, kappa = .2/.5.
    (found,) = agreements(table(("yes", "yes", 20), ("yes", "no", 5), ("no", "yes", 10), ("no", "no", 15)))
    assert (found.annotators, found.n_images, found.agreed) == (("anna", "berta"), 50, 0.7)
    assert found.kappa == pytest.approx(0.4)
    assert len(found.disagreements) == 15
    assert found.disagreements[0] == (f"{20:064x}", "yes", "no")


def test_kappa_is_1_for_equals_0_for_chance_below_0_for_opposites_and_none_for_one_label() -> None:
    def kappa(*counts: tuple[str, str, int]) -> float | None:
        return agreements(table(*counts))[0].kappa

    assert kappa(("p", "p", 3), ("q", "q", 2)) == 1
    assert kappa(("p", "p", 4), ("p", "q", 4), ("q", "p", 4), ("q", "q", 4)) == 0
    assert kappa(("p", "q", 3), ("q", "p", 3)) == -1
    assert kappa(("p", "p", 9)) is None
    # p_o = 0, and chance never agrees either: no label in common.
    assert kappa(("p", "q", 9)) == 0


def test_what_one_cannot_tell_is_counted_and_not_compared_and_the_last_word_of_each_counts() -> None:
    rows = [said(A, "p"), said(A, "q", "berta"), said(B, None), said(B, "q", "berta"), said(A, "q"), said(C, "p", "carla")]
    assert agreements(rows) == [Agreement(("anna", "berta"), 1, 1, 1.0, None, ())]


def test_three_annotators_are_compared_in_pairs() -> None:
    rows = [said(A, "p", name) for name in ("carla", "anna", "berta")]
    assert [found.annotators for found in agreements(rows)] == [("anna", "berta"), ("anna", "carla"), ("berta", "carla")]


def test_every_csv_of_the_folder_is_read_and_a_missing_folder_says_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    assert files(Landing(str(folder))) == []
    assert gather(Landing(str(folder)), []) == History()
    (folder / "box 2").mkdir(parents=True)
    (folder / "box 2" / "B.CSV").write_text(f"content,label\n{B},plum\n")
    (folder / "a.csv").write_text(f"content,label\n{A},lime\n")
    os.utime(folder / "a.csv", (SAVED.timestamp(), SAVED.timestamp()))
    (folder / "readme.txt").write_text("content,label")
    (folder / ".a.csv").write_text(f"content,label\n{C},lime\n")
    (folder / "gone.csv").symlink_to(folder / "nowhere.csv")
    found = gather(Landing(str(folder)), files(Landing(str(folder))))
    assert [(row.content, row.label, row.annotator) for row in found.annotations] == [(A, "lime", "a"), (B, "plum", "B")]
    assert found.annotations[0].at == "2026-05-01T12:00:00.000000+00:00"
    assert found.spoiled == (Spoiled("gone.csv", 0, "a link that leads nowhere"),)
    with pytest.raises(BadInput, match="is no folder"):
        files(Landing(str(folder / "a.csv")))
