"""ingest: takes in what the landing zone has and the lake has not.

Rows in: the listing of the landing zone and of what people labelled beside it, less what the last snapshot knows. Rows out: one
images row per new content, packed into parts near 32 MB; a placement or a reject per listed file; what people said; the roster of this run.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pomona import newness, tracking
from pomona.care.forgotten import REASON as FORGOTTEN
from pomona.care.forgotten import contents
from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.landing import Unsteady
from pomona.outcome import BadInput, File, Result
from pomona.reading import Reading, Source, read_in_time
from pomona.tasks import Batches, Tasks, Transform
from pomona.work import LOG, PART_BYTES, PARTS_A_CORE, Work

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pomona.labels.labelled import Found, Zone
    from pomona.leakage import Selection
    from pomona.snapshots import Snapshot

_SHOWN = 200


def take(landing: Source, lake: Lake, *, max_megapixels: float, forgotten: Collection[str] = ()) -> Transform:
    """A transform of listed files (path, size, version) into one row each, writing the readable ones that are not forgotten into parts."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        packer = _Packer(lake)
        with contextlib.closing(read_in_time(landing, (row for batch in batches for row in batch.to_pylist()))) as readings:
            for row, reading in readings:
                packer.add(row, *_opened(reading, max_megapixels, forgotten))
                # Half a part waits, so that the last one is no small rest.
                if packer.bytes >= 1.5 * PART_BYTES:
                    yield packer.flush(PART_BYTES)
        yield packer.flush()

    return transform


def _opened(reading: Reading, max_megapixels: float, forgotten: Collection[str]) -> tuple[dict[str, Any] | None, str, bool]:
    """(images row or None, reason, whether the reason is final)."""
    from pomona.vision.decode import BadImage, check

    if isinstance(reading, Unsteady):
        return None, str(reading), False
    if isinstance(reading, OSError):
        return None, f"cannot be read: {reading.strerror or reading}", False
    try:
        header = check(reading, max_megapixels=max_megapixels)
    except BadImage as error:
        return None, str(error), True
    content = hashlib.sha256(reading).hexdigest()
    if content in forgotten:
        return None, FORGOTTEN, True
    return {"content": content, "image": reading, "format": header.format, "width": header.width, "height": header.height}, "", True


class _Packer:
    """Gathers images rows of one task until they fill a part; a content that comes twice is packed once."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._images: dict[str, dict[str, Any]] = {}
        self._rows: list[dict[str, Any]] = []
        self.bytes = 0

    def add(self, row: dict[str, Any], image: dict[str, Any] | None, reason: str, final: bool) -> None:
        content = image["content"] if image else None
        if image and content not in self._images:
            self._images[image["content"]] = image
            self.bytes += len(image["image"])
        self._rows.append({**row, "content": content, "part": None, "reason": reason or None, "final": final, "bytes": 0})

    def flush(self, at_most: float = math.inf) -> pa.RecordBatch:
        """Writes what came first, about so many bytes, as a part; gives the rows of the files in it, and of those that no part holds."""
        import pyarrow as pa

        from pomona.snapshots import taken_schema

        images = self._first(at_most)
        rows, self._rows = self._rows, []
        if images:
            ordered, schema = [images[content] for content in sorted(images)], arrow_schema("images")
            table = pa.table({name: [image[name] for image in ordered] for name in schema.names}, schema=schema)
            file = self._lake.write_rows("parts/images", "images", table)
            self._rows = [row for row in rows if row["content"] in self._images]
            rows = [row for row in rows if row["content"] not in self._images]
            for row in rows:
                if row["content"]:
                    row.update(part=file.name, bytes=file.bytes)
        schema = taken_schema()
        return pa.RecordBatch.from_pydict({name: [row[name] for row in rows] for name in schema.names}, schema=schema)

    def _first(self, at_most: float) -> dict[str, dict[str, Any]]:
        """Takes the images that fill so many bytes out of the packer, in the order of their coming."""
        taken: dict[str, dict[str, Any]] = {}
        size = 0
        while self._images and size < at_most:
            content = next(iter(self._images))
            taken[content] = self._images.pop(content)
            size += len(taken[content]["image"])
        self.bytes -= size
        return taken


def run(work: Work) -> Result:
    """Lists, takes in, writes the next snapshot, and says whether a run over it would tell anything new."""
    if not work.lake.last_number("snapshots"):
        # Whatever the landing zone holds is new.
        work.warm()
    from pomona import snapshots
    from pomona.labels import labelled

    knobs = work.knobs
    found = labelled.find(work.order.place, group_pattern=knobs["group_pattern"])
    landing = found.zone.landing
    taken: pd.DataFrame | None = None
    while True:
        last = snapshots.latest(work.lake)
        newness.stop_if_empty(landing, last, n_listed=len(found.listed), n_ignored=len(found.ignored))
        new = snapshots.pending(last, found.listed)
        if new.empty and work.lake.last_number("judged"):
            # The champion will be asked for: MLflow's import passes meanwhile.
            tracking.warm(work.order.place.tracking)
        if taken is None:
            taken = _take_in(work, found.zone, new)
        following = replace(snapshots.follow(last, found.listed, found.places, taken), labels=found.labels)
        newness.stop_if_gone(last, following, landing, knobs["max_gone_share"])
        newness.stop_if_rejected(following, knobs["max_reject_share"])
        snapshot = last if snapshots.same(last, following) else snapshots.save(work.lake, following)
        if snapshot is not None:
            break
        LOG.info("ingest: another writer took snapshot %d, reading again", last.number + 1)
    n_new, n_taken = len(new), int(taken["content"].notna().sum())
    # The snapshot says it all by now, and of many pictures each of these takes as much memory as that.
    del last, following, new, taken
    found = found._replace(listed=[], places={})
    return _result(work, snapshot, found, n_new=n_new, n_taken=n_taken)


def _take_in(work: Work, zone: Zone, new: pd.DataFrame) -> pd.DataFrame:
    """The rows of `take` for the pending files; Spark is not asked when there are none."""
    import pyarrow as pa

    from pomona import snapshots

    if new.empty:
        return snapshots.nothing_taken()
    tasks = max(PARTS_A_CORE * work.cores, int(new["size"].sum() // PART_BYTES))
    listed = Tasks.over_table(work.context, pa.Table.from_pandas(new, preserve_index=False), tasks)
    seen = work.context.accumulator(0)
    transform = _counting(take(zone, work.lake, max_megapixels=work.knobs["max_megapixels"], forgotten=contents(work.lake)), seen)
    with work.progress(lambda: seen.value, len(new), "files"):
        taken: pd.DataFrame = listed.map(transform).table(snapshots.taken_schema()).to_pandas()
        return taken


def _counting(transform: Transform, seen: Any) -> Transform:
    def counted(batches: Batches) -> Iterator[pa.RecordBatch]:
        for batch in transform(batches):
            seen.add(batch.num_rows)
            yield batch

    return counted


def _result(work: Work, taken: Snapshot, found: Found, *, n_new: int, n_taken: int) -> Result:
    from pomona.labels import labelled
    from pomona.leakage import images_per_label

    told = labelled.effected(taken, found.history)
    snapshot, ignored = told.snapshot, found.ignored
    selection = newness.selected(snapshot, work.knobs["labels"])
    per_label = images_per_label(selection.roster)
    folders = dict(zip(taken.placements["path"], taken.placements["label"], strict=True))
    counts = {**selection.counts, **labelled.counted(told, selection.roster, folders)}
    counts["in"] = counts.pop("present") + counts["untold"] + len(snapshot.rejects)
    counts |= {"rejected": len(snapshot.rejects), "ignored": len(ignored), "new": n_new}
    counts["listed"] = counts["in"] + len(ignored)
    _stop_if_untrainable(per_label, counts, work.order.place.landing)

    files = {"images": _image_files(work.lake, selection.roster), **_written(work, snapshot, selection.roster, told.rows)}
    state = newness.state(snapshot, work.order.resolved)
    notes = {
        "snapshot": snapshot.number,
        "state": state,
        "images_per_label": per_label,
        "ignored": ignored[:_SHOWN],
        "labels": labelled.notes(told, found.history),
        "started_by": work.order.started_by,
        **_listed_troubles(selection, snapshot),
    }
    without = ("rejected", "duplicate", "conflict", "unselected", "untold")
    left_out = ", ".join(f"{counts[name]:,} {name}" for name in without if counts[name])
    by_people = "".join(f", {counts[name]:,} {name} by people" for name in ("relabelled", "added") if counts[name])
    faults = labelled.faults(notes["labels"])
    faults = faults and f"; {faults}"
    place = work.order.place
    why = newness.nothing_new(work.lake, work.run, state, lambda: tracking.champion_version(place.tracking, place.name))
    if why:
        return Result(f"nothing new: {why}{faults}", files, counts, notes, "nothing_new")
    taken_in = f"{n_new:,} looked at, {n_taken:,} taken in{by_people}"
    return Result(
        f"{counts['in']:,} in, {counts['kept']:,} kept{left_out and ', ' + left_out}; {taken_in}{faults}",
        files,
        counts,
        notes,
    )


def _written(work: Work, snapshot: Snapshot, roster: pa.Table, annotations: pa.Table) -> dict[str, list[File]]:
    """The run's own tables, each in a file of its name."""
    from pomona import snapshots

    tables = {
        "placements": snapshots.table("placements", snapshot.placements),
        "rejects": snapshots.table("rejects", snapshot.rejects),
        "roster": roster,
        "annotations": annotations,
    }
    for dataset in tables:
        work.clear(dataset)
    return {name: [work.lake.write_rows(work.folder(name), name, table, name=f"{name}.parquet")] for name, table in tables.items()}


def _stop_if_untrainable(per_label: dict[str, dict[str, int]], counts: dict[str, int], landing: str) -> None:
    train = [label for label, n in per_label.items() if n["train"]]
    if not train:
        raise BadInput(
            f"{landing} has no usable training picture ({counts['in']:,} in, {counts['rejected']:,} rejected): "
            "add some under Training/<label>/"
        )
    if len(train) == 1:
        raise BadInput(
            f"{landing} has training pictures of one label only ({train[0]!r}): a classifier needs two, add another label's folder"
        )


def _image_files(lake: Lake, roster: pa.Table) -> list[File]:
    """The parts that the roster needs."""
    import pyarrow.compute as pc

    counts = pc.value_counts(roster["part"]).to_pylist()
    return lake.part_files("parts/images", {entry["values"]: entry["counts"] for entry in counts})


def _listed_troubles(selection: Selection, snapshot: Snapshot) -> dict[str, Any]:
    """What the report names, at most 200 of each."""
    rejects = snapshot.rejects.head(_SHOWN)
    gone = snapshot.placements[snapshot.placements["gone_since"].notna()]
    return {
        "rejects": [list(row) for row in zip(rejects["path"], rejects["reason"], strict=True)],
        "leaked": [[leak.test_path, list(leak.train_paths)] for leak in selection.leaked[:_SHOWN]],
        "n_leaked": len(selection.leaked),
        "conflicts": [[list(pair) for pair in conflict.paths] for conflict in selection.conflicts[:_SHOWN]],
        "n_conflicts": len(selection.conflicts),
        "shared_groups": selection.shared_groups,
        "linked_groups": [list(pair) for pair in selection.linked_groups],
        "gone": sorted(gone["path"])[:_SHOWN],
    }
