"""encode: turns each image into a vector over the words, and projects it.

Rows in: descriptors of the roster's images, the vocabulary. Out: the projection, fitted on training rows only, and one
features row per image, as Parquet and as one CSV (image, label, split, group, f0, f1, …).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pomona import near_copies
from pomona.formats import arrow_schema
from pomona.lake import Lake
from pomona.outcome import File, Result
from pomona.vision.describe import Description, n_dims
from pomona.vision.encode import Encoding, at_quarters, fit_projection, in_sample, project, taught_quarters, vector
from pomona.vision.words import Preparation, Vocabulary
from pomona.work import Work

if TYPE_CHECKING:
    import pyarrow as pa

    from pomona.tasks import Batches, Transform

_DESCRIBED = ("content", "copy", "descriptors", "histogram")
_PART_ROWS = 20_000


@dataclass(frozen=True)
class Coder:
    """From descriptors rows to vectors, as a worker does it; training images at the quarters `turns` too."""

    vocabulary: Vocabulary
    preparation: Preparation
    encoding: Encoding
    turns: tuple[int, ...]

    @classmethod
    def of(cls, knobs: Mapping[str, Any], vocabulary: Vocabulary) -> Coder:
        return cls(vocabulary, Preparation.of(knobs), Encoding.of(knobs), taught_quarters(knobs))

    def copies(self, copy: int, split: str) -> tuple[int, ...]:
        """The copies that a row gives: its own, and those turned."""
        return (copy,) if copy or split != "train" else (0, *(-quarters for quarters in self.turns))

    def coded(
        self, batch: pa.RecordBatch, wanted: Callable[[str, int], bool] = lambda content, copy: True
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """(row of the batch, copy, vector (n_features,) float64) of each wanted content and copy."""
        dims = n_dims(self.preparation.extractor)
        names = (batch[name].to_pylist() for name in ("content", "copy", "split"))
        for row, (content, copy, split) in enumerate(zip(*names, strict=True)):
            asked = [number for number in self.copies(copy, split) if wanted(content, number)]
            if asked:
                matrix = np.frombuffer(batch["descriptors"][row].as_buffer(), np.uint8).reshape(-1, dims)
                description = Description(matrix, np.frombuffer(batch["histogram"][row].as_buffer(), np.float32))
                for number in asked:
                    turned = at_quarters(description, max(0, -number))
                    yield row, number, vector(turned, self.vocabulary, self.preparation, self.encoding)


def drawn(coder: Coder, wanted: Callable[[str, int], bool]) -> Transform:
    """A transform of descriptors rows into content, copy and vector, as bytes, of those that are wanted."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = _drawn_schema()
        for batch in batches:
            rows = [
                {"content": batch["content"][row].as_py(), "copy": copy, "vector": found.tobytes()}
                for row, copy, found in coder.coded(batch, wanted)
            ]
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    return transform


def _drawn_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("content", pa.string()), ("copy", pa.int32()), ("vector", pa.binary())])


def projected(coder: Coder, mean: np.ndarray, components: np.ndarray, lake: Lake, folder: str) -> Transform:
    """A transform of descriptors rows into one row per features file that it wrote."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        tables: list[pa.Table] = []
        for batch in batches:
            found = [(row, copy, project(each, mean, components)) for row, copy, each in coder.coded(batch)]
            if not found:
                continue
            rows, copies, features = zip(*found, strict=True)
            named = batch.select(["content", "image", "label", "split", "group"]).take(pa.array(rows, pa.int64()))
            offsets = pa.array(np.arange(len(rows) + 1) * len(components), pa.int32())
            listed = pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(features)))
            arrays = [named["content"], pa.array(copies, pa.int32()), *named.columns[1:], listed]
            tables.append(pa.Table.from_arrays(arrays, schema=arrow_schema("features")))
            if sum(table.num_rows for table in tables) >= _PART_ROWS:
                yield _written(lake, folder, tables)
                tables = []
        if tables:
            yield _written(lake, folder, tables)

    return transform


def _written(lake: Lake, folder: str, tables: list[pa.Table]) -> pa.RecordBatch:
    import pyarrow as pa

    file = lake.write_rows(folder, "features", pa.concat_tables(tables).sort_by([("content", "ascending"), ("copy", "ascending")]))
    return pa.RecordBatch.from_pylist([asdict(file)], schema=_file_schema())


def _file_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("path", pa.string()), ("sha256", pa.string()), ("bytes", pa.int64()), ("rows", pa.int64())])


def run(work: Work) -> Result:
    """Fits the projection on a sample of what is learnt from, encodes every image of the roster and writes the feature table."""
    import pyarrow.compute as pc

    knobs = work.knobs
    coder = Coder.of(knobs, Vocabulary.from_arrays(work.arrays("vocabulary")))
    for dataset in ("encoder", "features", "near_copies"):
        work.clear(dataset)
    parts, wanted = _wanted(work)
    sample = _sample(work, coder, parts, wanted)
    mean, components = fit_projection(sample, coder.encoding.components_for(len(coder.vocabulary.words)))
    transform = projected(coder, mean, components, work.lake, work.folder("features"))
    rows = work.parts(parts, wanted, _DESCRIBED).map(transform).table(_file_schema())
    files = sorted((File(**row) for row in rows.to_pylist()), key=lambda file: file.path)
    images = work.parts(parts, wanted.filter(pc.equal(wanted["copy"], 0)), ["content", "fingerprint"])
    near = near_copies.found(images, max_distance=knobs["near_distance"])
    written = {
        "encoder": [work.lake.write_arrays(work.folder("encoder"), "encoder", {"mean": mean, "components": components})],
        "features": [*files, write_csv(work, files, len(components))],
        "near_copies": [work.lake.write_rows(work.folder("near_copies"), "near_copies", near, name="near_copies.parquet")],
    }
    n_images = wanted["copy"].to_pylist().count(0)
    counts = {"images": n_images, "copies": wanted.num_rows - n_images, "near_copies": near.num_rows}
    counts |= {"fitted_on": len(sample), "features": len(mean), "components": len(components)}
    line = f"{n_images:,} images as {len(mean):,} features, projected to {len(components):,} fitted on {len(sample):,} of training images"
    if near.num_rows:
        line += f"; {near.num_rows:,} test images have a near copy in train"
    return Result(line, written, counts)


def _sample(work: Work, coder: Coder, parts: list[File], wanted: pa.Table) -> np.ndarray:
    """The vectors that the projection is fitted on, (n, n_features) float64, by content and copy; no others are computed for it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    train = wanted.filter(pc.equal(wanted["split"], "train"))
    lessons = [[coder.copies(copy, "train") for copy in train["copy"].to_pylist()], train["content"].to_pylist()]
    share = work.knobs["projection_images"] / max(1, sum(map(len, lessons[0])))
    chosen = partial(in_sample, share=share, seed=work.knobs["seed"])
    needed = [any(chosen(content, copy) for copy in copies) for copies, content in zip(*lessons, strict=True)]
    rows = work.parts(parts, train.filter(pa.array(needed, pa.bool_())), _DESCRIBED)
    found = rows.map(drawn(coder, chosen)).table(_drawn_schema()).sort_by([("content", "ascending"), ("copy", "ascending")])
    return np.array([np.frombuffer(row.as_buffer()) for row in found["vector"]])


def _wanted(work: Work) -> tuple[list[File], pa.Table]:
    """(parts, the rows wanted of them: content, copy, part, image, label, split, group)."""
    parts, index = work.described()
    roster = work.table("roster", ["content", "path", "label", "split", "group"]).rename_columns(
        ["content", "image", "label", "split", "group"]
    )
    return parts, index.select(["content", "copy", "part"]).join(roster, "content", join_type="inner")


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
