"""The contract: every stage of Pomona, declared once, with the standard library only.

Beside it stand the datasets (`datasets.py`) and the knobs (`knobs.py`). The DAG's edges and trigger form, the job's
command line, MLflow's parameters, the schema checks, the README tables and the tests are derived from them;
`python -m pomona.stages` prints the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pomona.knobs import KNOBS


@dataclass(frozen=True)
class Stage:
    """One Airflow task and one Spark application: what it reads, what it writes, the knobs it obeys."""

    name: str
    help: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    knobs: tuple[str, ...]
    timeout_minutes: int = 120
    # Whether it holds the lake for itself while it works.
    holds_lake: bool = True
    # Whether it has tasks for Spark whatever comes, so that Spark may come up beside the job's imports.
    has_tasks: bool = False


_FIT = (
    "seed",
    "n_words",
    "descriptors_per_word",
    "kmeans_iterations",
    "em_steps",
    "local_components",
    "root",
    "colour_weight",
    "energy_weight",
)
_ENCODE = ("encoding", "turns", "histogram_weight", "n_components", "projection_images")

STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "ingest",
            "takes in what the landing zone has and the lake has not",
            reads=(),
            writes=("images", "placements", "rejects", "roster", "annotations"),
            knobs=("labels", "group_pattern", "max_megapixels", "max_reject_share", "max_gone_share"),
        ),
        Stage(
            "describe",
            "computes local descriptors and a colour histogram of images that have none yet",
            reads=("images", "roster"),
            writes=("descriptors",),
            knobs=("extractor", "side_px", "max_keypoints", "contrast_threshold", "edge_threshold", "grid_px", "object_only", "copies"),
        ),
        Stage(
            "learn_vocabulary",
            "draws training descriptors and clusters them into visual words",
            reads=("roster", "descriptors"),
            writes=("vocabulary",),
            knobs=("extractor", *_FIT),
            has_tasks=True,
        ),
        Stage(
            "encode",
            "turns each image into a vector and projects it; looks for near copies across the split",
            reads=("roster", "descriptors", "vocabulary"),
            writes=("encoder", "features", "near_copies"),
            knobs=("extractor", "seed", "root", "colour_weight", "energy_weight", *_ENCODE, "near_distance"),
            has_tasks=True,
        ),
        Stage(
            "train",
            "fits the classifier and cross-validates the whole chain by groups",
            reads=("images", "roster", "descriptors", "vocabulary", "encoder", "features"),
            writes=("model", "familiarity", "profile", "baseline", "validation", "suspects"),
            knobs=(
                "extractor",
                *_FIT,
                *_ENCODE,
                "classifier",
                "regularisation",
                "max_iterations",
                "balance",
                "copies",
                "copy_weight",
                "folds",
                "fold_images",
                "ablation",
                "max_matrix_mb",
                "resamples",
            ),
            has_tasks=True,
        ),
        Stage(
            "evaluate",
            "scores the model on test images and judges it against the champion",
            reads=(
                "images",
                "placements",
                "roster",
                "descriptors",
                "vocabulary",
                "encoder",
                "features",
                "near_copies",
                "model",
                "familiarity",
                "baseline",
                "validation",
            ),
            writes=("metrics", "predictions", "verdict"),
            knobs=(
                "seed",
                "margin",
                "max_class_drop",
                "significance",
                "floor",
                "min_test",
                "near_distance",
                "robustness_images",
                "resamples",
            ),
        ),
        Stage(
            "register",
            "makes the model an MLflow version, moves the alias if the verdict says so, writes report and summary",
            reads=(
                "images",
                "roster",
                "descriptors",
                "vocabulary",
                "encoder",
                "model",
                "familiarity",
                "profile",
                "metrics",
                "predictions",
                "verdict",
            ),
            writes=("registration",),
            knobs=(),
        ),
    )
}

# No task of the DAG: `make check-settings` submits it.
PROBE = Stage(
    "probe",
    "looks whether driver and executors reach lake, landing zone and MLflow",
    reads=(),
    writes=(),
    knobs=(),
    holds_lake=False,
)
# No task of the chain: the DAG `rollback` and `make rollback` submit it. It waits for no stage at work: the ledger lets one win.
ROLLBACK = Stage(
    "rollback",
    "checks an earlier version, makes it champion again and holds automatic promotion; or releases that hold",
    reads=(),
    writes=(),
    knobs=(),
    timeout_minutes=30,
    holds_lake=False,
)
# No task of the chain either: the DAG `score` and `make score` submit it. A long one must not keep the chain waiting.
SCORE = Stage(
    "score",
    "asks the champion about pictures that nobody has labelled, all of them when it has changed; looks whether they are as in training",
    reads=(),
    writes=("scored", "observations"),
    knobs=(),
    holds_lake=False,
)
# No task of the chain: the DAG `tidy` and `make tidy` submit it. No stage works meanwhile.
TIDY = Stage(
    "tidy",
    "removes runs, parts and logs that nobody needs any more, and packs small parts together",
    reads=(),
    writes=(),
    knobs=(),
)
JOBS: Mapping[str, Stage] = {**STAGES, **{job.name: job for job in (PROBE, ROLLBACK, SCORE, TIDY)}}


_SHOWN = ("default", "max", "fast", "classic")


def edges() -> list[tuple[str, str]]:
    """(earlier, later) pairs of stage names: one for each dataset read, less those that a longer way implies."""
    writer = {dataset: stage.name for stage in STAGES.values() for dataset in stage.writes}
    direct = {stage.name: {writer[dataset] for dataset in stage.reads} for stage in STAGES.values()}
    reach: dict[str, set[str]] = {}
    for name in STAGES:
        reach[name] = direct[name].union(*(reach[earlier] for earlier in direct[name]))
    return [
        (earlier, later)
        for later in STAGES
        for earlier in STAGES
        if earlier in direct[later] and not any(earlier in reach[between] for between in direct[later])
    ]


def tables() -> str:
    """The stages and the knobs as Markdown tables, as the README shows them."""
    lines = ["| stage | reads | writes | it |", "| --- | --- | --- | --- |"]
    for stage in STAGES.values():
        lines.append(f"| `{stage.name}` | {', '.join(stage.reads) or 'the landing zone'} | {', '.join(stage.writes)} | {stage.help} |")
    lines += ["", f"| knob | {' | '.join(_SHOWN)} | allowed | what |", "| --- |" + " --- |" * (len(_SHOWN) + 2)]
    for knob in KNOBS.values():
        values = [_cell(knob.value_in(preset)) for preset in _SHOWN]
        # Where the presets agree the value stands once.
        shown = " | ".join(values if len(set(values)) > 1 else [values[0], *[""] * (len(values) - 1)])
        lines.append(f"| `{knob.name}` | {shown} | {_escaped(knob.bounds)} | {knob.help} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{_escaped(value)}`" if isinstance(value, str) and value else f"{_escaped(value)}"


def _escaped(value: object) -> str:
    return str(value).replace("|", "\\|")


if __name__ == "__main__":
    print(tables())
