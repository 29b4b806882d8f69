"""What a piece adds: colour where only colour tells the labels apart, and no piece that a recipe does not have."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from pomona.ablation import ablated, without
from pomona.knobs import resolve
from pomona.vision.chain import Row
from pomona.vision.describe import Describer, Extractor
from pomona.vision.validate import cross_validate

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
    knobs = resolve({"preset": "default", **SMALL, "copies": 0, "turns": False})
    table = rows(knobs)
    whole = cross_validate(table, knobs)
    assert [row.label for row in table] == list(whole.predictions)
    found = {row["without"]: row for row in ablated(table, knobs, whole)}
    colour = found["colour at the keypoints"]
    assert colour["accuracy"] < 0.8
    assert colour["difference"] == pytest.approx(colour["accuracy"] - 1)
    assert colour["difference_interval"][0] <= colour["difference"] <= colour["difference_interval"][1] < 0
    assert found["expectation-maximisation"]["difference"] == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(
    ("preset", "there", "missing"),
    [
        ("default", {"sharpness", "quarter turns", "altered copies", "PCA of the descriptors"}, {"colour histogram"}),
        ("fast", {"colour histogram", "colour at the keypoints"}, {"sharpness", "quarter turns", "altered copies"}),
        ("classic", set(), {"colour at the keypoints", "sharpness", "equal weight of groups"}),
    ],
)
def test_only_what_a_recipe_has_is_left_out(preset: str, there: set[str], missing: set[str]) -> None:
    pieces = set(without(resolve({"preset": preset})))
    assert there <= pieces
    assert not missing & pieces
