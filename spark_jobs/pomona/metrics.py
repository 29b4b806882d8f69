"""The metrics document of a run: what it needs is read, measured and put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pomona import measures, robustness
from pomona.calibration import calibration
from pomona.fitted import fitted
from pomona.leakage import linked_by_near_copies, training_copies, unsafe_groups
from pomona.work import LOG, Work

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def measured(work: Work, predictions: pa.Table, classes: Sequence[str], train_groups: set[str]) -> dict[str, Any]:
    """The document `metrics` of the contract.

    Parameters
    ----------
    predictions : of every test image, in the columns of the contract
    classes : the model's, in the order of the probabilities
    train_groups : the groups that have an image in train
    """
    knobs, notes = work.knobs, work.lake.manifest(work.run, "ingest")["notes"]
    drawing = {"resamples": knobs["resamples"], "seed": knobs["seed"]}
    rows = predictions.drop_columns(["probabilities"]).to_pandas()
    probabilities = predictions["probabilities"].combine_chunks().flatten().to_numpy().reshape(len(rows), len(classes))
    near, roster = work.table("near_copies").to_pandas(), work.table("roster", ["content", "group", "part"])
    linked = sorted({*_linked(rows, near, roster), *((test, train) for test, train in notes["linked_groups"])})
    placements = work.table("placements", ["path", "content", "label", "split", "gone_since"])
    return {
        **measures.scored(rows, classes=classes, unsafe_groups=unsafe_groups(train_groups, linked), **drawing),
        "leakage": measures.leakage(
            rows,
            exact=training_copies(placements, dict(zip(rows["content"], rows["label"], strict=True))),
            near=near,
            max_distance=knobs["near_distance"],
            shared_groups=notes["shared_groups"],
            linked_groups=linked,
            **drawing,
        ),
        "calibration": calibration(probabilities, rows["label"].tolist(), classes),
        "robustness": _robustness(work, rows, roster),
        "worst_groups": measures.worst_groups(rows),
        "validation": work.document("validation"),
    }


def _linked(rows: pd.DataFrame, near: pd.DataFrame, roster: pa.Table) -> list[tuple[str, str]]:
    group = dict(zip(roster["content"].to_pylist(), roster["group"].to_pylist(), strict=True))
    pairs = zip(near["content"].map(group), near["train_content"].map(group), strict=True)
    return linked_by_near_copies(pairs, Counter(rows["group"]))


def _robustness(work: Work, rows: pd.DataFrame, roster: pa.Table) -> dict[str, Any]:
    """Of a few test images, which are read and answered on the driver."""
    import pyarrow as pa
    import pyarrow.compute as pc

    knobs = work.knobs
    if not knobs["robustness_images"]:
        return robustness.nothing(robustness.SWITCHED_OFF)
    drawn = robustness.drawn(rows, knobs["robustness_images"])
    chosen = roster.filter(pc.is_in(roster["content"], pa.array(drawn["content"], pa.string()))).sort_by([("part", "ascending")])
    order = chosen["content"].to_pylist()

    def read(contents: Sequence[str]) -> dict[str, bytes]:
        return work.pictures(chosen.filter(pc.is_in(chosen["content"], pa.array(contents, pa.string()))))

    LOG.info("evaluate: answering %s test images %d times each, as they are and spoiled", f"{len(order):,}", robustness.ANSWERS_AN_IMAGE)
    seen: list[str] = []
    with work.progress(lambda: len(seen), len(order), "images, spoiled"):
        rows = drawn.set_index("content").loc[order].reset_index()
        return robustness.robustness(fitted(work), rows, read, seed=knobs["seed"], resamples=knobs["resamples"], done=seen.append)
