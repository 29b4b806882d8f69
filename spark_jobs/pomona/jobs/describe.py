"""describe: computes local descriptors, a colour histogram and a fingerprint of the images and copies that have none for these settings.

Rows in: images of the roster, (content, image, the numbers of the copies wanted). Rows out: descriptors, one for each content and copy,
packed into parts near 32 MB in the folder of their extractor key, which all runs share.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.outcome import File, Result
from pomona.storage import at_once
from pomona.work import PART_BYTES, Work

if TYPE_CHECKING:
    import pyarrow as pa

    from pomona.tasks import Batches, Transform
    from pomona.vision.describe import Description, Extractor

_SHOWN = 200
_INDEX_BLOCK_BYTES = 64 << 10


def describe(extractor: Extractor, lake: Lake, folder: str, seen: Any) -> Transform:
    """A transform of images rows into one row per part that it wrote into the folder; `seen` counts the images, for progress."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        from pomona.vision.describe import Describer

        describer = Describer(extractor)
        rows: list[dict[str, Any]] = []
        size = 0
        for batch in batches:
            for content, image, told in zip(*(batch[name].to_pylist() for name in ("content", "image", "copies")), strict=True):
                copies = [int(copy) for copy in told.split()]
                found = [_row(content, copy, each) for copy, each in zip(copies, describer.copies(image, content, copies), strict=True)]
                rows += found
                size += sum(len(row["descriptors"]) for row in found)
                # Half a part waits, so that the last one is no small rest.
                if size >= 1.5 * PART_BYTES:
                    full = _fill(rows)
                    yield _written(lake, folder, rows[:full])
                    rows = rows[full:]
                    size = sum(len(row["descriptors"]) for row in rows)
            seen.add(batch.num_rows)
        if rows:
            yield _written(lake, folder, rows)

    return transform


def _fill(rows: list[dict[str, Any]]) -> int:
    """How many of the rows fill a part."""
    filled = itertools.accumulate(len(row["descriptors"]) for row in rows)
    return next(n for n, size in enumerate(filled, 1) if size >= PART_BYTES)


def _row(content: str, copy: int, found: Description) -> dict[str, Any]:
    return {
        "content": content,
        "copy": copy,
        "n_keypoints": len(found.descriptors),
        "descriptors": found.descriptors.tobytes(),
        "histogram": found.histogram.tobytes(),
        "fingerprint": found.fingerprint,
    }


def _written(lake: Lake, folder: str, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    rows.sort(key=lambda row: (str(row["content"]), int(row["copy"])))
    file = lake.write_rows(folder, "descriptors", pa.Table.from_pylist(rows, schema=arrow_schema("descriptors")))
    return pa.RecordBatch.from_pylist([{"path": file.path, "rows": file.rows}], schema=_written_schema())


def _written_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("path", pa.string()), ("rows", pa.int64())])


def run(work: Work) -> Result:
    """Describes what is not yet described, and names the part that holds each image of the roster."""
    if work.lake.manifest(work.run, "ingest")["counts"]["new"]:
        work.warm()
    from pomona.vision.describe import Extractor

    extractor = Extractor.of(work.knobs)
    folder = f"parts/descriptors/{extractor.key}"
    wanted = wanted_of(work.table("roster", ["content", "part", "split"]), int(work.knobs["copies"]))
    known = index_of(work.lake, folder)
    missing = wanted.join(known, ["content", "copy"], join_type="left anti")
    n_missing = len(missing["content"].unique())
    if n_missing:
        seen = work.context.accumulator(0)
        with work.progress(lambda: seen.value, n_missing, "images"):
            work.images(_by_image(missing)).map(describe(extractor, work.lake, folder, seen)).table(_written_schema())
        # Of many pictures it is as large as the index that is read anew.
        del missing
        known = index_of(work.lake, folder)
    index = known.join(wanted.select(["content", "copy"]), ["content", "copy"], join_type="left semi")
    if index.num_rows != wanted.num_rows:
        raise RuntimeError(f"{wanted.num_rows - index.num_rows:,} of {wanted.num_rows:,} images and copies have no descriptors in {folder}")
    return _result(work, folder, index.sort_by([("content", "ascending"), ("copy", "ascending")]), n_described=n_missing)


def wanted_of(roster: pa.Table, n_copies: int) -> pa.Table:
    """What is to be described: content, part and copy, copies of training images only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    train = roster.filter(pc.equal(roster["split"], "train"))
    tables = [
        sides.select(["content", "part"]).append_column("copy", pa.array([copy] * sides.num_rows, pa.int32()))
        for copy, sides in ((0, roster), *((copy, train) for copy in range(1, n_copies + 1)))
    ]
    return pa.concat_tables(tables)


def _by_image(missing: pa.Table) -> pa.Table:
    """A row for each image that lacks something: content, part, and the numbers `copies` as text, such as `0 1`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ordered = missing.sort_by([("content", "ascending"), ("copy", "ascending")])
    # One after the other, so that the numbers stay in their order.
    rows = ordered.group_by(["content", "part"], use_threads=False).aggregate([("copy", "list")])
    texts = pc.binary_join(rows["copy_list"].cast(pa.list_(pa.string())), " ")
    return rows.select(["content", "part"]).append_column("copies", texts)


def index_of(lake: Lake, folder: str) -> pa.Table:
    """What is described already: content, copy, part, n_keypoints; of two parts with the same content and copy the first counts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("content", pa.string()), ("copy", pa.int32()), ("part", pa.string()), ("n_keypoints", pa.int32())])

    def read(name: str) -> pa.Table:
        # In larger blocks the descriptors between would come along, through the driver.
        with lake.opened(f"{folder}/{name}", _INDEX_BLOCK_BYTES) as file:
            table = pq.read_table(file, columns=["content", "copy", "n_keypoints"])
        return table.add_column(2, "part", pa.array([name] * table.num_rows)).cast(schema)

    once = pa.concat_tables([schema.empty_table(), *at_once(read, lake.names(folder))]).to_pandas().drop_duplicates(["content", "copy"])
    return pa.Table.from_pandas(once, schema=schema, preserve_index=False).replace_schema_metadata(None)


def _result(work: Work, folder: str, index: pa.Table, *, n_described: int) -> Result:
    import pyarrow.compute as pc

    parts = pc.value_counts(index["part"]).to_pylist()
    files = work.lake.part_files(folder, {entry["values"]: entry["counts"] for entry in parts})
    images = index.filter(pc.equal(index["copy"], 0))
    n_keypoints = pc.sum(images["n_keypoints"]).as_py() or 0
    bare = images.filter(pc.equal(images["n_keypoints"], 0))["content"].to_pylist()
    line = f"{n_described:,} of {images.num_rows:,} images described, {n_keypoints / max(1, images.num_rows):.0f} keypoints an image"
    if copies := index.num_rows - images.num_rows:
        line += f"; {copies:,} altered copies beside them"
    if bare:
        line += f"; {len(bare):,} have none"
    counts = {
        "described": n_described,
        "images": images.num_rows,
        "copies": copies,
        "keypoints": n_keypoints,
        "without_keypoints": len(bare),
    }
    notes = {"extractor": folder.rpartition("/")[2], "index": asdict(_index_file(work, index)), "without_keypoints": bare[:_SHOWN]}
    return Result(line, {"descriptors": files}, counts, notes)


def _index_file(work: Work, index: pa.Table) -> File:
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(index, buffer)
    return work.lake.write_file(work.folder("descriptors"), "index.parquet", buffer.getvalue(), rows=index.num_rows)
