"""What is left of a forgotten content in files of the lake that no manifest names: logs, scores, pages, tables of jobs that died."""

from __future__ import annotations

import io
import json

from pomona.care import erasing
from pomona.formats import parquet
from pomona.lake import Lake
from pomona.lease import EXPIRE_S, clock
from pomona.storage import at_once

# Who held these held the lease, or says who forgot what.
_LEFT_ALONE = ("format.json", "leases/", "forgotten/", "parts/")


def sweep(lake: Lake, content: str) -> bool:
    """Takes the content out of every such file, by what kind of file it is; snapshots but the newest go, for nobody reads them.

    Gives back whether it was there, as far as can be told: pages lose their pictures unseen.
    """
    _drop_snapshots(lake)
    named, before, unnamed = _named(lake), clock(lake) - EXPIRE_S, []
    for file in lake.below(""):
        if file.path.rpartition("/")[2].startswith(".writing-"):
            # Ledger, calls and pages have writers that hold no lease: one that shows no life for so long has died.
            if file.written < before:
                lake.remove(file.path)
        elif file.path not in named and not file.path.startswith(_LEFT_ALONE):
            unnamed.append(file.path)
    found = False
    for path, after in zip(unnamed, at_once(lambda path: _without(lake, path, content), unnamed), strict=True):
        if after is not None:
            found |= not path.endswith(".html")
            lake.put(path, after)
    return found


def _drop_snapshots(lake: Lake) -> None:
    newest = lake.last_number("snapshots")
    entry = lake.entry("snapshots", newest) or {}
    named = {entry[dataset]["path"] for dataset in ("placements", "rejects") if entry}
    for number in range(1, newest):
        lake.remove(f"snapshots/{number:06d}.json")
    for file in lake.below("snapshots/rows"):
        if file.path not in named:
            lake.remove(file.path)


def _named(lake: Lake) -> set[str]:
    """The files of runs that a manifest names, and the reports of runs that say which images they had: these are seen to by themselves."""
    return {path for named in at_once(lambda run: _named_by(lake, run), lake.folders("runs")) for path in named}


def _named_by(lake: Lake, run: str) -> set[str]:
    folder = lake.run_folder(run)
    documents = {name: lake.document(f"{folder}/manifests/{name}") for name in lake.names(f"{folder}/manifests")}
    manifests = {name: document for name, document in documents.items() if document}
    found = {file["path"] for manifest in manifests.values() for told in manifest["datasets"].values() for file in told["files"]}
    if "describe.json" in manifests:
        found.add(manifests["describe.json"]["notes"]["index"]["path"])
    if "ingest.json" in manifests:
        found.add(f"{folder}/report.html")
    return found


def _without(lake: Lake, path: str, content: str) -> bytes | None:
    """What the file says but for the content; None where it says nothing of it, or is gone: writers without a lease remove files too."""
    try:
        before = lake.get(path)
    except FileNotFoundError:
        return None
    after = cleaned(before, path.rpartition(".")[2], content)
    return None if after == before else after


def cleaned(data: bytes, suffix: str, content: str) -> bytes:
    """The bytes of a file of this kind without the content; those of an unknown kind as they are.

    Of a page outside of the runs nobody can tell which images it shows: its pictures go, and come back when its job writes it anew.
    """
    import pyarrow.parquet as pq

    if suffix == "parquet":
        table = pq.read_table(io.BytesIO(data))
        if not erasing.mentions(table, content):
            return data
        return parquet(erasing.without_rows(table, content))
    if suffix == "html":
        return erasing.without_pictures(data.decode(), content).encode()
    if suffix == "npz":
        return erasing.without_texts(data, content)
    if content.encode() not in data:
        return data
    if suffix == "json":
        return f"{json.dumps(erasing.without_items(json.loads(data), content), indent=1, ensure_ascii=False)}\n".encode()
    if suffix == "csv":
        return b"".join(erasing.without_records(data.splitlines(keepends=True), content, ()))
    return b"".join(line for line in data.splitlines(keepends=True) if content.encode() not in line)
