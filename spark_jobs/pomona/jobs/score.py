"""score: what the champion says of pictures that nobody has labelled: label, probability, margin, and whether it knows such pictures.

Rows in: the listing of the unlabelled pictures, less what this champion was asked about before. Rows out: one row per listed file, as
Parquet and as CSV; the champion's version stands in each. Beside them the next document of `health`: whether new ones look as in training.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pomona import champion, scored, tracking
from pomona.care.forgotten import REASON as FORGOTTEN
from pomona.care.forgotten import contents
from pomona.formats import arrow_schema
from pomona.landing import Landing, Listed, Unsteady
from pomona.lease import ANSWERS, hold
from pomona.monitoring import record
from pomona.monitoring.watching import DATASET, OFF, Observed, Watching, is_drawn, profile_of, wanted, written
from pomona.newness import answered
from pomona.outcome import BadInput, File, Result
from pomona.reading import Reading, Row, read_in_time
from pomona.report import health as health_page
from pomona.snapshots import KEY
from pomona.tasks import Batches, Tasks, Transform
from pomona.work import LOG, PARTS_A_CORE, Work

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pomona.monitoring.record import Document
    from pomona.scored import Scored

_BATCH = 32
_CSV = ("path", "label", "probability", "margin", "unknown", "champion", "reason", "at", "content")


def asked(landing: Landing, locate: Callable[[], Path], forgotten: Collection[str] = (), *, observe: bool = False) -> Transform:
    """A transform of listed files (path, size, version, share) into what the champion, whose folder `locate` gives, says of each.

    What was forgotten is a file without an answer and without a name. With `observe` it is told, of a share of the files drawn by their
    content, what the picture looked like to the champion.
    """

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        folder = locate()
        classes, schema = champion.classes(folder), answers_schema()
        with (
            champion.Answerer(folder, observe=observe) as answerer,
            contextlib.closing(read_in_time(landing, (row for batch in batches for row in batch.to_pylist()))) as readings,
        ):
            for few in iter(lambda: list(islice(readings, _BATCH)), []):
                yield pa.RecordBatch.from_pylist(list(_rows(few, answerer, classes, forgotten)), schema=schema)

    return transform


def answers_schema() -> pa.Schema:
    """What a task tells of each file: the columns of `scored`, what was observed, and whether it was to be."""
    import pyarrow as pa

    told = scored.told_schema()
    return pa.schema([*told, *(field for field in _observed_schema() if field.name not in told.names), ("observed", pa.bool_())])


def _observed_schema() -> pa.Schema:
    """Of a row of the dataset `observations` what a task can tell."""
    import pyarrow as pa

    return pa.schema([field for field in arrow_schema(DATASET) if field.name not in ("champion", "at")])


def _rows(
    few: list[tuple[Row, Reading]], answerer: champion.Answerer, classes: tuple[str, ...], forgotten: Collection[str]
) -> Iterator[dict[str, Any]]:
    names = [hashlib.sha256(reading).hexdigest() if isinstance(reading, bytes) else "" for _, reading in few]
    images = [reading for name, (_, reading) in zip(names, few, strict=True) if isinstance(reading, bytes) and name not in forgotten]
    answers = iter(answerer.told(images).to_pylist() if images else [])
    for name, (row, reading) in zip(names, few, strict=True):
        file = {key: row[key] for key in KEY}
        if name and name in forgotten:
            yield {**file, "reason": FORGOTTEN, "final": True}
        elif isinstance(reading, bytes):
            answer = next(answers)
            drawn = is_drawn(name, row["share"])
            yield {
                **file,
                "content": name,
                "final": True,
                **scored.said(answer, classes),
                **(_seen(answer) if drawn else {}),
                "observed": drawn,
            }
        else:
            why = str(reading) if isinstance(reading, Unsteady) else f"cannot be read: {reading.strerror or reading}"
            yield {**file, "reason": why, "final": False}


def _seen(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("error", "unknown", "novelty")}


def run(work: Work) -> Result:
    """Lists, asks the champion about what is new to it, writes the next state of `scored` and the document of `health` over it.

    All over again with the next champion, where that one was asked by somebody else meanwhile.
    """
    order, lake = work.order, work.lake
    landing = Landing(order.place.unlabelled, order.s3)
    # A try of this job that died behind its document is not told that there was nothing to do.
    own = record.of_run(lake, work.run)
    if own is None and (why := answered(order.place)):
        return Result(f"nothing new: {why}", {"scored": [], DATASET: []}, status="nothing_new")
    reigning = partial(tracking.champion_version, order.place.tracking, order.place.name)
    listed, version = scored.listed(landing), reigning()
    if version is None:
        raise BadInput(f"{order.place.name} has no champion any more: the alias was taken away a moment ago")
    watching = Watching(lake, work.run, version, order.drift)
    answers = _told(work, landing, _wanted(watching, scored.latest(lake), listed), version)
    # From here to the manifest nobody forgets: what is read is there when it is named.
    work.held.enter_context(hold(lake, f"score of run {work.run}", record=ANSWERS))
    told, observed = _without(*answers, contents(lake))
    while True:
        last = scored.latest(lake)
        following = scored.follow(last, listed, told, version)
        # What a killed try has saved is not saved again.
        saved = last if scored.same(last, following) else _save(work, following, version)
        if saved:
            health = own if own and own["scored"] >= saved.number else written(watching, saved, observed, reigning=reigning)
            if health is None:
                LOG.info("score: version %d is champion no more, and its successor watches: asking that one", version)
                # Asking takes long, and whoever forgets need not wait for it.
                work.held.close()
                return run(work)
            health_page.write(lake)
            return _result(work, saved, health, n_asked=len(told), version=version)
        LOG.info("score: another writer took state %d, reading again", last.number + 1)


def _without(told: pd.DataFrame, observed: Observed, forgotten: Collection[str]) -> tuple[pd.DataFrame, Observed]:
    """Both without what was forgotten while the champion was asked: the next run finds that it was."""
    rows = [row for row in observed.rows if row["content"] not in forgotten]
    return told[~told["content"].isin(forgotten)], replace(observed, rows=rows)


def _save(work: Work, following: Scored, version: int) -> Scored | None:
    return scored.save(work.lake, following, run=work.run, champion=version, counted=scored.counted(work.lake))


def _wanted(watching: Watching, last: Scored, listed: Sequence[Listed]) -> pd.DataFrame:
    """The files to ask about: path, size, version, `share` to observe of them, and whether they are `pending`, for this champion is new."""
    import pandas as pd

    pending = scored.pending(last, listed, watching.champion).assign(pending=True)
    found = pd.merge(pending, wanted(watching, listed), on=KEY, how="outer")
    return found.assign(pending=found["pending"].eq(True), share=found["share"].fillna(0.0).astype("float64"))


def _told(work: Work, landing: Landing, new: pd.DataFrame, version: int) -> tuple[pd.DataFrame, Observed]:
    """What the champion says of these files, and what they looked like to it; it must give its probes' probabilities first.

    Raises
    ------
    BadInput
        When it cannot be asked.
    """
    if new.empty:
        return _divided(answers_schema().empty_table(), Observed())
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
        found = _compared_by(folder, version) if work.order.drift.window else Observed(why=OFF)
        few = new if found.profile else new[new["pending"]].assign(share=0.0)
        return _divided(_answers(work, landing, folder, few), found)


def _compared_by(folder: Path, version: int) -> Observed:
    """The profile of the version, or why there is none that helps."""
    try:
        profile, why = profile_of(champion.profile(folder), version)
    except champion.ChampionFailed as error:
        profile, why = None, f"version {version}: {error}"
    return Observed(profile=profile, why=why)


def _answers(work: Work, landing: Landing, folder: Path, new: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    if new.empty:
        return answers_schema().empty_table()
    observe = bool(new["share"].gt(0).any())
    listing = Tasks.over_table(
        work.context, pa.Table.from_pandas(new.drop(columns="pending"), preserve_index=False), PARTS_A_CORE * work.cores
    )
    transform = asked(landing, work.handed_out(folder), contents(work.lake), observe=observe)
    return listing.map(transform).table(answers_schema())


def _divided(answers: pa.Table, observed: Observed) -> tuple[pd.DataFrame, Observed]:
    """What `scored` is told, and the rows that were observed."""
    import pyarrow.compute as pc

    told: pd.DataFrame = answers.select(scored.told_schema().names).to_pandas()
    rows = answers.filter(pc.equal(answers["observed"], True)).select(_observed_schema().names)
    return told, replace(observed, rows=rows.to_pylist() if observed.profile else ())


def _result(work: Work, saved: Scored, health: Document, *, n_asked: int, version: int) -> Result:
    rows = saved.rows
    assert saved.file is not None
    labels = rows["label"].value_counts().sort_index().to_dict()
    n_unknown, n_unread = int(rows["unknown"].eq(True).sum()), int(rows["reason"].notna().sum())
    counts = {"in": len(rows), "asked": n_asked, "unknown": n_unknown, "rejected": n_unread}
    path = work.lake.location(f"{work.lake.run_folder(work.run)}/scored.csv")
    known = f"{n_unknown:,} unknown" if rows["unknown"].notna().any() else "whether it knows them this version cannot tell"
    drift = record.line(health)
    told = f"version {version} asked about {n_asked:,} pictures; {len(rows):,} in all, {n_unread:,} without an answer, {known}"
    notes = {"champion": version, "labels": labels, "health": health["number"]}
    files = {"scored": [saved.file, _csv(work, rows)], DATASET: [File(**health["waiting"])] if health["waiting"] else []}
    return Result(f"{told}{'; ' if drift else ''}{drift}: {path}", files, counts, notes)


def _csv(work: Work, rows: pd.DataFrame) -> File:
    import pyarrow as pa
    import pyarrow.csv as pc

    def write(file: IO[bytes]) -> int:
        pc.write_csv(pa.Table.from_pandas(rows[list(_CSV)], preserve_index=False), file)
        return len(rows)

    return work.lake.write_stream(work.lake.run_folder(work.run), "scored.csv", write)
