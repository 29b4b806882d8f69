"""The lake: immutable parts, run manifests, numbered records and outcomes; the only place that reads or writes it.

    <lake>/<name>/format.json
                  parts/images/<sha256>.parquet
                  parts/descriptors/<extractor key>/<sha256>.parquet
                  <record>/000001.json, 000002.json, …      snapshots, judged, promotions, leases
                  runs/<run>/manifests/<stage>.json  outcomes/<stage>.json  <the run's datasets>

Data are written first and the manifest that names them last, so what has no manifest does not exist. A record is
created exclusively: of two writers one wins and the other reads again. pyarrow and NumPy are imported when used.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from pomona.datasets import DATASETS
from pomona.formats import arrow_schema, npz
from pomona.outcome import BadInput, File
from pomona.s3 import AWS, S3
from pomona.stages import JOBS
from pomona.storage import BLOCK_BYTES, Hashing, Storage, Stored, at_once, storage

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FORMAT = 1
# A task reads whole row groups: small ones let a part be shared evenly. A group costs a request on S3, so they are not smaller.
_ROW_GROUP_BYTES, _ROW_GROUPS, _MIN_ROW_GROUP_BYTES = 1 << 20, 8, 128 << 10


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Lake:
    """The lake of one name. It holds a few texts only, so that it travels to Spark's workers."""

    root: str
    name: str
    s3: S3 = AWS

    @property
    def _storage(self) -> Storage:
        return storage(f"{self.root}/{self.name}", self.s3)

    def location(self, path: str) -> str:
        """The file's own path (local) or URI, for people and for libraries that open files themselves."""
        return self._storage.location(path)

    # ---- bytes: see `storage`

    def get(self, path: str) -> bytes:
        return self._storage.get(path)

    def opened(self, path: str, block_bytes: int = BLOCK_BYTES) -> Any:
        return self._storage.opened(path, block_bytes)

    def exists(self, path: str) -> bool:
        return self._storage.exists(path)

    def put(self, path: str, data: bytes) -> None:
        self._storage.put(path, data)

    def create(self, path: str, data: bytes) -> bool:
        return self._storage.create(path, data)

    def sizes(self, paths: Sequence[str]) -> list[int]:
        """The bytes of each file, asked for several at once."""
        return at_once(self._storage.size, paths)

    def names(self, folder: str) -> list[str]:
        return self._storage.names(folder)

    def folders(self, folder: str) -> list[str]:
        return self._storage.folders(folder)

    def below(self, folder: str) -> list[Stored]:
        return self._storage.below(folder)

    def remove(self, path: str) -> None:
        self._storage.remove(path)

    def creates_exclusively(self) -> bool:
        """Whether the storage keeps its promise that of two writers one wins: tried with a file that is removed again."""
        path = f"probes/{uuid.uuid4().hex}"
        try:
            return self.create(path, b"first") and not self.create(path, b"second") and self.get(path) == b"first"
        finally:
            self.remove(path)

    def document(self, path: str) -> dict[str, Any] | None:
        """The JSON document, or None when there is none."""
        try:
            return dict(json.loads(self.get(path)))
        except FileNotFoundError:
            return None

    def put_document(self, path: str, document: Mapping[str, Any]) -> None:
        self.put(path, _json(document))

    # ---- format

    def open(self) -> Lake:
        """The lake itself, made if there was none.

        Raises
        ------
        BadInput
            When another release wrote it in a format that this one does not read.
        """
        if self.document("format.json") is None:
            self.create("format.json", _json({"format": FORMAT}))
        found = (self.document("format.json") or {}).get("format")
        if found != FORMAT:
            raise BadInput(
                f"the lake {self.location('')} has format {found}, this release reads {FORMAT}: "
                "use the release that wrote it, or set POMONA_LAKE to a new folder"
            )
        return self

    # ---- files of datasets

    def write_rows(self, folder: str, dataset: str, table: pa.Table, *, name: str = "") -> File:
        """Writes the rows as one Parquet file, named by its SHA-256 unless a name is given.

        Raises
        ------
        ValueError
            When the table's columns are not those that the contract declares.
        """
        import pyarrow.parquet as pq

        schema = arrow_schema(dataset)
        if table.schema.names != schema.names:
            raise ValueError(f"{dataset} has the columns {table.schema.names}, declared are {schema.names}")
        table = table.cast(schema)
        group_bytes = max(_MIN_ROW_GROUP_BYTES, min(_ROW_GROUP_BYTES, table.nbytes // _ROW_GROUPS))
        rows_a_group = max(1, int(group_bytes * table.num_rows / max(1, table.nbytes)))
        buffer = io.BytesIO()
        # Packed pixels and descriptors do not compress enough to pay for the time; hashes and labels do.
        packed = {column.name for column in DATASETS[dataset].columns if column.type == "binary"}
        compression: Any = {name: "none" if name in packed else "snappy" for name in schema.names}
        pq.write_table(table, buffer, row_group_size=rows_a_group, compression=compression, use_dictionary=not packed)
        return self.write_file(folder, name or "{sha256}.parquet", buffer.getvalue(), rows=table.num_rows)

    def write_arrays(self, folder: str, dataset: str, arrays: Mapping[str, np.ndarray]) -> File:
        """Writes the arrays as one `.npz` whose bytes are a function of the arrays alone."""
        declared = {column.name for column in DATASETS[dataset].columns}
        if not declared <= set(arrays):
            raise ValueError(f"{dataset} lacks {sorted(declared - set(arrays))}")
        return self.write_file(folder, f"{dataset}.npz", npz(arrays), rows=len(next(iter(arrays.values()))))

    def write_document(self, folder: str, dataset: str, document: Mapping[str, Any]) -> File:
        declared = {column.name for column in DATASETS[dataset].columns}
        if not declared <= set(document):
            raise ValueError(f"{dataset} lacks {sorted(declared - set(document))}")
        return self.write_file(folder, f"{dataset}.json", _json(document), rows=1)

    def write_file(self, folder: str, name: str, data: bytes, *, rows: int = 1) -> File:
        """Writes anything that belongs to a dataset; `{sha256}` in the name stands for the hash of its bytes."""
        digest = hashlib.sha256(data).hexdigest()
        file = File(f"{folder}/{name.format(sha256=digest)}", digest, len(data), rows)
        self.put(file.path, data)
        return file

    def write_stream(self, folder: str, name: str, write: Callable[[IO[bytes]], int]) -> File:
        """Writes a file that need never be whole in memory; `write` is given it, open, and says how many rows it wrote."""
        path, hashed = f"{folder}/{name}", hashlib.sha256()
        with self._storage.writing(path) as file:
            rows = write(Hashing(file, hashed))  # type: ignore[arg-type]
            size = file.tell()
        return File(path, hashed.hexdigest(), size, rows)

    def read_rows(self, files: Iterable[File], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of the files, in the files' order; small tables only: it is read whole."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = [pq.read_table(pa.BufferReader(self.get(file.path)), columns=columns) for file in files]
        return pa.concat_tables(tables).replace_schema_metadata(None)

    def read_arrays(self, file: File) -> dict[str, np.ndarray]:
        import numpy as np

        with np.load(io.BytesIO(self.get(file.path)), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def part_files(self, folder: str, rows: Mapping[str, int]) -> list[File]:
        """The shared parts of these names below the folder, sorted, each with the rows of it that are meant; its name is its SHA-256."""
        paths = [f"{folder}/{name}" for name in sorted(rows)]
        sizes = self.sizes(paths)
        return [
            File(path, name.removesuffix(".parquet"), size, rows[name]) for path, name, size in zip(paths, sorted(rows), sizes, strict=True)
        ]

    # ---- runs

    def run_folder(self, run: str) -> str:
        return f"runs/{run}"

    def write_manifest(self, run: str, stage: str, files: Mapping[str, Sequence[File]], **facts: Any) -> None:
        """Makes the stage's datasets exist: names their files, with schema, format, inputs and what else is told."""
        if set(files) != set(JOBS[stage].writes):
            raise ValueError(f"{stage} wrote {sorted(files)}, declared are {sorted(JOBS[stage].writes)}")
        datasets = {
            name: {
                "schema": {column.name: column.type for column in DATASETS[name].columns},
                "rows": sum(file.rows for file in entries if file.path.endswith((".parquet", ".npz", ".json"))),
                "digest": digest(entries),
                "files": [asdict(file) for file in entries],
            }
            for name, entries in files.items()
        }
        document = {"format": FORMAT, "run": run, "stage": stage, "created": now(), "datasets": datasets, **facts}
        self.put_document(f"{self.run_folder(run)}/manifests/{stage}.json", document)

    def manifest(self, run: str, stage: str) -> dict[str, Any]:
        """The stage's manifest.

        Raises
        ------
        BadInput
            When the stage has not been done in this run.
        """
        found = self.document(f"{self.run_folder(run)}/manifests/{stage}.json")
        if found is None:
            raise BadInput(f"run {run} has no {' and '.join(JOBS[stage].writes)} yet: run its stage {stage} first")
        return found

    def forget_manifest(self, run: str, stage: str) -> None:
        """Takes the stage's datasets out of existence, before it is done anew."""
        self.remove(f"{self.run_folder(run)}/manifests/{stage}.json")
        self.remove(f"{self.run_folder(run)}/outcomes/{stage}.json")

    def files(self, run: str, dataset: str) -> list[File]:
        """The files of a dataset of the run, checked to be there by those who read them."""
        manifest = self.manifest(run, writer_of(dataset))
        return [File(**entry) for entry in manifest["datasets"][dataset]["files"]]

    def digests(self, run: str, datasets: Iterable[str]) -> dict[str, str]:
        """The digest of each dataset of the run, by name."""
        return {name: self.manifest(run, writer_of(name))["datasets"][name]["digest"] for name in datasets}

    def put_outcome(self, run: str, stage: str, outcome: Mapping[str, Any]) -> None:
        self.put_document(f"{self.run_folder(run)}/outcomes/{stage}.json", outcome)

    def outcome(self, run: str, stage: str) -> dict[str, Any] | None:
        """What became of the stage: status, line, counts, seconds, started, ended; None before it ended."""
        return self.document(f"{self.run_folder(run)}/outcomes/{stage}.json")

    # ---- numbered records

    def append(self, record: str, number: int, document: Mapping[str, Any]) -> bool:
        """Creates number `number` of the record; False when that number is taken."""
        return self.create(f"{record}/{number:06d}.json", _json(document))

    def last_number(self, record: str) -> int:
        """The highest number of the record; 0 when it is empty."""
        numbers = [int(name[:-5]) for name in self.names(record) if name.endswith(".json") and name[:-5].isdigit()]
        return max(numbers, default=0)

    def entry(self, record: str, number: int) -> dict[str, Any] | None:
        return self.document(f"{record}/{number:06d}.json")

    def entries(self, record: str) -> list[dict[str, Any]]:
        """All documents of the record in their order."""
        paths = [f"{record}/{name}" for name in self.names(record) if name.endswith(".json")]
        return [json.loads(data) for data in at_once(self.get, paths)]


def writer_of(dataset: str) -> str:
    """The stage that writes the dataset."""
    return next(stage.name for stage in JOBS.values() if dataset in stage.writes)


def digest(files: Iterable[File]) -> str:
    """SHA-256 over the SHA-256s of the files, whatever their order."""
    return hashlib.sha256("".join(sorted(file.sha256 for file in files)).encode()).hexdigest()


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
