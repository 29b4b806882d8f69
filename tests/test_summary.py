"""`summary.json`: each field is described, old ones keep their meaning, new ones come from the documents."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from pomona.command import Place
from pomona.scoring import scores
from pomona.standing import Standing
from pomona.summary import Facts, figures, summary, worth
from tests.report.documents import WITHOUT, effort, metrics, verdict

DESCRIBED = (Path(__file__).resolve().parents[1] / "docs" / "summary.md").read_text(encoding="utf-8")
CONTENTS = [f"{i:064x}" for i in range(5)]


def scored() -> dict[str, Any]:
    """Three test images in two groups, two of them right."""
    official = scores(["apple", "apple", "plum"], ["apple", "plum", "plum"], ["apple", "plum"])
    intervals = {"accuracy_interval": [0.5, 1.0], "macro_f1_interval": [0.5, 1.0]}
    validation = {"accuracy": 0.8, "macro_f1": 0.7, "interval": [0.6, 0.9], "n_images": 9, "n_groups": 3, "n_folds": 3, "why": ""}
    return {
        "official": {**official, **intervals, "n_groups": 2},
        "group_safe": {**official, **intervals, "n_groups": 2, "why": ""},
        "validation": validation,
    }


def facts(metrics: dict[str, Any], verdict: dict[str, Any]) -> Facts:
    """A registered run of which the manifests say next to nothing."""
    file = {"files": [{"sha256": "ab"}], "digest": "cd"}
    state = {"knobs": {"n_words": 7}, "placements": "p", "code": "c"}
    manifest = {
        "counts": defaultdict(int),
        "notes": {"state": state, "snapshot": 1, "extractor": "sift"},
        "datasets": dict.fromkeys(("vocabulary", "encoder", "model", "roster"), file),
    }
    stages = ("ingest", "describe", "learn_vocabulary", "encode", "train", "evaluate")
    place = Place("run", "orchard", "lake", "landing", "sqlite://")
    found = Facts(place, dict.fromkeys(stages, manifest), {stage: {"line": stage} for stage in stages}, metrics, verdict)
    return found.registered(
        version=2, standing=Standing(moved=True, promoted="2026-11-17 14:00:05 UTC", champion=2), effort=effort(seconds=1.0, cores=None)
    )


def test_the_summary_tells_what_the_scores_are_worth() -> None:
    document = summary(facts(metrics(CONTENTS, scored()), verdict(CONTENTS)))
    assert document["scores"]["without_exact_copies"] == WITHOUT
    assert document["scores"]["without_near_copies"]["accuracy"] == 0.8
    assert document["copies"] == {"exact": 4, "removed": 9, "near": 10}
    assert document["robustness"] == {
        "worst": "darker",
        "accuracy": 0.45,
        "unspoiled": 0.9,
        "accuracies": {"blur": 0.85, "darker": 0.45, "none": 0.9, "turned": 0.9},
        "n_images": 40,
        "n_groups": 9,
    }
    assert document["calibration"] == {"expected_error": 0.07, "log_loss": 0.321, "brier": 0.123}
    unknown = {"marked_known": 0.06, "marked_unknown": 0.6, "separation": 0.93, "n_known": 1500, "n_unknown": 600, "why": ""}
    assert document["unknown"] == unknown
    assert document["baselines"] == {"majority": 0.35, "histogram": 0.62}
    assert document["verdict"] == {"decision": "promote", "reason": "better by 15.0 points", "champion": 6, "rule": "not inferior"}


def test_fields_of_earlier_summaries_keep_their_meaning() -> None:
    document = summary(facts(metrics(CONTENTS, scored()), verdict(CONTENTS)))
    assert document["summary"] == 1
    assert document["scores"]["official"] == {
        "accuracy": 2 / 3,
        "accuracy_interval": [0.5, 1.0],
        "macro_f1": 2 / 3,
        "macro_f1_interval": [0.5, 1.0],
        "n_images": 3,
        "n_groups": 2,
    }
    assert document["scores"]["cross_validated"]["accuracy_interval"] == [0.6, 0.9]
    outcome = "It became the champion at 2026-11-17 14:00:05 UTC."
    assert document["model"] == {"name": "orchard", "version": 2, "champion": True, "outcome": outcome}


def test_what_was_not_measured_is_null() -> None:
    document = summary(facts(scored(), {"decision": "keep", "reason": "", "champion": None}))
    assert (document["scores"]["without_exact_copies"], document["scores"]["without_near_copies"]) == (None, None)
    assert document["copies"] == {"exact": None, "removed": None, "near": None}
    assert document["robustness"] == {"worst": None, "accuracy": None, "unspoiled": None, "accuracies": {}, "n_images": 0, "n_groups": 0}
    assert set(worth(scored(), {})["calibration"].values()) == set(worth(scored(), {})["baselines"].values()) == {None}
    assert set(document["unknown"].values()) == {None}
    assert document["verdict"]["rule"] is None


def test_what_each_stage_cost_stands_with_its_words_and_an_earlier_releases_stages_are_left_out() -> None:
    told = facts(metrics(CONTENTS, scored()), verdict(CONTENTS))
    described = effort(seconds=20, cores=2, cpu_s=30, stages=[(1, 9, 8, 2.0, 3.0)])
    document = summary(replace(told, outcomes={**told.outcomes, "describe": {"line": "", "seconds": 20.1, "effort": described}}))
    assert list(document["effort"]) == ["describe", "register"]
    found = document["effort"]["describe"]
    assert (found["tasks"], found["cpu_s"], found["read_bytes"], found["skew"], found["alone_s"]) == (8, 30, 34_600_000, 1.5, 12.0)
    assert (found["twice"], found["words"].split(":")[0]) == (1.25, "scales in part")
    assert document["effort"]["register"]["words"] == "does not scale: it works on the driver alone"
    assert (document["seconds"]["describe"], document["seconds"]["register"]) == (20.1, 1.0)


def test_every_field_is_described() -> None:
    document = summary(facts(metrics(CONTENTS, scored()), verdict(CONTENTS)))
    rows = [
        (set(re.findall(r"`([^`]+)`", row.split("|")[1])), set(re.findall(r"`([^`]+)`", row))) for row in DESCRIBED.splitlines()[6:] if row
    ]
    for name, value in document.items():
        apart = isinstance(value, dict) and name not in ("knobs", "stages", "seconds", "files", "cost", "hashes", "effort")
        for field in value if apart else [name]:
            of_it = [row for first, row in rows if any(f"{cell}.".startswith(f"{name}.") for cell in first)]
            found = [row for row in of_it if {field, f"{name}.{field}"} & row]
            assert found, f"{name}.{field} is not in docs/summary.md"


def test_every_figure_of_a_stages_effort_is_described() -> None:
    document = summary(facts(metrics(CONTENTS, scored()), verdict(CONTENTS)))
    (row,) = [row for row in DESCRIBED.splitlines() if row.startswith("| `effort`")]
    assert set(document["effort"]["register"]) <= set(re.findall(r"`([^`]+)`", row))


def test_mlflow_gets_the_same_figures_under_flat_names() -> None:
    assert figures(metrics(CONTENTS, scored()), verdict(CONTENTS)) == {
        "without_exact_copies_accuracy": 0.875,
        "without_near_copies_accuracy": 0.8,
        "robustness_worst_accuracy": 0.45,
        "calibration_error": 0.07,
        "marked_known": 0.06,
        "marked_unknown": 0.6,
        "baseline_majority_accuracy": 0.35,
        "baseline_histogram_accuracy": 0.62,
    }
    assert set(figures(scored(), {}).values()) == {None}
