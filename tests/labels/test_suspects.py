"""Suspected label errors: wrong labels come first, what was never held out is not judged, folders wrongly named are told as such."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from pomona.knobs import resolve
from pomona.labels.suspects import SuspectGroup, suspect_groups, suspects, thresholds
from pomona.vision.chain import Row
from pomona.vision.describe import Describer, Description, Extractor
from pomona.vision.observe import Fit
from pomona.vision.validate import Validation, cross_validate
from tests.drawn_model import COLOURS, picture

NOTHING = Description(np.empty((0, 135), np.uint8), np.zeros(128, np.float32))


def held_out(*said: tuple[str, str, tuple[float, float] | None]) -> tuple[list[Row], Validation]:
    """Rows of (label, group, probabilities of p and q), and the validation that said so; None: never held out."""
    rows = [Row(f"{number}", label, group, NOTHING) for number, (label, group, _) in enumerate(said)]
    predictions = tuple(None if given is None else "pq"[int(given[1] > given[0])] for _, _, given in said)
    fits = tuple(given and Fit(np.array(given), np.empty(0, np.float32), 0.0, 0.0, 0) for _, _, given in said)
    return rows, Validation(predictions, 2, "", classes=("p", "q"), fits=fits)


def test_what_is_taken_for_another_label_is_suspect_the_least_probable_own_label_first() -> None:
    rows, found = held_out(
        ("p", "1", (0.9, 0.1)), ("p", "1", (0.3, 0.7)), ("q", "2", (0.6, 0.4)), ("p", "3", (0.1, 0.9)), ("q", "2", (0.0, 1.0))
    )
    said = suspects(rows, found)
    assert [(one.content, one.label, one.prediction) for one in said] == [("3", "p", "q"), ("1", "p", "q"), ("2", "q", "p")]
    assert [(one.label_probability, one.prediction_probability) for one in said] == [(0.1, 0.9), (0.3, 0.7), (0.4, 0.6)]
    # Images called p are p by (.9 + .3 + .1) / 3 on average, those called q are q by .7: all three reach the other's mean.
    assert thresholds(rows, found) == pytest.approx([1.3 / 3, 0.7])
    assert [one.confident for one in said] == [True, True, True]


def test_a_suspect_below_the_mean_of_the_other_label_is_not_a_confident_one() -> None:
    rows, found = held_out(("p", "1", (0.8, 0.2)), ("p", "1", (0.45, 0.55)), ("q", "2", (0.1, 0.9)), ("q", "2", (0.2, 0.8)))
    assert [(one.content, one.confident) for one in suspects(rows, found)] == [("1", False)]


def test_what_was_never_held_out_is_not_judged() -> None:
    rows, found = held_out(("p", "1", (0.8, 0.2)), ("p", "2", (0.4, 0.6)), ("q", "3", None))
    assert [one.content for one in suspects(rows, found)] == ["1"]
    # No image of q was held out: its threshold is the mean of the others'.
    assert thresholds(rows, found) == pytest.approx([0.6, 0.6])
    assert suspects(rows, Validation((None,) * 3, 0, "folds=0")) == []


def test_a_group_taken_for_another_label_by_its_greater_part_is_told_as_one() -> None:
    wrong, right = (0.2, 0.8), (0.7, 0.3)
    rows, found = held_out(
        *[("p", "misnamed", wrong)] * 4, ("p", "misnamed", right), *[("p", "fine", right)] * 3, ("p", "half", wrong), ("p", "half", right),
        ("p", "alone", wrong), ("q", "other", wrong), ("q", "other", wrong),
    )  # fmt: skip
    assert suspect_groups(rows, found) == [SuspectGroup("p", "misnamed", "q", 5, 4)]


def test_flipped_labels_of_drawn_discs_are_the_first_suspects() -> None:
    knobs = resolve({"preset": "fast", "n_words": 12, "n_components": 8, "descriptors_per_word": 60, "folds": 3, "kmeans_iterations": 5})
    describer = Describer(Extractor.of(knobs))
    rows, flipped = [], set()
    for label in COLOURS:
        for seed in range(15):
            data = picture(label, seed)
            content = hashlib.sha256(data).hexdigest()
            given = label
            if seed in (3, 11):
                given = {"lemon": "lime", "lime": "plum", "plum": "lemon"}[label]
                flipped.add(content)
            rows.append(Row(content, given, f"{given} {seed % 5}", describer.describe(data)))
    found = cross_validate(rows, knobs)
    assert {one.content for one in suspects(rows, found)[: len(flipped)]} == flipped
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]
    assert suspects(shuffled, cross_validate(shuffled, knobs)) == suspects(rows, found)


def photographed(folder: Path, n_each: int) -> list[tuple[str, str, str, Description]]:
    """`n_each` images of each class by a hash of the name: content, label, video, description."""
    describer = Describer(Extractor.of(resolve({"preset": "default"})))
    found = []
    for kind in sorted((folder / "fruits10" / "Training").iterdir()):
        for file in sorted(kind.iterdir(), key=lambda file: hashlib.sha256(file.name.encode()).hexdigest())[:n_each]:
            video = re.match(r"(?:(r\d*)_)?\d+_100", file.name)
            assert video, file.name
            data = file.read_bytes()
            found.append((hashlib.sha256(data).hexdigest(), kind.name, video[1] or "", describer.describe(data)))
    return sorted(found, key=lambda row: row[0])


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_on_photographs_the_first_suspects_are_wrong_labels_five_times_as_often_as_chance(photographs: Path) -> None:
    """5 % of the labels flipped: images in a wrong folder, and then one whole video under a wrong name."""
    images = photographed(photographs, 60)
    knobs = resolve({"preset": "default", "copies": 0})
    labels = sorted({label for _, label, _, _ in images})
    draw = np.random.default_rng(0)
    misfiled = {int(place) for place in draw.choice(len(images), round(0.05 * len(images)), replace=False)}
    other = {place: draw.choice([label for label in labels if label != images[place][1]]) for place in sorted(misfiled)}
    renamed = {place for place, (_, label, video, _) in enumerate(images) if (label, video) == ("Strawberry 1", "r")}
    for wrong, name in ((misfiled, other.__getitem__), (renamed, lambda _: "Mango 1")):
        rows = []
        for place, (content, label, video, description) in enumerate(images):
            given = str(name(place)) if place in wrong else label
            group = f"{given}/{video}{' renamed' if wrong is renamed and place in wrong else ''}"
            rows.append(Row(content, given, group, description))
        found = cross_validate(rows, knobs)
        first = suspects(rows, found)[: len(wrong)]
        right = sum(images[place][0] in {one.content for one in first} for place in wrong) / len(wrong)
        chance = len(wrong) / len(images)
        print(f"{len(wrong)} of {len(images)} labels wrong: {100 * right:.0f} % of as many suspects, {right / chance:.1f} × chance")
        assert right >= 5 * chance
        groups = suspect_groups(rows, found)
        if wrong is renamed:
            assert (groups[0].label, groups[0].group) == ("Mango 1", "Mango 1/r renamed")
