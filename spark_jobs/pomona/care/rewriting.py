"""A run's manifests over other files: parts that were packed together or that lost a row, tables that name them.

New files are written under new names, then the manifest that names them takes the place of the old one in one step, and the old files
go last: killed anywhere, a manifest names what is there. The digest of a dataset changes with its files; later manifests say which
digest their stage read, and keep saying it: the rewritten manifest lists under `earlier` what the dataset's digest was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pomona import snapshots
from pomona.care import erasing
from pomona.care.keeping import with_rows
from pomona.formats import arrow_schema, parquet
from pomona.lake import Lake, digest
from pomona.outcome import File

if TYPE_CHECKING:
    import pyarrow as pa

Moves = Mapping[str, str]
"""Names of parts by the names of those whose rows they hold now."""


def renamed(table: pa.Table, moves: Moves) -> pa.Table:
    """The table with its column `part` after the moves."""
    import pyarrow as pa

    parts = pa.array([moves.get(part, part) for part in table["part"].to_pylist()], pa.string())
    return table.set_column(table.schema.get_field_index("part"), "part", parts)


def put_manifest(lake: Lake, manifest: Mapping[str, Any], files: Mapping[str, Sequence[File]], **facts: Any) -> None:
    """Writes the manifest anew with these files of some of its datasets, and removes the run's own files that it named before."""
    datasets, gone = dict(manifest["datasets"]), set()
    for name, entries in files.items():
        told = datasets[name]
        before, after = told["digest"], digest(entries)
        earlier = [*told.get("earlier", ()), *([before] if before != after else [])]
        rows = sum(file.rows for file in entries if file.path.endswith((".parquet", ".npz", ".json")))
        gone |= {file["path"] for file in told["files"]} - {file.path for file in entries}
        datasets[name] = {**told, "rows": rows, "digest": after, "files": [asdict(file) for file in entries], "earlier": earlier}
    folder = lake.run_folder(manifest["run"])
    lake.put_document(f"{folder}/manifests/{manifest['stage']}.json", {**manifest, "datasets": datasets, **facts})
    for path in sorted(gone):
        # Parts are shared: who drops one knows that no run names it.
        if path.startswith(f"{folder}/"):
            lake.remove(path)


def move_images(lake: Lake, run: str, moves: Moves, *, forgotten: str = "") -> None:
    """Lets the run name the images parts after the moves, and nothing of a forgotten content, if it names one of the old ones or that."""
    manifest = lake.document(f"{lake.run_folder(run)}/manifests/ingest.json")
    if manifest is None or not (forgotten or _names_one(manifest, "images", moves)):
        return
    files: dict[str, list[File]] = {}
    for dataset in ("placements", "roster"):
        table = erasing.without_rows(renamed(lake.read_rows(_files(manifest, dataset)), moves), forgotten)
        files[dataset] = [write_table(lake, f"{lake.run_folder(run)}/{dataset}", table)]
    files["images"] = with_rows(lake, "parts/images", table["part"].to_pylist())
    # An earlier release had none.
    if forgotten and "annotations" in manifest["datasets"]:
        said = erasing.without_rows(lake.read_rows(_files(manifest, "annotations")), forgotten)
        files["annotations"] = [write_table(lake, f"{lake.run_folder(run)}/annotations", said)]
    put_manifest(lake, manifest, files, notes=erasing.without_items(manifest["notes"], forgotten) if forgotten else manifest["notes"])


def move_descriptors(lake: Lake, run: str, moves: Moves, *, forgotten: str = "") -> None:
    """The same for the descriptors parts that the run names, and its index of them."""
    manifest = lake.document(f"{lake.run_folder(run)}/manifests/describe.json")
    if manifest is None or not (forgotten or _names_one(manifest, "descriptors", moves)):
        return
    before = File(**manifest["notes"]["index"])
    index = erasing.without_rows(renamed(lake.read_rows([before]), moves), forgotten)
    after = write_table(lake, f"{lake.run_folder(run)}/descriptors", index)
    files = with_rows(lake, f"parts/descriptors/{manifest['notes']['extractor']}", index["part"].to_pylist())
    notes = erasing.without_items(manifest["notes"], forgotten) if forgotten else manifest["notes"]
    put_manifest(lake, manifest, {"descriptors": files}, notes={**notes, "index": asdict(after)})
    if before.path != after.path:
        lake.remove(before.path)


def write_part(lake: Lake, folder: str, rows: pa.Table) -> File:
    """Writes a shared part as its stage does; rows of an earlier release keep their own columns."""
    dataset = folder.split("/")[1]
    if rows.schema.names == arrow_schema(dataset).names:
        return lake.write_rows(folder, dataset, rows)
    return write_table(lake, folder, rows)


def write_table(lake: Lake, folder: str, table: pa.Table, name: str = "{sha256}.parquet") -> File:
    """Writes a table with the columns that it has, by default under the name of its bytes."""
    return lake.write_file(folder, name, parquet(table), rows=table.num_rows)


def move_snapshot(lake: Lake, moves: Moves, *, forgotten: str = "") -> None:
    """Adds a snapshot that says the same as the newest one, names the images parts after the moves and no forgotten content.

    Raises
    ------
    RuntimeError
        When somebody else has written a snapshot meanwhile, who must have taken the lake over.
    """
    last = snapshots.latest(lake)
    placements = last.placements.assign(part=last.placements["part"].map(lambda part: moves.get(part, part)))
    placements = placements[placements["content"] != forgotten].reset_index(drop=True)
    if not placements.equals(last.placements) and snapshots.save(lake, replace(last, placements=placements)) is None:
        raise RuntimeError(f"snapshot {last.number + 1} was written by somebody else while this job held the lake: run it again")


def _names_one(manifest: Mapping[str, Any], dataset: str, names: Iterable[str]) -> bool:
    named = {File(**file).name for file in manifest["datasets"][dataset]["files"]}
    return not named.isdisjoint(names)


def _files(manifest: Mapping[str, Any], dataset: str) -> list[File]:
    return [File(**file) for file in manifest["datasets"][dataset]["files"]]
