"""What the presets score on real photographs, and what is known of those photographs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Runs

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]


def scored(runs: Runs, landing: Path, preset: str) -> dict:
    runs.landing, runs.knobs = landing, {"preset": preset}
    runs.through("r", "evaluate")
    return runs.work("r", "evaluate").document("metrics")


def test_fruits10_is_recognised_and_said_to_share_its_videos(runs, photographs):
    metrics = scored(runs, photographs / "fruits10", "default")
    assert metrics["official"]["accuracy"] >= 0.995
    assert (metrics["official"]["n_images"], metrics["official"]["n_groups"]) == (1714, 21)
    # Frames of the same videos are in train: no group-safe image is left, and the run says so.
    assert metrics["group_safe"]["n_images"] == 0
    assert metrics["group_safe"]["why"] == "every test image's group is in train too"


def test_fruits10_is_recognised_from_another_axis_of_rotation(runs, photographs, tmp_path):
    for image in (photographs / "fruits10").glob("*/*/*.jpg"):
        split = "Test" if image.name.startswith("r") else "Training"
        target = tmp_path / "axes" / split / image.parent.name / image.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, target)
    metrics = scored(runs, tmp_path / "axes", "default")
    assert metrics["group_safe"]["accuracy"] == metrics["official"]["accuracy"] >= 0.90


@pytest.mark.parametrize(("preset", "low", "high"), [("default", 0.86, 1.0), ("classic", 0.60, 0.72)])
def test_varieties_never_seen_are_recognised_as_often_as_the_recipe_promises(runs, photographs, preset, low, high):
    metrics = scored(runs, photographs / "threebody", preset)
    counts = runs.lake.manifest("r", "ingest")["counts"]
    assert counts["leaked"] >= 791
    assert low <= metrics["official"]["accuracy"] <= high
