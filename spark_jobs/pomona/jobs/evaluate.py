"""evaluate: scores the model on the test images and judges it against the champion.

Rows in: features of test images; images of those that the champion has not seen either. Out: a prediction per test
image, the scores with intervals over groups, and the verdict.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pomona import champion, judgement, tracking
from pomona.formats import arrow_schema
from pomona.metrics import measured
from pomona.outcome import File, Result
from pomona.vision.classify import Classifier, probabilities
from pomona.work import LOG, Work, in_worker

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ANSWERS = "content string, prediction string, trouble string"


def predicted(features: pa.Table, classifier: Classifier) -> pa.Table:
    """A predictions row for each features row, in the columns of the contract."""
    import pyarrow as pa

    answers = [probabilities(classifier, np.asarray(row, np.float64)) for row in features["features"].to_pylist()]
    best = [int(answer.argmax()) for answer in answers]
    columns = [
        *(features[name] for name in ("content", "image", "label", "group")),
        pa.array([classifier.classes[i] for i in best], pa.string()),
        pa.array([float(answer[i]) for answer, i in zip(answers, best, strict=True)], pa.float64()),
        pa.array([answer.tolist() for answer in answers], pa.list_(pa.float64())),
    ]
    return pa.Table.from_arrays(columns, schema=arrow_schema("predictions"))


def answered(locate: Callable[[], Path]) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A transform of images rows into the champion's predictions, by its own code in a process of its own.

    An image that it cannot read has a null prediction; when it fails altogether, one row says why and nothing follows.
    """

    def transform(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        folder = locate()
        try:
            classes = champion.classes(folder)
            with champion.Answerer(folder) as answerer:
                for batch in batches:
                    rows = answerer.answers(batch["image"].to_pylist())
                    names = [None if np.isnan(row).any() else classes[int(row.argmax())] for row in rows]
                    arrays = [batch["content"], pa.array(names, pa.string()), pa.nulls(batch.num_rows, pa.string())]
                    yield pa.RecordBatch.from_arrays(arrays, ["content", "prediction", "trouble"])
        except champion.ChampionFailed as error:
            yield pa.RecordBatch.from_pylist([{"content": "", "prediction": "", "trouble": str(error)}])

    return transform


def run(work: Work) -> Result:
    """Predicts, scores, asks the champion and writes predictions, metrics and verdict."""
    tracking.warm(work.order.place.tracking)
    classifier = Classifier.from_arrays(work.arrays("model"))
    predictions, train_groups = _predicted(work, classifier)
    rows = predictions.drop_columns(["probabilities"]).to_pandas()
    metrics = measured(work, predictions, classifier.classes, train_groups)
    verdict = judged(work, rows)
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


def _predicted(work: Work, classifier: Classifier) -> tuple[pa.Table, set[str]]:
    """The test images' predictions sorted by content, and the groups in train; one features file at a time is in memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tables, train_groups = [arrow_schema("predictions").empty_table()], set()
    for file in work.lake.files(work.run, "features"):
        if file.path.endswith(".parquet"):
            table = work.lake.read_rows([file])
            is_test = pc.equal(table["split"], "test")
            train_groups.update(table.filter(pc.invert(is_test))["group"].unique().to_pylist())
            tables.append(predicted(table.filter(is_test), classifier))
    return pa.concat_tables(tables).sort_by("content"), train_groups


def judged(work: Work, rows: pd.DataFrame) -> dict[str, Any]:
    """The verdict document of the contract."""
    place, knobs = work.order.place, work.knobs
    reigning = _reigning(work)
    trouble = reigning.broken if reigning else ""
    with tempfile.TemporaryDirectory(prefix="pomona-champion-") as scratch:
        folder, seen = None, frozenset[str]()
        if reigning is not None and not trouble and len(rows):
            try:
                folder = tracking.fetch(place.tracking, place.name, reigning.version, Path(scratch))
                seen, trouble = champion.trained_on(folder), champion.reproduces_probes(folder) or ""
            except (ValueError, champion.ChampionFailed) as error:
                trouble = str(error)
        verdict = judgement.without_comparison(n_test=len(rows), champion=reigning.version if reigning else None, trouble=trouble)
        if verdict is None and folder is not None and reigning is not None:
            fair, trouble = _asked(work, rows[~rows["content"].isin(seen)], folder)
            verdict = judgement.without_comparison(n_test=len(rows), champion=reigning.version, trouble=trouble) or judgement.compare(
                fair["label"].to_numpy(),
                fair["group"].to_numpy(),
                fair["champion"].to_numpy(),
                fair["prediction"].to_numpy(),
                margin=knobs["margin"],
                min_test=knobs["min_test"],
                resamples=knobs["resamples"],
                seed=knobs["seed"],
            )
    return _document(verdict, reigning.version if reigning else None)


def _reigning(work: Work) -> tracking.Champion | None:
    """The champion to beat: today's, or when this run itself has become it, the one that it took the place of."""
    place = work.order.place
    reigning = tracking.champion(place.tracking, place.name)
    if reigning is None or reigning.run != work.run:
        return reigning
    moves = [entry for entry in work.lake.entries("promotions") if entry.get("result") == "moved" and entry["run"] == work.run]
    before = moves[-1]["from"] if moves else None
    return None if before is None else tracking.version(place.tracking, place.name, before)


def _document(verdict: judgement.Verdict | None, version: int | None) -> dict[str, Any]:
    assert verdict is not None
    words = {"reason": verdict.reason, "words": verdict.reason}
    return {"decision": verdict.decision, **words, "champion": version, "checks": [], "figures": verdict.figures}


def _asked(work: Work, fair: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, str]:
    """The test rows that the champion did not train on, with its prediction beside ours; or why it could not be asked."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if fair.empty:
        return fair.assign(champion=[]), ""
    LOG.info("evaluate: asking the champion about %s test images that it did not train on", f"{len(fair):,}")
    roster = work.table("roster", ["content", "part"])
    wanted = roster.filter(pc.is_in(roster["content"], pa.array(fair["content"], pa.string())))
    # As an archive: Spark hands a folder out in local mode only. Under the scratch folder's name, which no other model of this session has.
    scratch, packed = folder.parent.name, shutil.make_archive(str(folder), "zip", root_dir=folder)
    work.spark.sparkContext.addArchive(f"{packed}#{scratch}")

    def locate() -> Path:
        from pyspark import SparkFiles

        return Path(SparkFiles.get(scratch))

    frame = work.images(wanted).mapInArrow(in_worker(answered(locate)), _ANSWERS)
    answers = frame.toPandas()
    trouble = answers["trouble"].dropna()
    if len(trouble):
        return fair, str(trouble.iloc[0])
    return fair.assign(champion=fair["content"].map(answers.set_index("content")["prediction"]).fillna("")), ""


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
