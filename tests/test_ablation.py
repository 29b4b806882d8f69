"""What a piece adds: colour where only colour tells the labels apart, and no piece that a recipe does not have."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pomona.ablation import PIECES, ablated, compared, without
from pomona.knobs import resolve
from pomona.vision.chain import Row
from pomona.vision.describe import Describer, Description, Extractor
from pomona.vision.validate import Validation, cross_validate

SMALL = {"n_words": 6, "n_components": 8, "descriptors_per_word": 50, "kmeans_iterations": 5, "folds": 3, "resamples": 100}


# BGR of equal brightness, however it is weighed.
COLOURS = {"plum": (77, 92, 191), "olive": (163, 148, 49)}


def rows(knobs: dict[str, Any]) -> list[Row]:
    """Twelve grey-speckled discs of each colour, in three groups a colour."""
    describer = Describer(Extractor.of(knobs))
    found = []
    for number in range(24):
        draw, label = np.random.default_rng(number), sorted(COLOURS)[number % 2]
        image = np.full((96, 96, 3), 255, np.uint8)
        cv2.circle(image, (48, 48), 34, COLOURS[label], -1)
        for x, y in draw.integers(28, 68, size=(25, 2)).tolist():
            cv2.circle(image, (x, y), int(draw.integers(1, 5)), [int(draw.integers(0, 255))] * 3, -1)
        data = cv2.imencode(".png", image)[1].tobytes()
        found.append(Row(f"{number:064x}", label, f"{label} {number // 2 % 3}", describer.describe(data)))
    return found


def test_without_colour_discs_that_differ_in_colour_alone_are_guessed() -> None:
    knobs = resolve({"preset": "default", **SMALL, "copies": 0, "turns": False, "em_steps": 2})
    table = rows(knobs)
    whole = cross_validate(table, knobs)
    assert [row.label for row in table] == list(whole.predictions)
    found = {row["without"]: row for row in ablated(table, knobs, whole)}
    colour = found["colour at the keypoints"]
    assert colour["accuracy"] < 0.8
    assert colour["difference"] == pytest.approx(colour["accuracy"] - 1)
    assert colour["difference_interval"][0] <= colour["difference"] <= colour["difference_interval"][1] < 0
    assert found["expectation-maximisation"]["difference"] == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(("groups", "interval"), [("abcd", True), ("aaaa", False)])
def test_the_difference_is_that_of_the_images_held_out_group_by_group(groups: str, interval: bool) -> None:
    blank = Description(np.empty((0, 135), np.uint8), np.zeros(128, np.float32))
    table = [Row(str(index), label, group, blank) for index, (label, group) in enumerate(zip("pqpqq", (*groups, "never"), strict=True))]
    whole, changed = (Validation((*said, None), 2, "") for said in ("pqpq", "pppq"))
    found = compared(table, whole, changed, resamples=200, seed=0)
    assert (found["accuracy"], found["difference"]) == (0.75, -0.25)
    bounds = [*found["interval"], *found["difference_interval"]]
    assert bounds == ([pytest.approx(0.25), 1, pytest.approx(-0.75), 0] if interval else [None] * 4)


EM = "expectation-maximisation"
SPREAD = "spread of the words (bag of words instead of Fisher vector)"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"preset": "default"}, {"colour histogram", EM}),
        ({"preset": "max", "histogram_weight": 1, "em_steps": 1}, set()),
        ({"preset": "default", "extractor": "sift"}, {"colour histogram", "sharpness", "quarter turns", EM}),
        ({"preset": "default", "encoding": "counts", "balance": "class"}, {"colour histogram", SPREAD, "equal weight of groups", EM}),
        ({"preset": "fast"}, set(PIECES) - {"colour histogram", "colour at the keypoints", "equal weight of groups"}),
        ({"preset": "classic"}, set(PIECES)),
    ],
)
def test_only_what_a_recipe_has_is_left_out(given: dict[str, Any], missing: set[str]) -> None:
    knobs = resolve(given)
    found = without(knobs)
    assert set(found) == set(PIECES) - missing
    for piece, changed in found.items():
        assert {name: changed[name] for name in changed if changed[name] != knobs[name]} == PIECES[piece].changes
