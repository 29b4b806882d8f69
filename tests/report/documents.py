"""The documents `metrics` and `verdict` in the contract's shape, written by hand over given images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WITHOUT = {"accuracy": 0.875, "accuracy_interval": [0.75, 0.95], "macro_f1": 0.861, "n_images": 16, "n_groups": 4}


def metrics(contents: Sequence[str], scored: Mapping[str, Any]) -> dict[str, Any]:
    """All parts beside those of `scored` (`official`, `group_safe`, `validation`), over at least two contents."""
    test, train = contents[0], contents[-1]
    without_near = WITHOUT | {"accuracy": 0.8, "accuracy_interval": [0.6, 0.9], "n_images": 10, "n_groups": 3}
    spoiled = (("none", "as they are", 0.9), ("blur", "σ 2 px", 0.85), ("darker", "brightness × 0.7", 0.45), ("turned", "30°", 0.9))
    unknown = {"marked_known": 0.06, "marked_unknown": 0.6, "separation": 0.93, "n_known": 1500, "n_unknown": 600, "why": ""}
    ablation = [{"without": "colour histogram", "accuracy": 0.7, "interval": [0.6, 0.8], "difference": -0.153}]
    return {
        **scored,
        "validation": {**scored["validation"], "ablation": ablation, "unknown": unknown},
        "leakage": {
            "exact": {
                "n_test": 4,
                "n_removed": 9,
                "without": WITHOUT,
                "copies": [
                    {"test": test, "train": ["Training/a.jpg"], "n_train": 1},
                    {"test": train, "train": [f"Training/{name}.jpg" for name in "bcde"], "n_train": 6},
                ],
            },
            "near": {
                "n_test": 10,
                "max_distance": 3,
                "without": without_near,
                "pairs": [{"test": test, "train": train, "distance": distance} for distance in (0, 1, 3)],
            },
            "shared_groups": ["round 3"],
            "linked_groups": [["a", "b"]],
        },
        "calibration": {
            "bins": [
                {"low": 0.4, "high": 0.5, "n_images": 0, "confidence": None, "accuracy": None},
                {"low": 0.5, "high": 0.6, "n_images": 5, "confidence": 0.55, "accuracy": 0.4},
                {"low": 0.9, "high": 1.0, "n_images": 20, "confidence": 0.95, "accuracy": 1.0},
            ],
            "expected_error": 0.07,
            "log_loss": 0.321,
            "brier": 0.123,
        },
        "robustness": {
            "n_images": 40,
            "n_groups": 9,
            "rows": [
                {"name": name, "strength": strength, "accuracy": accuracy, "interval": [accuracy - 0.1, min(1.0, accuracy + 0.05)]}
                for name, strength, accuracy in spoiled
            ],
            "worst": "darker",
            "why": "",
        },
        "worst_groups": [
            {
                "group": "round 3",
                "label": "apple",
                "n_images": 8,
                "accuracy": 0.25,
                "taken_for": {"pear": 1, "plum": 5},
                "contents": list(contents[:2]),
            }
        ],
    }


def verdict(contents: Sequence[str]) -> dict[str, Any]:
    """A challenger that was promoted over version 6: right on 18 of 20 images, the champion on 15 of them."""
    return {
        "decision": "promote",
        "reason": "better by 15.0 points",
        "words": "The new model is right on 90 of 100 pictures, the old one on 75. It was promoted because it is better.",
        "champion": 6,
        "rule": "not inferior",
        "checks": [
            {"check": "not inferior", "met": True, "line": "+15.0 points, margin 1"},
            {"check": "floor", "met": False, "line": "accuracy 0.9 is below the floor of 0.95"},
        ],
        "figures": {
            "n_images": 20,
            "n_groups": 5,
            "champion_accuracy": 0.75,
            "challenger_accuracy": 0.9,
            "only_challenger_right": 4,
            "only_champion_right": 1,
        },
        "per_class": [
            {"label": "apple", "n_images": 12, "n_groups": 3, "champion_recall": 0.75, "challenger_recall": 1.0, "p": 0.125},
            {"label": "plum", "n_images": 8, "n_groups": 2, "champion_recall": None, "challenger_recall": 0.75, "p": None},
        ],
        "baselines": {"majority": 0.35, "histogram": 0.62},
        "examples": {"only_challenger": list(contents[:4]), "only_champion": list(contents[1:2])},
    }


def effort(
    *, seconds: float, cores: int | None, cpu_s: float = 0.0, stages: Sequence[tuple[float, float, int, float, float]] = (), **changes: Any
) -> dict[str, Any]:
    """The part `effort` of an outcome; Spark's stages are (seconds from its start to the first and to the end of the last task, tasks,
    median and longest task in seconds)."""
    listed = [
        {
            "first_task": 1e9 + first,
            "last_task": 1e9 + last,
            "tasks": tasks,
            "task_s": tasks * median,
            "task_median_s": median,
            "task_max_s": longest,
            "cpu_s": 0.1,
        }
        for first, last, tasks, median, longest in stages
    ]
    heaviest: dict[str, Any] = max(listed, key=lambda each: each["task_s"], default={})
    return {
        "cores": cores,
        "seconds": seconds,
        "start_s": 2.5,
        "tasks": sum(each[2] for each in stages),
        "first_task": min((each["first_task"] for each in listed), default=None),
        "last_task": max((each["last_task"] for each in listed), default=None),
        "task_s": sum(each["task_s"] for each in listed),
        "task_median_s": heaviest.get("task_median_s"),
        "task_max_s": heaviest.get("task_max_s"),
        "cpu_s": cpu_s,
        "driver_cpu_s": cpu_s / 2,
        "worker_cpu_s": cpu_s / 2,
        "read_bytes": 34_600_000,
        "written_bytes": 812,
        "records": 100,
        "spark_stages": listed,
        **changes,
    }
