"""Robustness: which test images are spoiled, and what the table says of a model with known weaknesses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pomona import robustness
from pomona.vision.chain import Chain
from pomona.vision.corruptions import CORRUPTIONS
from pomona.vision.corruptions import spoiled as spoiled_by


def rows_of(*counts: tuple[str, str, int]) -> pd.DataFrame:
    """Rows for (label, group, images), contents as the lake names them."""
    rows = [(f"{group}{i}", label, group) for label, group, n in counts for i in range(n)]
    return pd.DataFrame([(hashlib.sha256(name.encode()).hexdigest(), *rest) for name, *rest in rows], columns=["content", "label", "group"])


def test_the_images_are_spread_over_labels_and_over_the_groups_of_a_label() -> None:
    rows = rows_of(("A", "A/1", 500), ("A", "A/2", 3), ("B", "B/1", 5), ("C", "C/1", 40), ("C", "C/2", 40))
    found = robustness.drawn(rows, 12)
    assert found["label"].value_counts().to_dict() == {"A": 4, "B": 4, "C": 4}
    assert found["group"].value_counts().to_dict() == {"A/1": 2, "A/2": 2, "B/1": 4, "C/1": 2, "C/2": 2}


def test_the_same_images_are_drawn_whatever_their_order_and_more_of_them_hold_the_fewer() -> None:
    rows = rows_of(("A", "A/1", 30), ("B", "B/1", 7), ("B", "B/2", 9))
    found = robustness.drawn(rows, 10)
    turned = robustness.drawn(rows.sample(frac=1, random_state=3), 10)
    assert found.to_numpy().tolist() == turned.to_numpy().tolist()
    assert found.to_numpy().tolist() == robustness.drawn(rows, 20).head(10).to_numpy().tolist()
    assert len(robustness.drawn(rows, 1000)) == 46


class Bright:
    """A model of two labels that goes by the mean brightness alone, over or under 128."""

    def __init__(self) -> None:
        self.knobs = {"side_px": 64}
        self.classifier = SimpleNamespace(classes=("dark", "light"))

    def answer_decoded(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        mean = float(image.mean())
        return np.array([float(mean < 128), float(mean >= 128)])


def pictures(rows: pd.DataFrame, value: dict[str, int], size: tuple[int, int] = (40, 40)) -> dict[str, bytes]:
    """A plain grey picture for each content, of its label's value."""
    return {
        content: cv2.imencode(".png", np.full((*size, 3), value[label], np.uint8))[1].tobytes()
        for content, label in zip(rows["content"], rows["label"], strict=True)
    }


def measured(rows: pd.DataFrame, images: dict[str, bytes], asked: list[Sequence[str]] | None = None) -> dict[str, Any]:
    def read(contents: Sequence[str]) -> dict[str, bytes]:
        if asked is not None:
            asked.append(contents)
        return {content: images[content] for content in contents}

    return robustness.robustness(cast(Chain, Bright()), rows, read, seed=0, resamples=200, done=lambda _: None)


def test_a_model_that_goes_by_brightness_fails_in_the_dark_and_the_table_says_so() -> None:
    rows = rows_of(("light", "light/1", 6), ("light", "light/2", 6), ("dark", "dark/1", 4))
    found = measured(rows, pictures(rows, {"light": 150, "dark": 60}))
    accuracy = {row["name"]: row["accuracy"] for row in found["rows"]}
    assert list(accuracy) == ["none", *CORRUPTIONS]
    # 150 × 0.7 = 105 is dark; × 1.3 light as before; the dark ones stay dark: 4 of 16 are right.
    assert accuracy["none"] == accuracy["brighter"] == accuracy["blur"] == accuracy["turned"] == 1.0
    assert accuracy["darker"] == 4 / 16
    # All of a plain picture is background, which 128 replaces: light.
    assert accuracy["grey background"] == 12 / 16
    assert (found["worst"], found["n_images"], found["n_groups"], found["why"]) == ("darker", 16, 3, "")
    darker = next(row for row in found["rows"] if row["name"] == "darker")
    assert darker["strength"] == "brightness × 0.7"
    # Three groups, one of them all right: resamples of light groups alone have 0, of the dark one alone 1.
    assert darker["interval"] == [0.0, 1.0]


def test_of_equally_bad_ones_the_first_is_the_worst_and_one_group_has_no_interval() -> None:
    rows = rows_of(("dark", "dark/1", 3))
    found = measured(rows, pictures(rows, {"dark": 60}))
    assert found["worst"] == "grey background"
    assert all(row["interval"] == [None, None] for row in found["rows"])


def test_pictures_are_read_a_few_at_a_time_in_the_order_given() -> None:
    rows = rows_of(("dark", "dark/1", 40))
    asked: list[Sequence[str]] = []
    measured(rows, pictures(rows, {"dark": 60}, size=(12, 12)), asked)
    assert max(map(len, asked)) <= 16
    assert [content for contents in asked for content in contents] == rows["content"].tolist()


def test_pictures_that_are_not_spoiled_are_never_the_worst() -> None:
    rows = rows_of(("light", "light/1", 3))
    found = measured(rows, pictures(rows, {"light": 60}))
    assert (found["rows"][0]["accuracy"], found["worst"]) == (0, "blur")


def test_a_picture_that_is_a_line_at_the_working_size_is_left_out() -> None:
    rows = rows_of(("light", "light/1", 2), ("dark", "dark/1", 2))
    images = pictures(rows, {"light": 150, "dark": 60})
    images[rows["content"][0]] = cv2.imencode(".png", np.full((10, 900, 3), 150, np.uint8))[1].tobytes()
    assert measured(rows, images)["n_images"] == 3


def test_without_images_there_is_a_reason_instead_of_a_table() -> None:
    assert measured(rows_of(), {}) == {"n_images": 0, "n_groups": 0, "rows": [], "worst": "", "why": "there are no test images"}
    assert robustness.nothing("the knob robustness_images is 0")["why"] == "the knob robustness_images is 0"


def test_noise_is_the_same_each_time_and_another_for_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(("light", "light/1", 2))
    images, told = pictures(rows, {"light": 150}), []

    def spoiled(image: NDArray[np.uint8], name: str, *, seed: int) -> NDArray[np.uint8]:
        told.append((name, spoiled_by(image, name, seed=seed).tobytes()))
        return spoiled_by(image, name, seed=seed)

    monkeypatch.setattr(robustness, "spoiled", spoiled)
    for _ in range(2):
        measured(rows, images)
    noise = [data for name, data in told if name == "noise"]
    # The two pictures are shared out among threads: either may be spoiled first.
    assert sorted(noise[:2]) == sorted(noise[2:])
    assert len(set(noise)) == 2
