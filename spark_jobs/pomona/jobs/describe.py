"""describe: computes local descriptors and a colour histogram of the images that have none for these settings.

Rows in: images of the roster, (content, image, …). Rows out: descriptors (content, n_keypoints, descriptors, histogram),
packed into parts near 32 MB in the folder of their extractor key, which all runs share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.outcome import File, Result
from pomona.work import Work, in_worker

if TYPE_CHECKING:
    import pyarrow as pa

    from pomona.vision.describe import Extractor

PART_BYTES = 32 << 20
_SHOWN = 200


def describe(extractor: Extractor, lake: Lake, folder: str, seen: Any) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A transform of images rows into one row per part that it wrote into the folder; `seen` counts the images, for progress."""

    def transform(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        from pomona.vision.describe import Describer

        describer = Describer(extractor)
        rows: list[dict[str, Any]] = []
        size = 0
        for batch in batches:
            for content, image in zip(batch["content"].to_pylist(), batch["image"], strict=True):
                found = describer.describe(image.as_py())
                packed = found.descriptors.tobytes()
                rows.append(
                    {
                        "content": content,
                        "n_keypoints": len(found.descriptors),
                        "descriptors": packed,
                        "histogram": found.histogram.tobytes(),
                        "fingerprint": found.fingerprint,
                    }
                )
                size += len(packed)
            seen.add(batch.num_rows)
            if size >= PART_BYTES:
                yield _written(lake, folder, rows)
                rows, size = [], 0
        if rows:
            yield _written(lake, folder, rows)
        else:
            yield pa.RecordBatch.from_pylist([], schema=pa.schema([("path", pa.string()), ("rows", pa.int64())]))

    return transform


def _written(lake: Lake, folder: str, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    rows.sort(key=lambda row: str(row["content"]))
    file = lake.write_rows(folder, "descriptors", pa.Table.from_pylist(rows, schema=arrow_schema("descriptors")))
    return pa.RecordBatch.from_pylist([{"path": file.path, "rows": file.rows}])


def run(work: Work) -> Result:
    """Describes what is not yet described, and names the part that holds each image of the roster."""
    import pyarrow.compute as pc

    from pomona.vision.describe import Extractor

    extractor = Extractor.of(work.knobs)
    folder = f"parts/descriptors/{extractor.key}"
    roster = work.table("roster", ["content", "part"])
    known = index_of(work.lake, folder)
    missing = roster.filter(pc.invert(pc.is_in(roster["content"], known["content"])))
    if missing.num_rows:
        seen = work.spark.sparkContext.accumulator(0)
        transform = in_worker(describe(extractor, work.lake, folder, seen))
        with work.progress(lambda: seen.value, missing.num_rows, "images"):
            work.images(missing).mapInArrow(transform, "path string, rows long").collect()
        known = index_of(work.lake, folder)
    index = known.filter(pc.is_in(known["content"], roster["content"])).sort_by("content")
    if index.num_rows != roster.num_rows:
        raise RuntimeError(f"{roster.num_rows - index.num_rows:,} of {roster.num_rows:,} images have no descriptors in {folder}")
    return _result(work, folder, index, n_described=missing.num_rows)


def index_of(lake: Lake, folder: str) -> pa.Table:
    """What is described already: content, part, n_keypoints; of two parts with the same content the first counts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("content", pa.string()), ("part", pa.string()), ("n_keypoints", pa.int32())])
    tables = [schema.empty_table()]
    for name in lake.names(folder):
        with lake.opened(f"{folder}/{name}") as file:
            table = pq.read_table(file, columns=["content", "n_keypoints"])
        tables.append(pa.Table.from_arrays([table["content"], pa.array([name] * table.num_rows), table["n_keypoints"]], schema=schema))
    once = pa.concat_tables(tables).to_pandas().drop_duplicates("content")
    return pa.Table.from_pandas(once, schema=schema, preserve_index=False).replace_schema_metadata(None)


def _result(work: Work, folder: str, index: pa.Table, *, n_described: int) -> Result:
    import pyarrow.compute as pc

    parts = pc.value_counts(index["part"]).to_pylist()
    paths = sorted((f"{folder}/{entry['values']}", entry["counts"]) for entry in parts)
    files = [File(path, path.rpartition("/")[2].removesuffix(".parquet"), work.lake.size(path), rows) for path, rows in paths]
    n_keypoints = pc.sum(index["n_keypoints"]).as_py() or 0
    bare = index.filter(pc.equal(index["n_keypoints"], 0))["content"].to_pylist()
    line = f"{n_described:,} of {index.num_rows:,} images described, {n_keypoints / max(1, index.num_rows):.0f} keypoints an image"
    if bare:
        line += f"; {len(bare):,} have none"
    counts = {"described": n_described, "images": index.num_rows, "keypoints": n_keypoints, "without_keypoints": len(bare)}
    notes = {"extractor": folder.rpartition("/")[2], "index": asdict(_index_file(work, index)), "without_keypoints": bare[:_SHOWN]}
    return Result(line, {"descriptors": files}, counts, notes)


def _index_file(work: Work, index: pa.Table) -> File:
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(index, buffer)
    return work.lake.write_file(work.folder("descriptors"), "index.parquet", buffer.getvalue(), rows=index.num_rows)
