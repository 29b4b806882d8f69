"""encode: turns each image into a bag of words beside its histogram, and projects it.

Rows in: descriptors of the roster's images, the vocabulary. Out: the projection, fitted on training rows only, and one
features row per image, as Parquet and as one CSV (image, label, split, group, f0, f1, …).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pomona import near_copies
from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.outcome import File, Result
from pomona.vision.describe import Description, n_dims
from pomona.vision.encode import QUARTERS, Encoding, fit_projection, in_sample, project, taught, vector
from pomona.vision.words import Preparation, Vocabulary
from pomona.work import Work, in_worker

if TYPE_CHECKING:
    import pyarrow as pa

Batches = Iterable["pa.RecordBatch"]
Transform = Callable[[Batches], Iterator["pa.RecordBatch"]]

_VECTORS = "content string, copy int, image string, label string, split string, group string, vector binary"
_FILES = "path string, sha256 string, bytes long, rows long"
_PART_ROWS = 20_000


def vectors(vocabulary: Vocabulary, preparation: Preparation, encoding: Encoding, *, turns: bool) -> Transform:
    """A transform of descriptors rows into their feature vectors, (n_features,) float64 as bytes; training images also turned."""
    dims = n_dims(preparation.extractor)

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            found: list[tuple[int, int, bytes]] = []
            columns = (batch["descriptors"], batch["histogram"], batch["copy"].to_pylist(), batch["split"].to_pylist())
            for row, (packed, histogram, copy, split) in enumerate(zip(*columns, strict=True)):
                matrix = np.frombuffer(packed.as_buffer(), np.uint8).reshape(-1, dims)
                description = Description(matrix, np.frombuffer(histogram.as_buffer(), np.float32))
                for number, each in taught(description, copy, turns=turns and split == "train"):
                    found.append((row, number, vector(each, vocabulary, preparation, encoding).tobytes()))
            rows, copies, packed_vectors = zip(*found, strict=True) if found else ((), (), ())
            named = batch.select(["content", "image", "label", "split", "group"]).take(pa.array(rows, pa.int64()))
            arrays = [named["content"], pa.array(copies, pa.int32()), *named.columns[1:], pa.array(packed_vectors, pa.binary())]
            yield pa.RecordBatch.from_arrays(arrays, ["content", "copy", "image", "label", "split", "group", "vector"])

    return transform


def projected(mean: np.ndarray, components: np.ndarray, lake: Lake, folder: str) -> Transform:
    """A transform of vectors into one row per features file that it wrote."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        tables: list[pa.Table] = []
        for batch in batches:
            rows = [project(row, mean, components) for row in _matrix(batch)]
            flat = pa.array(np.concatenate(rows)) if rows else pa.array([], pa.float64())
            offsets = pa.array(np.arange(len(rows) + 1) * len(components), pa.int32())
            columns = [*(batch[name] for name in arrow_schema("features").names[:-1]), pa.ListArray.from_arrays(offsets, flat)]
            tables.append(pa.Table.from_arrays(columns, schema=arrow_schema("features")))
            if sum(table.num_rows for table in tables) >= _PART_ROWS:
                yield _written(lake, folder, tables)
                tables = []
        if any(table.num_rows for table in tables):
            yield _written(lake, folder, tables)

    return transform


def _matrix(batch: pa.RecordBatch) -> np.ndarray:
    rows = [np.frombuffer(row.as_buffer(), np.float64) for row in batch["vector"]]
    return np.stack(rows) if rows else np.empty((0, 0))


def _written(lake: Lake, folder: str, tables: list[pa.Table]) -> pa.RecordBatch:
    import pyarrow as pa

    file = lake.write_rows(folder, "features", pa.concat_tables(tables).sort_by([("content", "ascending"), ("copy", "ascending")]))
    return pa.RecordBatch.from_pylist([asdict(file)])


def run(work: Work) -> Result:
    """Encodes every image of the roster, fits the projection on the training rows and writes the feature table."""
    import pyarrow.compute as pc
    from pyspark import StorageLevel

    knobs = work.knobs
    preparation, encoding = Preparation.of(knobs), Encoding.of(knobs)
    vocabulary = Vocabulary.from_arrays(work.arrays("vocabulary"))
    for dataset in ("encoder", "features", "near_copies"):
        work.clear(dataset)
    paths, wanted, largest = _wanted(work)
    rows = work.parts(paths, wanted, largest_row=largest).drop("part")
    encoded = rows.mapInArrow(in_worker(vectors(vocabulary, preparation, encoding, turns=knobs["turns"])), _VECTORS).persist(
        StorageLevel.DISK_ONLY
    )
    try:
        drawn = _drawn(encoded, lessons(wanted, turns=knobs["turns"]), n_images=knobs["projection_images"], seed=knobs["seed"])
        mean, components = fit_projection(drawn, encoding.components_for(len(vocabulary.words)))
        transform = in_worker(projected(mean, components, work.lake, work.folder("features")))
        files = [File(**row.asDict()) for row in encoded.mapInArrow(transform, _FILES).collect()]
    finally:
        encoded.unpersist()
    near = near_copies.found(rows.where("copy = 0").select("content", "split", "fingerprint"), max_distance=knobs["near_distance"])
    files.sort(key=lambda file: file.path)
    written = {
        "encoder": [work.lake.write_arrays(work.folder("encoder"), "encoder", {"mean": mean, "components": components})],
        "features": [*files, write_csv(work, files, len(components))],
        "near_copies": [work.lake.write_rows(work.folder("near_copies"), "near_copies", near, name="near_copies.parquet")],
    }
    n_images = pc.sum(pc.equal(wanted["copy"], 0)).as_py()
    counts = {"images": n_images, "copies": wanted.num_rows - n_images, "near_copies": near.num_rows}
    counts |= {"fitted_on": len(drawn), "features": len(mean), "components": len(components)}
    line = f"{n_images:,} images as {len(mean):,} features, projected to {len(components):,} fitted on {len(drawn):,} training images"
    if near.num_rows:
        line += f"; {near.num_rows:,} test images have a near copy in train"
    return Result(line, written, counts)


def _wanted(work: Work) -> tuple[list[str], pa.Table, int]:
    """(parts, the rows wanted of them: content, part, image, label, split, group; bytes of the largest)."""
    import pyarrow.compute as pc

    paths, index = work.described()
    roster = work.table("roster", ["content", "path", "label", "split", "group"]).rename_columns(
        ["content", "image", "label", "split", "group"]
    )
    wanted = index.select(["content", "copy", "part"]).join(roster, "content", join_type="inner")
    largest = n_dims(work.knobs["extractor"]) * (pc.max(index["n_keypoints"]).as_py() or 1)
    return paths, wanted, largest


def lessons(wanted: pa.Table, *, turns: bool) -> list[dict[str, Any]]:
    """Content and copy of all that is learnt from: training images, their altered copies, and these images turned."""
    import pyarrow.compute as pc

    train: list[dict[str, Any]] = wanted.filter(pc.equal(wanted["split"], "train")).select(["content", "copy"]).to_pylist()
    turned = [{"content": row["content"], "copy": -quarters} for row in train if not row["copy"] for quarters in QUARTERS]
    return train + turned if turns else train


def _drawn(encoded: Any, train: list[dict[str, Any]], *, n_images: int, seed: int) -> np.ndarray:
    """The vectors that the projection is fitted on, (n, n_features) float64, by content and copy; the driver holds no others."""
    import pyarrow as pa

    share = n_images / max(1, len(train))
    keys = [row for row in train if in_sample(row["content"], row["copy"], share=share, seed=seed)] or train[:1]
    frame = encoded.sparkSession.createDataFrame(pa.Table.from_pylist(keys).to_pandas())
    rows = encoded.join(frame.hint("broadcast"), ["content", "copy"]).select("content", "copy", "vector").collect()
    return np.array([np.frombuffer(row.vector) for row in sorted(rows, key=lambda row: (row.content, row.copy))])


def write_csv(work: Work, files: list[File], n_components: int) -> File:
    """The feature table as one CSV, written file by file so that the driver never holds it whole."""
    import pyarrow as pa
    import pyarrow.csv as pc

    names = ["image", "label", "split", "group", *(f"f{i}" for i in range(n_components))]
    schema = pa.schema([(name, pa.string() if i < 4 else pa.float64()) for i, name in enumerate(names)])
    buffer = io.BytesIO()
    n_rows = 0
    with pc.CSVWriter(buffer, schema) as writer:
        for file in files:
            table = work.lake.read_rows([file])
            table = table.filter(pa.compute.equal(table["copy"], 0))
            matrix = table["features"].combine_chunks().flatten().to_numpy().reshape(-1, n_components)
            writer.write_table(pa.Table.from_arrays([*(table[name] for name in names[:4]), *map(pa.array, matrix.T)], schema=schema))
            n_rows += table.num_rows
    return work.lake.write_file(work.lake.run_folder(work.run), "features.csv", buffer.getvalue(), rows=n_rows)
