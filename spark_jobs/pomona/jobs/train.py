"""train: fits the classifier on the training rows, and cross-validates the whole chain by groups.

Rows in: features of training images (gathered: its size is bounded and checked before), descriptors of a sample of
them. Out: the classifier's layers, and the cross-validated score with vocabulary, projection and classifier fitted
inside each fold, the images whose label it doubts, and what some of the images looked like to the model.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pomona.ablation import ablated, compared_rows
from pomona.fitted import fitted
from pomona.formats import arrow_schema
from pomona.labels.suspects import Suspect, suspect_groups, suspects
from pomona.lake import Lake
from pomona.monitoring.profile import MAX_IMAGES
from pomona.monitoring.training import profiled
from pomona.outcome import BadInput, File, Result
from pomona.scoring import interval, scores
from pomona.vision.chain import Row
from pomona.vision.classify import Classifier, OneClass, fit
from pomona.vision.describe import Description, n_dims
from pomona.vision.observe import Fit
from pomona.vision.outsiders import outsiders
from pomona.vision.unknown import Familiarity, Rule, known_classes
from pomona.vision.validate import Validation, cross_validate
from pomona.work import LOG, Work

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_OF_EACH_LABEL = 2
_BASELINE = {"classifier": "logistic_regression", "regularisation": 30.0, "max_iterations": 200, "balance": "group"}


def run(work: Work) -> Result:
    """Gathers the training rows sorted by content, fits, and cross-validates a sample of them."""
    import pyarrow.compute as pc

    table, matrix = gathered(work.lake, work.lake.files(work.run, "features"), max_mb=work.knobs["max_matrix_mb"])
    labels, groups, copies = (table[name].to_pylist() for name in ("label", "group", "copy"))
    try:
        classifier = fit(matrix, labels, groups, copies, knobs=work.knobs)
    except OneClass as error:
        raise BadInput(str(error)) from None
    n_images = copies.count(0)
    LOG.info(
        "train: fitted on %s images and %s copies of %s classes, cross-validating",
        f"{n_images:,}",
        f"{len(matrix) - n_images:,}",
        len(classifier.classes),
    )
    is_image = pc.equal(table["copy"], 0)
    images, own = table.filter(is_image), is_image.to_numpy(zero_copy_only=False)
    known = known_classes(matrix if own.all() else matrix[own], images["label"].to_pylist())
    sample = sampled(images.select(["content", "label", "group"]).to_pandas(), n_images=work.knobs["fold_images"], seed=work.knobs["seed"])
    rows = _rows(work, sample)
    found = held_out(work.knobs, rows)
    (validation, rule), doubted = validated(work.knobs, rows, found), suspects(rows, found)
    familiarity = Familiarity(known, rule)
    chain = fitted(work, classifier=classifier, familiarity=familiarity)
    some = {*sampled(sample, n_images=MAX_IMAGES, seed=work.knobs["seed"])["content"]}
    profile = profiled(work, chain, *_of(some, rows, found, chain.classifier.classes))
    for dataset in work.order.stage.writes:
        work.clear(dataset)
    files = {
        "baseline": [work.lake.write_arrays(work.folder("baseline"), "baseline", baseline(rows, work.knobs).arrays())],
        "model": [work.lake.write_arrays(work.folder("model"), "model", classifier.arrays())],
        "familiarity": [work.lake.write_arrays(work.folder("familiarity"), "familiarity", familiarity.arrays())],
        "profile": [work.lake.write_arrays(work.folder("profile"), "profile", profile)],
        "validation": [work.lake.write_document(work.folder("validation"), "validation", validation)],
        "suspects": [work.lake.write_rows(work.folder("suspects"), "suspects", suspect_rows(doubted), name="suspects.parquet")],
    }
    n_groups = pc.count_distinct(table["group"]).as_py()
    counts = {"train": n_images, "groups": n_groups, "classes": len(classifier.classes), "suspects": len(doubted)}
    notes = {"suspect_groups": [group._asdict() for group in suspect_groups(rows, found)]}
    score = (
        f"cross-validated by groups {validation['accuracy']:.3f}" if validation["n_folds"] else f"not cross-validated: {validation['why']}"
    )
    return Result(f"{len(classifier.classes)} classes from {n_images:,} images in {n_groups:,} groups; {score}", files, counts, notes)


def gathered(lake: Lake, files: Iterable[File], *, max_mb: float) -> tuple[pa.Table, np.ndarray]:
    """The training rows sorted by content and copy, without their features, and these as an (n_train, n_components) float64 matrix.

    Raises
    ------
    BadInput
        When the matrix would be larger than `max_mb`; it is not gathered then.
    """
    import pyarrow as pa

    parts = [file for file in files if file.path.endswith(".parquet")]
    size = sum(file.bytes for file in parts)
    if size > max_mb * 1e6:
        raise BadInput(
            f"the feature table takes {size / 1e6:,.0f} MB and max_matrix_mb={max_mb:g}: raise max_matrix_mb on a driver with "
            "twice that memory to spare, or lower n_components"
        )
    rows = []
    for file in parts:
        table = lake.read_rows([file])
        rows.append(table.filter(pa.compute.equal(table["split"], "train")))
    train = pa.concat_tables(rows).sort_by([("content", "ascending"), ("copy", "ascending")])
    matrix = train["features"].combine_chunks().flatten().to_numpy().reshape(train.num_rows, -1)
    return train.drop_columns("features"), matrix


def sampled(rows: pd.DataFrame, *, n_images: int, seed: int) -> pd.DataFrame:
    """At most `n_images` rows, as many of each group as of the others where it has them, drawn by a hash of content and seed.

    The sample is a function of the set of rows: groups of few images are taken whole, the others share what is left. Of each label two
    come first, of two groups if it has them: a rare one would be missing among thousands of groups, and the folds would not know it.
    """
    keys = [hashlib.sha256(f"{seed}/{content}".encode()).hexdigest() for content in rows["content"]]
    ranked = rows.assign(key=keys).sort_values("key")
    ranked["rank"] = ranked.groupby("group").cumcount()
    ranked = ranked.sort_values(["rank", "key"])
    ranked["turn"] = ranked.groupby("label").cumcount().clip(upper=_OF_EACH_LABEL)
    return ranked.sort_values(["turn", "rank", "key"]).head(n_images).sort_values("content")[list(rows.columns)]


def baseline(rows: Sequence[Row], knobs: Mapping[str, Any]) -> Classifier:
    """A logistic regression on the square root of the histograms, groups balanced: what telling colours apart achieves."""
    histograms = np.sqrt([row.description.histogram.astype(np.float64) for row in rows])
    labels, groups = [row.label for row in rows], [row.group for row in rows]
    return fit(histograms, labels, groups, knobs={**knobs, **_BASELINE})


def held_out(knobs: Mapping[str, Any], rows: Sequence[Row]) -> Validation:
    """What chains say of a sample of the training images that were fitted without their groups; why, where there are none."""
    nobody: tuple[str | None, ...] = (None,) * len(rows)
    if knobs["folds"] == 0:
        return Validation(nobody, 0, "the knob folds is 0")
    groups_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        groups_of[row.label].add(row.group)
    if sum(len(groups) > 1 for groups in groups_of.values()) < 2:
        return Validation(nobody, 0, "fewer than two classes have a second group, which could be held out")
    return cross_validate(rows, knobs)


def suspect_rows(found: Sequence[Suspect]) -> pa.Table:
    """The dataset `suspects`, in their order."""
    import pyarrow as pa

    return pa.Table.from_pylist([suspect._asdict() for suspect in found], schema=arrow_schema("suspects"))


def validated(knobs: Mapping[str, Any], rows: Sequence[Row], found: Validation) -> tuple[dict[str, Any], Rule | None]:
    """The validation document of the contract, of the rows that were held out so, and the rule for what is unknown."""
    if found.n_folds == 0:
        return _unvalidated(found.why), None
    labels, groups, predictions = compared_rows(rows, found.predictions)
    result = scores(labels, predictions, sorted({row.label for row in rows}))
    spread = interval(labels, predictions, groups, statistic="accuracy", resamples=knobs["resamples"], seed=knobs["seed"])
    told = outsiders(rows, knobs, found.signs)
    return {
        "accuracy": result["accuracy"],
        "macro_f1": result["macro_f1"],
        "interval": [spread.low, spread.high],
        "n_images": spread.n_images,
        "n_groups": spread.n_groups,
        "n_folds": found.n_folds,
        "why": found.why,
        "unknown": {name: value for name, value in told._asdict().items() if name != "rule"},
        "ablation": ablated(rows, knobs, found) if knobs["ablation"] else [],
    }, told.rule


def _of(contents: Collection[str], rows: Sequence[Row], found: Validation, classes: Sequence[str]) -> tuple[list[Row], list[Fit | None]]:
    """The rows of these contents, and how they fitted the chains that held them out and that tell the same classes apart."""
    fits = found.fits if found.fits and found.classes == tuple(classes) else (None,) * len(rows)
    places = [place for place, row in enumerate(rows) if row.content in contents]
    return [rows[place] for place in places], [fits[place] for place in places]


def _unvalidated(why: str) -> dict[str, Any]:
    return {
        "accuracy": None,
        "macro_f1": None,
        "interval": [None, None],
        "n_images": 0,
        "n_groups": 0,
        "n_folds": 0,
        "why": why,
        "unknown": {"why": why},
        "ablation": [],
    }


def _rows(work: Work, sample: pd.DataFrame) -> list[Row]:
    """The sample with its descriptions and those of its copies, sorted by content."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dims = n_dims(work.knobs["extractor"])
    files, index = work.described()
    index = index.filter(pc.is_in(index["content"], pa.array(sample["content"])))
    schema = pa.schema([("content", pa.string()), ("copy", pa.int32()), ("descriptors", pa.binary()), ("histogram", pa.binary())])
    wanted = index.select(["content", "copy", "part"])
    rows = work.parts(files, wanted, schema.names).table(schema)
    described: dict[str, dict[int, Description]] = defaultdict(dict)
    for content, copy, descriptors, histogram in zip(*rows.columns, strict=True):
        matrix = np.frombuffer(descriptors.as_buffer(), np.uint8).reshape(-1, dims)
        described[content.as_py()][copy.as_py()] = Description(matrix, np.frombuffer(histogram.as_buffer(), np.float32))
    columns = zip(*(sample[name] for name in ("content", "label", "group")), strict=True)
    return [Row(content, label, group, *_image_and_copies(described[content])) for content, label, group in columns]


def _image_and_copies(described: Mapping[int, Description]) -> tuple[Description, tuple[Description, ...]]:
    return described[0], tuple(described[copy] for copy in sorted(described) if copy)
