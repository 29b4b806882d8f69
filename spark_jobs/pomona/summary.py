"""The run in one document: `summary.json`, stable and versioned; docs/summary.md describes each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pomona.command import Place
from pomona.cost import Cost
from pomona.effort import RECORDS
from pomona.lake import now
from pomona.scaling import scaling
from pomona.standing import Standing

FORMAT = 1
_COUNTS = (
    "listed", "ignored", "in", "kept", "rejected", "duplicate", "leaked", "conflict", "unselected", "gone", "new",
    "train", "test", "labels", "groups",
)  # fmt: skip
_SCORE = ("accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval", "n_images", "n_groups")


@dataclass(frozen=True)
class Facts:
    """What a run's manifests, outcomes and documents say, and what registering it made of it."""

    place: Place
    manifests: Mapping[str, Mapping[str, Any]]
    outcomes: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    version: int | None = None
    standing: Standing = field(default_factory=Standing)
    register_effort: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost | None = None

    def registered(self, *, version: int, standing: Standing, effort: Mapping[str, Any], cost: Cost | None = None) -> Facts:
        """The same run with its version; `effort` is register's own until now."""
        return replace(self, version=version, standing=standing, register_effort=effort, cost=cost)

    @property
    def knobs(self) -> Mapping[str, Any]:
        """All resolved knobs of the run."""
        return dict(self.manifests["ingest"]["notes"]["state"]["knobs"])

    @property
    def notes(self) -> Mapping[str, Any]:
        """What ingest found worth telling."""
        return dict(self.manifests["ingest"]["notes"])

    @property
    def started_by(self) -> str:
        """What started the run, in words: `schedule`, `arrival of …`, `person (name)`."""
        return str(self.notes.get("started_by") or "person")

    @property
    def counts(self) -> dict[str, int]:
        counted = self.manifests["ingest"]["counts"]
        return {name: int(counted[name]) for name in _COUNTS}

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of what was fitted (the files' bytes are a function of the arrays), of the data and of the code."""
        digest = {name: self.manifests[stage]["datasets"][name] for stage, name in _FITTED}
        fitted = {name: entry["files"][0]["sha256"] for name, entry in digest.items() if name != "roster"}
        return {
            "vocabulary": fitted["vocabulary"],
            "pca": fitted["encoder"],
            "model": fitted["model"],
            "roster": digest["roster"]["digest"],
            "placements": self.notes["state"]["placements"],
            "code": self.notes["state"]["code"],
        }

    @property
    def seconds(self) -> dict[str, float]:
        """Wall seconds of each stage's work, from its first line to its outcome; starting the JVM is not in them."""
        found = {stage: float(outcome.get("seconds", 0.0)) for stage, outcome in self.outcomes.items()}
        return {**found, "register": round(self.register_effort.get("seconds", 0.0), 3)}

    @property
    def efforts(self) -> dict[str, Mapping[str, Any]]:
        """What each stage cost, by name; those of an earlier release, which did not tell, are missing."""
        told = {stage: outcome.get("effort") for stage, outcome in self.outcomes.items()}
        return {stage: effort for stage, effort in {**told, "register": self.register_effort}.items() if effort}

    def records(self, stage: str) -> int | None:
        """How many records the stage handled; None where nothing is counted."""
        name = RECORDS.get(stage)
        return int(self.manifests[stage]["counts"][name]) if name else None


_FITTED = (("learn_vocabulary", "vocabulary"), ("encode", "encoder"), ("train", "model"), ("ingest", "roster"))


def summary(facts: Facts) -> dict[str, Any]:
    """The document. A field once written keeps its name and meaning while `summary` is 1."""
    scores = {
        "official": {name: facts.metrics["official"][name] for name in _SCORE},
        "group_safe": {name: facts.metrics["group_safe"][name] for name in (*_SCORE, "why")},
        "cross_validated": _validation(facts.metrics["validation"]),
        "without_exact_copies": _without(facts.metrics, "exact"),
        "without_near_copies": _without(facts.metrics, "near"),
    }
    seconds = facts.seconds
    return {
        "summary": FORMAT,
        "name": facts.place.name,
        "run": facts.place.run,
        "started_by": facts.started_by,
        "ended": now(),
        "counts": facts.counts,
        "scores": scores,
        **worth(facts.metrics, facts.verdict),
        "seconds": {**seconds, "total": round(sum(seconds.values()), 3)},
        "effort": {stage: _effort(stage, told) for stage, told in facts.efforts.items()},
        "cost": facts.cost.document if facts.cost else None,
        "hashes": facts.hashes,
        "model": {
            "name": facts.place.name,
            "version": facts.version,
            "champion": facts.standing.moved,
            "outcome": facts.standing.words,
        },
        "verdict": {name: facts.verdict.get(name) for name in ("decision", "reason", "champion", "rule")},
        "snapshot": facts.notes["snapshot"],
        "extractor": facts.manifests["describe"]["notes"]["extractor"],
        "knobs": facts.knobs,
        "stages": {
            stage: {"line": outcome.get("line", ""), "counts": outcome.get("counts", {})} for stage, outcome in facts.outcomes.items()
        },
        "files": {
            "report": "report.html",
            "features": "features/",
            "features_csv": "features.csv",
            "predictions": "predictions/predictions.parquet",
            "predictions_csv": "predictions.csv",
        },
    }


def _effort(stage: str, told: Mapping[str, Any]) -> dict[str, Any]:
    found = scaling(stage, told)
    skew = None if found.skew is None else round(found.skew, 2)
    flat = {name: value for name, value in told.items() if name != "spark_stages"}
    return {**flat, "alone_s": round(found.alone_s, 3), "skew": skew, "twice": round(found.twice, 3), "words": found.words}


def worth(metrics: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the scores are worth: `copies`, `robustness`, `calibration`, `unknown` and `baselines`, with None for what was not measured."""
    exact, near = (_copies(metrics, kind) for kind in ("exact", "near"))
    robustness, calibration = metrics.get("robustness") or {}, metrics.get("calibration") or {}
    accuracies = {row["name"]: row["accuracy"] for row in robustness.get("rows", [])}
    unknown = (metrics.get("validation") or {}).get("unknown") or {}
    baselines = verdict.get("baselines") or {}
    return {
        "copies": {"exact": exact.get("n_test"), "removed": exact.get("n_removed"), "near": near.get("n_test")},
        "robustness": {
            "worst": robustness.get("worst") or None,
            "accuracy": accuracies.get(robustness.get("worst")),
            "unspoiled": accuracies.get("none"),
            "accuracies": accuracies,
            "n_images": robustness.get("n_images", 0),
            "n_groups": robustness.get("n_groups", 0),
        },
        "calibration": {name: calibration.get(name) for name in ("expected_error", "log_loss", "brier")},
        "unknown": {name: unknown.get(name) for name in ("marked_known", "marked_unknown", "separation", "n_known", "n_unknown", "why")},
        "baselines": {name: baselines.get(name) for name in ("majority", "histogram")},
    }


def figures(metrics: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, float | None]:
    """The same figures under flat names, as MLflow wants them."""
    found = worth(metrics, verdict)
    without = {f"without_{kind}_copies_accuracy": (_without(metrics, kind) or {}).get("accuracy") for kind in ("exact", "near")}
    return {
        **without,
        "robustness_worst_accuracy": found["robustness"]["accuracy"],
        "calibration_error": found["calibration"]["expected_error"],
        "marked_known": found["unknown"]["marked_known"],
        "marked_unknown": found["unknown"]["marked_unknown"],
        "baseline_majority_accuracy": found["baselines"]["majority"],
        "baseline_histogram_accuracy": found["baselines"]["histogram"],
    }


def _copies(metrics: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return (metrics.get("leakage") or {}).get(kind) or {}


def _without(metrics: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    found = _copies(metrics, kind).get("without")
    return {name: found[name] for name in ("accuracy", "accuracy_interval", "macro_f1", "n_images", "n_groups")} if found else None


def _validation(validation: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"accuracy_interval": validation["interval"], "macro_f1_interval": [None, None]}
    return {**{name: validation.get(name) for name in ("accuracy", "macro_f1", "n_images", "n_groups", "n_folds", "why")}, **renamed}
