"""Which classes fall, on answers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pomona.classwise import ClassContest, contested


def contest(
    kinds: dict[str, list[tuple[int, int, int]]], *, known: tuple[str, ...] | None = None, max_class_drop: float = 0.05
) -> tuple[dict[str, ClassContest], list[str]]:
    """`contested` over classes given as groups of (images, right by the champion, right by the challenger)."""
    labels, groups, old, new = [], [], [], []
    for label, sizes in kinds.items():
        for number, (n_images, before, now) in enumerate(sizes):
            labels += [label] * n_images
            groups += [f"{label}/{number}"] * n_images
            old += [i < before for i in range(n_images)]
            new += [i < now for i in range(n_images)]
    knows = tuple(kinds) if known is None else known
    rows, falls = contested(
        labels,
        groups,
        np.array(old, dtype=bool),
        np.array(new, dtype=bool),
        champion_knows=knows,
        challenger_knows=tuple(kinds),
        max_class_drop=max_class_drop,
        significance=0.05,
    )
    return {row.label: row for row in rows}, falls


STEADY = [(5, 5, 5)] * 12


def test_a_collapse_over_many_groups_is_significant() -> None:
    rows, falls = contest({"apple": STEADY, "pear": [(5, 5, 1)] * 12})
    assert falls == ["pear"]
    assert rows["pear"] == ("pear", 60, 12, 1.0, 0.2, 1 / 4096)
    assert rows["apple"].p == 1


def test_a_significant_fall_of_the_bound_is_allowed_and_not_one_image_more() -> None:
    # One of 20 images in each of ten groups: 5 points, and one flip of 1,024.
    rows, falls = contest({"apple": [(20, 20, 19)] * 10})
    assert (rows["apple"].p, falls) == (1 / 1024, [])
    assert contest({"apple": [(20, 20, 19)] * 9 + [(20, 20, 18)]})[1] == ["apple"]


def test_a_deep_fall_that_can_be_chance_is_none_where_there_are_groups_enough_to_show_one() -> None:
    # Two of twelve groups lost altogether, one won: 8 points; two losses and a win of the same size are 7 flips of 8 … of at most −5: 4.
    rows, falls = contest({"apple": [(5, 5, 5)] * 9 + [(5, 5, 0), (5, 5, 0), (5, 0, 5)]})
    assert (rows["apple"].p, falls) == (0.5, [])
    assert rows["apple"].champion_recall == pytest.approx(55 / 60)


def test_with_many_classes_a_fall_has_to_be_clearer() -> None:
    # Seven of twelve groups lose an image of three: 2⁻⁷ = .0078 is below .05 / 2 and above .05 / 40.
    lost = [(3, 3, 2)] * 7 + [(3, 3, 3)] * 5
    assert contest({"pear": lost, "apple": STEADY})[1] == ["pear"]
    assert contest({"pear": lost, **{f"apple {i}": STEADY for i in range(39)}})[1] == []


def test_with_many_classes_more_groups_are_needed_before_the_test_can_say_anything() -> None:
    lost = {"pear": [(3, 3, 0)] * 7}
    rows, falls = contest({**lost, "apple": STEADY})
    assert (rows["pear"].p, falls) == (1 / 128, ["pear"])
    rows, falls = contest({**lost, **{f"apple {i}": STEADY for i in range(39)}})
    assert (rows["pear"].p, falls) == (None, ["pear"])


def test_beside_a_class_that_fell_for_certain_fewer_groups_are_enough() -> None:
    # Five groups alone cannot come below .05 / 2; once apple is counted, the bound is .05 for what is left (Holm).
    rows, falls = contest({"apple": [(5, 5, 1)] * 12, "pear": [(10, 10, 9)] * 5})
    assert (rows["pear"].p, falls) == (1 / 32, ["apple", "pear"])
    assert contest({"apple": STEADY, "pear": [(10, 10, 9)] * 5})[1] == []


@pytest.mark.parametrize(
    ("sizes", "falls"),
    [
        ([(10, 10, 0)], True),
        # 9 points are above max_class_drop, but not above twice of it.
        ([(100, 100, 91)], False),
        # Five images of thirty and none won: 1/32 by images; four are 1/16.
        ([(30, 30, 25)], True),
        ([(30, 30, 26)], False),
        # One image of three is a third of the class and may be chance; all three are a collapse, all two are not yet.
        ([(3, 3, 2)], False),
        ([(3, 3, 0)], True),
        ([(2, 2, 0)], False),
    ],
)
def test_in_too_few_groups_only_a_deep_fall_counts(sizes: list[tuple[int, int, int]], falls: bool) -> None:
    rows, found = contest({"apple": STEADY, "pear": sizes})
    assert rows["pear"].p is None
    assert found == (["pear"] if falls else [])


def test_the_deepest_fall_comes_first() -> None:
    assert contest({"apple": [(10, 10, 5)], "pear": [(10, 10, 0)], "plum": STEADY})[1] == ["pear", "apple"]


def test_a_class_that_the_champion_does_not_know_is_shown_and_does_not_fall() -> None:
    rows, falls = contest({"apple": STEADY, "fig": [(10, 10, 0)]}, known=("apple",))
    assert rows["fig"] == ("fig", 10, 1, None, 0.0, None)
    assert falls == []
