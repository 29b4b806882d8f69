"""The queue: centres spread out, kinds in turn, and a CSV that comes back as labels."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

import numpy as np

from pomona.labels.annotations import parse
from pomona.labels.queue import Question, as_csv, k_centres, merged, pool, suggestions, suspect_questions
from pomona.labels.suspects import Suspect

LINE = np.array([[0.0], [1.0], [10.0], [4.0], [10.0]])


def test_each_centre_is_the_farthest_from_those_before_it() -> None:
    # From 0 the farthest is 10, then 4; 1 is next; the second 10 lies on a centre and tells nothing new.
    assert k_centres(LINE, 3) == [0, 2, 3]
    assert k_centres(LINE, 9) == [0, 2, 3, 1]
    assert k_centres(LINE[:0], 3) == k_centres(LINE, 0) == []


def asked(n: int) -> list[str]:
    """40 images: a and b are unsure and lie on one spot, c to j less so and lie apart; all others are certain and far away."""
    names = "abcdefghij" + "".join(chr(ord("A") + number) for number in range(26))
    unsure = np.array([1.0, 0.98, *np.linspace(0.9, 0.8, 8), *np.full(26, 0.0)])
    places = np.array([[0.0], [0.0], *[[float(number)] for number in range(1, 9)], *[[1000.0 + number] for number in range(26)]])
    order = np.random.default_rng(3).permutation(len(names))
    contents = [names[place] for place in order]
    found = pool(contents, unsure[order], n=n)
    return [contents[found[place]] for place in k_centres(places[order][found], n)]


def test_the_queue_is_unsure_and_spread_out_whatever_the_order_of_the_rows() -> None:
    assert asked(1) == ["a"]
    # Of the six most uncertain, a to f: b lies on a, f is the farthest. Of nine: i is; then e and f are as far from both.
    assert asked(2) == ["a", "f"]
    assert asked(3) == ["a", "i", "e"]


def test_what_is_certain_is_asked_only_where_the_pool_reaches_it() -> None:
    assert not set(asked(3)) & set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    # Twelve of thirty-six are in the pool of four: the two certain ones, A and B, lie far away.
    assert asked(4)[:2] == ["a", "B"]


def test_the_pool_has_three_times_as_many_the_most_worth_first_and_of_equal_ones_the_first_by_name() -> None:
    assert pool(list("cabd"), np.array([1.0, 2.0, 2.0, 0.0]), n=1) == [1, 2, 0]
    assert pool([], np.empty(0), n=1) == []


def test_nine_suggestions_come_the_likeliest_first() -> None:
    probabilities = np.full(12, 0.02)
    probabilities[[7, 3]] = 0.5, 0.3
    found = suggestions([f"kind {number}" for number in range(12)], probabilities)
    assert len(found) == 9
    assert found[:3] == (("kind 7", 0.5), ("kind 3", 0.3), ("kind 0", 0.02))


def test_of_a_folder_wrongly_named_only_some_are_asked_about() -> None:
    found = [Suspect(f"{number}", "plum", "plum/r", "lime", 0.1, 0.9, True) for number in range(8)]
    found.append(Suspect("8", "plum", "plum/r2", "lime", 0.3, 0.7, True))
    paths = {f"{number}": f"Training/plum/{number}.jpg" for number in range(9)}
    questions = suspect_questions(found, paths, n=4, per_group=3)
    assert [question.content for question in questions] == ["0", "1", "2", "8"]
    assert questions[0] == Question("0", "Training/plum/0.jpg", "suspect", "plum", (("lime", 0.9), ("plum", 0.1)))


def question(content: str, why: str = "uncertain") -> Question:
    return Question(content, f"{content}.jpg", why, None, (("lime", 0.5),))  # type: ignore[arg-type]


def test_sources_take_turns_and_no_image_is_asked_about_twice() -> None:
    one, other = [question(name) for name in "abc"], [question(name, "suspect") for name in "bd"]
    assert [(found.content, found.why) for found in merged(one, other, n=9)] == [
        ("a", "uncertain"), ("b", "suspect"), ("d", "suspect"), ("c", "uncertain"),
    ]  # fmt: skip
    assert [found.content for found in merged(one, other, n=2)] == ["a", "b"]


def test_a_kind_that_runs_out_leaves_its_share_to_the_others() -> None:
    unknown, doubted, unsure = [question(name, "unknown") for name in "ab"], [], [question(name) for name in "cdef"]
    assert [found.content for found in merged(unknown, doubted, unsure, n=6)] == ["a", "c", "b", "d", "e", "f"]


def test_the_queue_s_csv_says_nothing_until_labels_are_filled_in() -> None:
    content = "ab" * 32
    data = as_csv([Question(content, "unlabelled/ä, 1.jpg", "suspect", "plum", (("lime", 0.73456),)), question("cd" * 32)])
    saved = datetime(2026, 5, 1, tzinfo=UTC)
    blank = parse("queue.csv", data, modified=saved)
    assert (blank.annotations, blank.spoiled, blank.n_unanswered) == ((), (), 2)
    text = data.decode("utf-8-sig")
    assert text.splitlines()[1] == f'{content},"unlabelled/ä, 1.jpg",,,,,suspect,plum,lime,0.7346'
    filled = parse("anna.csv", text.replace('jpg",,', 'jpg",lime,').encode(), modified=saved)
    assert [(row.content, row.path, row.label, row.annotator) for row in filled.annotations] == [
        (content, "unlabelled/ä, 1.jpg", "lime", "anna")
    ]
    assert filled.n_unanswered == 1


def test_no_cell_of_the_csv_is_a_formula() -> None:
    data = as_csv([Question("ab" * 32, "=cmd|'/c calc'!A0/1.jpg", "suspect", "-2+3", (("@SUM(A1)", 0.7),))])
    cells = next(csv.reader(data.decode("utf-8-sig").splitlines()[1:]))
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    assert [cells[1], *cells[7:9]] == ["'=cmd|'/c calc'!A0/1.jpg", "'-2+3", "'@SUM(A1)"]
