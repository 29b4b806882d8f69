"""score: what the champion says of pictures that nobody has labelled: label, probability, margin, and whether it knows such pictures.

Rows in: the listing of the unlabelled pictures, less what this champion was asked about before. Rows out: one row per listed file, as
Parquet and as CSV; the champion's version stands in each.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pomona import champion, scored, tracking
from pomona.care.forgotten import REASON as FORGOTTEN
from pomona.care.forgotten import contents
from pomona.landing import Landing, Unsteady
from pomona.newness import answered
from pomona.outcome import BadInput, File, Result
from pomona.reading import Reading, Row, read_in_time
from pomona.tasks import Batches, Tasks, Transform
from pomona.work import LOG, PARTS_A_CORE, Work

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pomona.scored import Scored

_BATCH = 32
_CSV = ("path", "label", "probability", "margin", "unknown", "champion", "reason", "at", "content")


def asked(landing: Landing, locate: Callable[[], Path], forgotten: Collection[str] = ()) -> Transform:
    """A transform of listed files (path, size, version) into what the champion, whose folder `locate` gives, says of each.

    What was forgotten is a file without an answer and without a name.
    """

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        folder = locate()
        classes, schema = champion.classes(folder), scored.told_schema()
        with (
            champion.Answerer(folder) as answerer,
            contextlib.closing(read_in_time(landing, (row for batch in batches for row in batch.to_pylist()))) as readings,
        ):
            for few in iter(lambda: list(islice(readings, _BATCH)), []):
                yield pa.RecordBatch.from_pylist(list(_rows(few, answerer, classes, forgotten)), schema=schema)

    return transform


def _rows(
    few: list[tuple[Row, Reading]], answerer: champion.Answerer, classes: tuple[str, ...], forgotten: Collection[str]
) -> Iterator[dict[str, Any]]:
    names = [hashlib.sha256(reading).hexdigest() if isinstance(reading, bytes) else "" for _, reading in few]
    images = [reading for name, (_, reading) in zip(names, few, strict=True) if isinstance(reading, bytes) and name not in forgotten]
    answers = iter(answerer.told(images).to_pylist() if images else [])
    for name, (row, reading) in zip(names, few, strict=True):
        if name and name in forgotten:
            yield {**row, "reason": FORGOTTEN, "final": True}
        elif isinstance(reading, bytes):
            yield {**row, "content": name, "final": True, **said(next(answers), classes)}
        else:
            why = str(reading) if isinstance(reading, Unsteady) else f"cannot be read: {reading.strerror or reading}"
            yield {**row, "reason": why, "final": False}


def said(answer: dict[str, Any], classes: tuple[str, ...]) -> dict[str, Any]:
    """Label, probability, margin, unknown and novelty of an answer; of a picture that the version cannot read the reason."""
    if answer["error"] is not None:
        return {"reason": answer["error"]}
    ranked = sorted(zip(answer["probabilities"], classes, strict=True), reverse=True)
    probability, label = ranked[0]
    known = {name: answer[name] for name in ("unknown", "novelty")}
    return {"label": label, "probability": probability, "margin": probability - ranked[1][0], **known}


def run(work: Work) -> Result:
    """Lists, asks the champion about what is new to it, and writes the next state of `scored`."""
    order = work.order
    landing = Landing(order.place.unlabelled, order.s3)
    if why := answered(order.place):
        return Result(f"nothing new: {why}", {"scored": []}, status="nothing_new")
    listed, version = scored.listed(landing), tracking.champion_version(order.place.tracking, order.place.name)
    if version is None:
        raise BadInput(f"{order.place.name} has no champion any more: the alias was taken away a moment ago")
    told: pd.DataFrame | None = None
    while True:
        last = scored.latest(work.lake)
        new = scored.pending(last, listed, version)
        if told is None:
            told = _told(work, landing, new, version)
        following = scored.follow(last, listed, told, version)
        if saved := scored.save(work.lake, following, run=work.run, champion=version):
            return _result(work, saved, n_asked=len(told), version=version)
        LOG.info("score: another writer took state %d, reading again", last.number + 1)


def _told(work: Work, landing: Landing, new: pd.DataFrame, version: int) -> pd.DataFrame:
    """What the champion says of these files; it must give its probes' probabilities first.

    Raises
    ------
    BadInput
        When it cannot be asked.
    """
    import pyarrow as pa

    if new.empty:
        nothing: pd.DataFrame = scored.told_schema().empty_table().to_pandas()
        return nothing
    work.warm()
    place = work.order.place
    with tempfile.TemporaryDirectory(prefix="pomona-score-") as scratch:
        try:
            folder = tracking.fetch(place.tracking, place.name, version, Path(scratch))
            trouble = champion.reproduces_probes(folder) or ""
        except (ValueError, champion.ChampionFailed) as error:
            trouble = str(error)
        if trouble:
            raise BadInput(f"version {version} of {place.name} cannot be asked: {trouble}; put another one back with `make rollback`")
        listing = Tasks.over_table(work.context, pa.Table.from_pandas(new, preserve_index=False), PARTS_A_CORE * work.cores)
        rows: pd.DataFrame = (
            listing.map(asked(landing, work.handed_out(folder), contents(work.lake))).table(scored.told_schema()).to_pandas()
        )
        return rows


def _result(work: Work, saved: Scored, *, n_asked: int, version: int) -> Result:
    rows = saved.rows
    assert saved.file is not None
    labels = rows["label"].value_counts().sort_index().to_dict()
    n_unknown, n_unread = int(rows["unknown"].eq(True).sum()), int(rows["reason"].notna().sum())
    counts = {"in": len(rows), "asked": n_asked, "unknown": n_unknown, "rejected": n_unread}
    path = work.lake.location(f"{work.lake.run_folder(work.run)}/scored.csv")
    known = f"{n_unknown:,} unknown" if rows["unknown"].notna().any() else "whether it knows them this version cannot tell"
    line = f"version {version} asked about {n_asked:,} pictures; {len(rows):,} in all, {n_unread:,} without an answer, {known}: {path}"
    return Result(line, {"scored": [saved.file, _csv(work, rows)]}, counts, {"champion": version, "labels": labels})


def _csv(work: Work, rows: pd.DataFrame) -> File:
    import pyarrow as pa
    import pyarrow.csv as pc

    def write(file: IO[bytes]) -> int:
        pc.write_csv(pa.Table.from_pandas(rows[list(_CSV)], preserve_index=False), file)
        return len(rows)

    return work.lake.write_stream(work.lake.run_folder(work.run), "scored.csv", write)
