"""The contract: every dataset and stage of Pomona, declared once, with the standard library only.

The knobs stand beside it in `knobs.py`, what is read off both in `command.py`. The DAG's edges and trigger
form, the job's command line, MLflow's parameters, the schema checks, the README tables and the tests are
derived from what stands here; `python -m pomona.stages` prints the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pomona.knobs import KNOBS


@dataclass(frozen=True)
class Column:
    """One column of a table (an Arrow type name) or one array of an `.npz` (dtype and shape)."""

    name: str
    type: str
    help: str


@dataclass(frozen=True)
class Dataset:
    """A named thing that one stage writes and others read.

    `kind` is `rows` (Parquet), `arrays` (`.npz`, read with `allow_pickle=False`) or `document` (JSON).
    `shared` datasets are immutable parts that all runs of a lake use; the others belong to one run.
    """

    name: str
    kind: Literal["rows", "arrays", "document"]
    help: str
    columns: tuple[Column, ...]
    shared: bool = False


@dataclass(frozen=True)
class Stage:
    """One Airflow task and one Spark application: what it reads, what it writes, the knobs it obeys."""

    name: str
    help: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    knobs: tuple[str, ...]
    timeout_minutes: int = 120


def _columns(*rows: tuple[str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


_CONTENT = ("content", "string", "SHA-256 of the file's bytes, hexadecimal")

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "images",
            "rows",
            "one row per content: the bytes as they came",
            _columns(
                _CONTENT,
                ("image", "binary", "the file's bytes, untouched"),
                ("format", "string", "what the bytes are (JPEG, PNG, …), whatever the file's name says"),
                ("width", "int32", "pixels, as stored"),
                ("height", "int32", "pixels, as stored"),
            ),
            shared=True,
        ),
        Dataset(
            "placements",
            "rows",
            "one row per path of a readable image, over all time; a numbered snapshot of it belongs to each run",
            _columns(
                ("path", "string", "below the landing folder, with /"),
                ("size", "int64", "bytes, as listed"),
                ("version", "string", "modification time or ETag, as listed"),
                _CONTENT,
                ("part", "string", "the images part that holds the bytes"),
                ("label", "string", "first folder below the split"),
                ("split", "string", "train or test"),
                ("group", "string", "images that belong together (a video, a variety)"),
                ("first_seen", "string", "UTC, ISO 8601"),
                ("gone_since", "string", "UTC, ISO 8601; null while the path is listed"),
            ),
        ),
        Dataset(
            "rejects",
            "rows",
            "one row per listed file that is no usable image",
            _columns(
                ("path", "string", "below the landing folder, with /"),
                ("size", "int64", "bytes, as listed"),
                ("version", "string", "modification time or ETag, as listed"),
                ("reason", "string", "why, in a few words"),
                ("final", "bool", "false: looked at again by the next ingest"),
                ("first_seen", "string", "UTC, ISO 8601"),
            ),
        ),
        Dataset(
            "roster",
            "rows",
            "the distinct images of one run, sorted by content: leaks, copies and conflicts taken out",
            _columns(
                _CONTENT,
                ("path", "string", "its first path"),
                ("label", "string", "its one label"),
                ("split", "string", "train or test"),
                ("group", "string", "images that belong together"),
                ("part", "string", "the images part that holds the bytes"),
            ),
        ),
        Dataset(
            "descriptors",
            "rows",
            "one row per content and extractor key: local descriptors and a colour histogram",
            _columns(
                _CONTENT,
                ("n_keypoints", "int32", "rows of the matrix; may be 0"),
                ("descriptors", "binary", "(n_keypoints, n_dims) uint8, row by row"),
                ("histogram", "binary", "(n_bins,) float32, sums to 1"),
            ),
            shared=True,
        ),
        Dataset(
            "vocabulary",
            "arrays",
            "the visual words",
            _columns(("words", "float32[n_words, n_dims]", "centres in the space of prepared descriptors")),
        ),
        Dataset(
            "encoder",
            "arrays",
            "the projection fitted on training rows",
            _columns(
                ("mean", "float64[n_features]", "mean of the training vectors"),
                ("components", "float64[n_components, n_features]", "principal axes, largest variance first"),
            ),
        ),
        Dataset(
            "features",
            "rows",
            "one row per image of the run, beside it the same as CSV",
            _columns(
                _CONTENT,
                ("image", "string", "its first path"),
                ("label", "string", "its one label"),
                ("split", "string", "train or test"),
                ("group", "string", "images that belong together"),
                ("features", "list<float64>", "the projected vector"),
            ),
        ),
        Dataset(
            "model",
            "arrays",
            "the classifier's layers: weights0, bias0, weights1, …",
            _columns(
                ("classes", "str[n_classes]", "labels, sorted"),
                ("weights0", "float64[n_components, n_out]", "first layer; further layers follow"),
                ("bias0", "float64[n_out]", "first layer's bias"),
            ),
        ),
        Dataset(
            "validation",
            "document",
            "grouped cross-validation on training rows, everything fitted inside the fold",
            _columns(
                ("accuracy", "float", "mean over held-out images"),
                ("macro_f1", "float", "mean of the classes' F1"),
                ("interval", "list", "95 % interval of the accuracy, groups resampled"),
                ("n_images", "int", "images in the declared sample"),
                ("n_groups", "int", "their groups"),
                ("n_folds", "int", "folds; 0 when the data allow none, then `why` says so"),
            ),
        ),
        Dataset(
            "predictions",
            "rows",
            "one row per test image, beside it the same as CSV",
            _columns(
                _CONTENT,
                ("image", "string", "its first path"),
                ("label", "string", "what the folder says"),
                ("group", "string", "images that belong together"),
                ("prediction", "string", "what the model says"),
                ("probability", "float64", "of the prediction"),
                ("probabilities", "list<float64>", "of every class, in the model's order"),
            ),
        ),
        Dataset(
            "metrics",
            "document",
            "the scores, official and group-safe, with intervals over groups",
            _columns(
                ("official", "dict", "scores on all test images"),
                ("group_safe", "dict", "scores on test images whose group is not in train"),
                ("validation", "dict", "the cross-validated score from train"),
            ),
        ),
        Dataset(
            "verdict",
            "document",
            "promote or keep, and why",
            _columns(
                ("decision", "str", "promote or keep"),
                ("reason", "str", "one line"),
                ("champion", "int", "the version it was measured against; null without one"),
            ),
        ),
        Dataset(
            "registration",
            "document",
            "the MLflow version, the report and the summary of the run",
            _columns(
                ("version", "int", "the registered model's version"),
                ("alias_moved", "bool", "whether champion points to it now"),
            ),
        ),
    )
}

_FIT = ("seed", "n_words", "descriptors_per_word", "kmeans_iterations", "root", "colour_weight")
_ENCODE = ("encoding", "histogram_weight", "n_components")

STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "ingest",
            "takes in what the landing zone has and the lake has not",
            reads=(),
            writes=("images", "placements", "rejects", "roster"),
            knobs=("labels", "group_pattern", "max_megapixels", "max_reject_share", "max_gone_share"),
        ),
        Stage(
            "describe",
            "computes local descriptors and a colour histogram of images that have none yet",
            reads=("images", "roster"),
            writes=("descriptors",),
            knobs=("extractor", "side_px", "max_keypoints", "contrast_threshold", "edge_threshold"),
        ),
        Stage(
            "learn_vocabulary",
            "draws training descriptors and clusters them into visual words",
            reads=("roster", "descriptors"),
            writes=("vocabulary",),
            knobs=("extractor", *_FIT),
        ),
        Stage(
            "encode",
            "turns each image into a bag of words beside its histogram, and projects it",
            reads=("roster", "descriptors", "vocabulary"),
            writes=("encoder", "features"),
            knobs=("extractor", "root", "colour_weight", *_ENCODE),
        ),
        Stage(
            "train",
            "fits the classifier and cross-validates the whole chain by groups",
            reads=("roster", "descriptors", "features"),
            writes=("model", "validation"),
            knobs=(
                "extractor",
                *_FIT,
                *_ENCODE,
                "classifier",
                "regularisation",
                "max_iterations",
                "balance",
                "folds",
                "fold_images",
                "max_matrix_mb",
                "resamples",
            ),
        ),
        Stage(
            "evaluate",
            "scores the model on test images and judges it against the champion",
            reads=("images", "roster", "features", "model", "validation"),
            writes=("metrics", "predictions", "verdict"),
            knobs=("seed", "margin", "min_test", "resamples"),
        ),
        Stage(
            "register",
            "makes the model an MLflow version, moves the alias if the verdict says so, writes report and summary",
            reads=("images", "roster", "descriptors", "vocabulary", "encoder", "model", "metrics", "predictions", "verdict"),
            writes=("registration",),
            knobs=(),
        ),
    )
}


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
    lines += ["", "| knob | default | classic | allowed | what |", "| --- | --- | --- | --- | --- |"]
    for knob in KNOBS.values():
        values = [_cell(knob.value_in(preset)) for preset in ("default", "classic")]
        lines.append(f"| `{knob.name}` | {values[0]} | {values[1]} | {_escaped(knob.bounds)} | {knob.help} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{_escaped(value)}`" if isinstance(value, str) and value else f"{_escaped(value)}"


def _escaped(value: object) -> str:
    return str(value).replace("|", "\\|")


if __name__ == "__main__":
    print(tables())
