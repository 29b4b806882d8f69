"""evaluate: scores the model on the test images and judges it against the champion.

Rows in: features and colour histograms of test images; images of those that the champion has not seen either. Out: a prediction per test
image, the scores with intervals over groups, and the verdict.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pomona import judgement, tracking
from pomona.baselines import by_colour, commonest
from pomona.checks import Alone, Rules
from pomona.contest import Rival, answered, answers_schema, rival
from pomona.formats import arrow_schema
from pomona.metrics import measured
from pomona.outcome import File, Result
from pomona.paragraph import paragraph
from pomona.vision.classify import Classifier, probabilities
from pomona.work import LOG, Work

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def predicted(features: pa.Table, classifier: Classifier) -> pa.Table:
    """A predictions row for each features row, in the columns of the contract."""
    import pyarrow as pa

    matrix = features["features"].combine_chunks().flatten().to_numpy().reshape(-1, len(classifier.layers[0][0]))
    # One at a time: the same bits as the served model's.
    answers = [probabilities(classifier, row) for row in matrix]
    best = [int(answer.argmax()) for answer in answers]
    columns = [
        *(features[name] for name in ("content", "image", "label", "group")),
        pa.array([classifier.classes[i] for i in best], pa.string()),
        pa.array([float(answer[i]) for answer, i in zip(answers, best, strict=True)], pa.float64()),
        pa.array([answer.tolist() for answer in answers], pa.list_(pa.float64())),
    ]
    return pa.Table.from_arrays(columns, schema=arrow_schema("predictions"))


def run(work: Work) -> Result:
    """Predicts, scores, asks the champion and writes predictions, metrics and verdict."""
    tracking.warm(work.order.place.tracking)
    classifier = Classifier.from_arrays(work.arrays("model"))
    predictions, train_groups, majority = _predicted(work, classifier)
    rows = predictions.drop_columns(["probabilities"]).to_pandas()
    metrics = measured(work, predictions, classifier.classes, train_groups)
    verdict = judged(work, rows, metrics, classifier.classes, majority)
    LOG.info("evaluate: %s", verdict["words"])
    for dataset in ("predictions", "metrics", "verdict"):
        work.clear(dataset)
    files = {
        "predictions": _written(work, predictions),
        "metrics": [work.lake.write_document(work.folder("metrics"), "metrics", metrics)],
        "verdict": [work.lake.write_document(work.folder("verdict"), "verdict", verdict)],
    }
    official = metrics["official"]
    counts = {"test": len(rows), "groups": official["n_groups"]}
    score = (
        "no test images" if official["accuracy"] is None else f"accuracy {official['accuracy']:.4f}, macro-F1 {official['macro_f1']:.4f}"
    )
    return Result(
        f"{score} on {len(rows):,} images in {official['n_groups']:,} groups; {verdict['decision']}: {verdict['reason']}", files, counts
    )


def _predicted(work: Work, classifier: Classifier) -> tuple[pa.Table, set[str], str]:
    """The test images' predictions sorted by content, the groups in train, its commonest label; one features file at a time in memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tables, train_groups, train_labels = [arrow_schema("predictions").empty_table()], set(), Counter[str]()
    for file in work.lake.files(work.run, "features"):
        if file.path.endswith(".parquet"):
            table = work.lake.read_rows([file])
            is_test = pc.equal(table["split"], "test")
            train = table.filter(pc.invert(is_test))
            train_groups.update(train["group"].unique().to_pylist())
            train_labels.update(train["label"].to_pylist())
            tables.append(predicted(table.filter(is_test), classifier))
    return pa.concat_tables(tables).sort_by("content"), train_groups, commonest(train_labels)


def judged(work: Work, rows: pd.DataFrame, metrics: Mapping[str, Any], classes: Sequence[str], majority: str) -> dict[str, Any]:
    """The verdict document of the contract.

    Parameters
    ----------
    rows : test images: content, label, group, prediction
    classes : the labels that the model knows
    majority : the commonest label in train
    """
    with tempfile.TemporaryDirectory(prefix="pomona-champion-") as scratch:
        beaten = rival(work, Path(scratch)) if len(rows) else None
        answers, trouble = None, beaten.trouble if beaten else ""
        if beaten and not trouble:
            answers, trouble = _answers(work, rows, beaten, classes)
    verdict = judgement.judged(
        _alone(work, rows, metrics, majority),
        Rules.of(work.knobs),
        champion=beaten.version if beaten else None,
        trouble=trouble,
        answers=answers,
    )
    return {**verdict.document(), "words": paragraph(verdict)}


def _alone(work: Work, rows: pd.DataFrame, metrics: Mapping[str, Any], majority: str) -> Alone:
    official, colours = metrics["official"], by_colour(work, rows["content"].to_list())
    return Alone(
        labels=rows["label"].to_numpy(object),
        groups=rows["group"].to_numpy(object),
        predictions=rows["prediction"].to_numpy(object),
        safe=~rows["group"].isin(metrics["group_safe"]["left_out"]).to_numpy(bool),
        accuracy=official["accuracy"],
        macro_f1=official["macro_f1"],
        majority=majority,
        histogram=None if colours is None else rows["content"].map(colours).to_numpy(object),
    )


def _answers(work: Work, rows: pd.DataFrame, beaten: Rival, classes: Sequence[str]) -> tuple[judgement.Answers | None, str]:
    """Both models' answers to the test images that the champion did not train on; or why it could not be asked."""
    fair = rows[~rows["content"].isin(beaten.trained_on)]
    told: dict[str, str] = {}
    if len(fair):
        LOG.info("evaluate: asking the champion about %s test images that it did not train on", f"{len(fair):,}")
        told, trouble = _asked(work, fair, beaten)
        if trouble:
            return None, trouble
    return judgement.Answers(
        contents=fair["content"].to_numpy(object),
        labels=fair["label"].to_numpy(object),
        groups=fair["group"].to_numpy(object),
        champion=np.array([told.get(content, "") for content in fair["content"]], dtype=object),
        challenger=fair["prediction"].to_numpy(object),
        champion_knows=beaten.classes,
        challenger_knows=classes,
        n_trained_on=len(rows) - len(fair),
    ), ""


def _asked(work: Work, fair: pd.DataFrame, beaten: Rival) -> tuple[dict[str, str], str]:
    """The champion's prediction for each content that it can read; or why it could not be asked."""
    import pyarrow as pa
    import pyarrow.compute as pc

    roster = work.table("roster", ["content", "part"])
    wanted = roster.filter(pc.is_in(roster["content"], pa.array(fair["content"], pa.string())))
    assert beaten.folder is not None
    locate = work.handed_out(beaten.folder)
    answers = work.images(wanted).map(answered(locate)).table(answers_schema()).to_pandas()
    trouble = answers["trouble"].dropna()
    if len(trouble):
        return {}, str(trouble.iloc[0])
    known = answers.dropna(subset="prediction")
    return dict(zip(known["content"], known["prediction"], strict=True)), ""


def _written(work: Work, predictions: pa.Table) -> list[File]:
    """The predictions as Parquet and as CSV."""
    import pyarrow.csv as pc

    folder = work.lake.run_folder(work.run)
    buffer = io.BytesIO()
    pc.write_csv(predictions.select(["image", "label", "group", "prediction", "probability"]), buffer)
    return [
        work.lake.write_rows(work.folder("predictions"), "predictions", predictions, name="predictions.parquet"),
        work.lake.write_file(folder, "predictions.csv", buffer.getvalue(), rows=predictions.num_rows),
    ]
