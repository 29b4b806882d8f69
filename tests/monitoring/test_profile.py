"""Profiles: there and back again through a file, and what cannot be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pomona.monitoring.profile import Profile, held_out
from pomona.monitoring.profile import profile as profile_of
from pomona.vision.observe import Fit, Observation, Observations
from tests.drawn_observations import CLASSES, profile


def one(label: str = "apple", **changed: object) -> Observation:
    top = np.eye(3)[CLASSES.index(label)] if label in CLASSES else np.full(3, 1 / 3)
    return Observation(top, np.array([0.25, 0.75], np.float32), 0.1, 0.2, 4, 0.5, -2.0, (0.01, -0.02))._replace(**changed)


def test_a_profile_survives_a_file_without_pickle_and_words_keep_three_digits(tmp_path: Path) -> None:
    drawn = profile(n_groups=9, n_each=4)
    np.savez(tmp_path / "profile.npz", **drawn.arrays())  # type: ignore[arg-type]
    with np.load(tmp_path / "profile.npz", allow_pickle=False) as archive:
        loaded = Profile.from_arrays(dict(archive))
    for name in Observations._fields:
        if name != "words":
            assert getattr(loaded.observations, name).tobytes() == getattr(drawn.observations, name).tobytes(), name
    assert loaded.observations.words == pytest.approx(drawn.observations.words, rel=1e-3)
    assert loaded.observations.words.dtype == np.float32
    assert (loaded.labels.tolist(), loaded.groups.tolist(), loaded.classes) == (drawn.labels.tolist(), drawn.groups.tolist(), CLASSES)


def test_groups_of_one_name_under_two_labels_are_two() -> None:
    made = profile_of([one()] * 4, ["apple", "cherry", "apple", "apple"], ["1", "1", "1", "2"], classes=CLASSES)
    members, n_groups = made.members()
    assert (members.tolist(), n_groups) == ([0, 2, 0, 1], 3)
    assert made.label_codes().tolist() == [0, 1, 0, 0]


def test_what_a_fold_said_takes_the_place_of_answer_and_fit_and_the_words_stay() -> None:
    found = held_out(one(), Fit(np.array([0.0, 1.0, 0.0]), np.array([1, 0, 0], np.float32), 0.3, 0.6, 4))
    assert found.probabilities.tolist() == [0, 1, 0]
    assert (found.quantisation, found.reconstruction, found.brightness) == (0.3, 0.6, 0.5)
    assert found.words.tolist() == [0.25, 0.75]
    assert held_out(found, None) is found


def test_no_images_too_many_and_labels_unknown_to_the_model_are_named() -> None:
    with pytest.raises(ValueError, match="0 observed images"):
        profile_of([], [], [], classes=CLASSES)
    with pytest.raises(ValueError, match="1001 observed images: a profile has 1 to 1,000"):
        profile_of([one()] * 1001, ["apple"] * 1001, ["1"] * 1001, classes=CLASSES)
    with pytest.raises(ValueError, match="label 'quince' is none of the model's classes apple, cherry, tomato"):
        profile_of([one()] * 2, ["apple", "quince"], ["1", "2"], classes=CLASSES)
