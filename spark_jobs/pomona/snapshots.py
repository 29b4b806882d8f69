"""Snapshots of the landing zone: what each path held when it was last seen. The newest one is ingest's ledger."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import pyarrow as pa

from pomona.formats import arrow_schema
from pomona.lake import Lake, now
from pomona.landing import Listed
from pomona.leakage import Misplaced, Placement, is_ignored, place, split_folders
from pomona.outcome import File

State = tuple[str, int, str]
KEY = ["path", "size", "version"]
_MEANING = ["path", "content", "label", "split", "group"]


@dataclass(frozen=True)
class Snapshot:
    """Number, placements and rejects (the columns that the contract declares); number 0 is the empty one.

    `labels` are the (path, size, version) of the CSVs with people's labels that were read for it, by path.
    """

    number: int
    placements: pd.DataFrame
    rejects: pd.DataFrame
    labels: tuple[State, ...] = ()

    @property
    def present(self) -> pd.DataFrame:
        return self.placements[self.placements["gone_since"].isna()]

    def digest(self) -> str:
        """SHA-256 of what the present placements mean: path, content, label, split and group, not their clock times."""
        import pyarrow.csv as pc

        written = io.BytesIO()
        pc.write_csv(table("placements", self.present.sort_values("path")).select(_MEANING), written)
        return hashlib.sha256(written.getbuffer()).hexdigest()


def latest(lake: Lake) -> Snapshot:
    """The newest snapshot of the lake, or the empty one."""
    number = lake.last_number("snapshots")
    entry = lake.entry("snapshots", number)
    if entry is None:
        return Snapshot(0, *(arrow_schema(name).empty_table().to_pandas() for name in ("placements", "rejects")))
    placements, rejects = (lake.read_rows([File(**entry[name])]).to_pandas() for name in ("placements", "rejects"))
    # An earlier release knew of no labels.
    return Snapshot(number, placements, rejects, tuple((path, size, version) for path, size, version in entry.get("labels", ())))


def save(lake: Lake, snapshot: Snapshot) -> Snapshot | None:
    """The snapshot under the next number, or None when another writer took that number."""
    number = snapshot.number + 1
    files = {name: lake.write_rows("snapshots/rows", name, table(name, getattr(snapshot, name))) for name in ("placements", "rejects")}
    told = {**{name: asdict(file) for name, file in files.items()}, "labels": snapshot.labels}
    entry: dict[str, Any] = {"number": number, "created": now(), **told}
    return replace(snapshot, number=number) if lake.append("snapshots", number, entry) else None


def locate(listed: Sequence[Listed], *, group_pattern: str) -> tuple[list[Listed], dict[str, Placement], list[str]]:
    """The files that may be pictures, where each belongs by its path, and the paths of the ignored others.

    A file without a place comes back with that as its fault, so that nobody reads it.
    """
    splits = split_folders(file.path for file in listed)
    files, places, ignored = [], {}, []
    for file in listed:
        if is_ignored(file.path):
            ignored.append(file.path)
            continue
        try:
            places[file.path] = place(file.path, group_pattern=group_pattern, splits=splits)
            files.append(file)
        except Misplaced as reason:
            files.append(replace(file, fault=file.fault or str(reason)))
    return files, places, ignored


def pending(last: Snapshot, listed: Sequence[Listed]) -> pd.DataFrame:
    """The listed files that the snapshot does not know as they are now: columns path, size, version."""
    known = pd.concat([last.placements[KEY], last.rejects.loc[last.rejects["final"].astype(bool), KEY]])
    marked = readable(listed).merge(known.drop_duplicates(), on=KEY, how="left", indicator=True)
    return marked.loc[marked["_merge"] == "left_only", KEY].reset_index(drop=True)


def follow(last: Snapshot, listed: Sequence[Listed], places: Mapping[str, Placement], taken: pd.DataFrame) -> Snapshot:
    """The snapshot after the last one: what is listed now, with `taken` for what was read anew.

    Parameters
    ----------
    listed, places : as `locate` gives them
    taken : columns path, size, version, content, part, reason, final; content is null where reason is not.

    Placements that are listed no more stay, with the time since when they are gone.
    """
    at = now()
    listing = readable(listed)
    faults = pd.DataFrame([(f.path, f.size, f.version, f.fault, False) for f in listed if f.fault], columns=[*KEY, "reason", "final"])
    known = last.placements[[*KEY, "content", "part"]]
    good = pd.concat([known, taken.loc[taken["content"].notna(), known.columns]]).drop_duplicates("path", keep="last")
    here = listing.merge(good, on=KEY)
    completed = [places[path].completed(content) for path, content in zip(here["path"], here["content"], strict=True)]
    here = here.assign(**{field: [getattr(p, field) for p in completed] for field in ("label", "split", "group")})
    seen = last.placements.set_index("path")["first_seen"]
    here = here.assign(first_seen=here["path"].map(seen).fillna(at), gone_since=None)
    gone = last.placements[~last.placements["path"].isin(here["path"])]
    gone = gone.assign(gone_since=gone["gone_since"].where(gone["gone_since"].notna(), at))
    placements = pd.concat([here[last.placements.columns], gone]).sort_values("path", ignore_index=True)

    bad = taken.loc[taken["content"].isna(), [*KEY, "reason", "final"]]
    old = last.rejects.loc[last.rejects["final"].astype(bool), [*KEY, "reason", "final"]].merge(listing, on=KEY)
    rejects = pd.concat([old, faults, bad]).drop_duplicates("path", keep="last")
    seen = last.rejects.set_index("path")["first_seen"]
    rejects = rejects.assign(first_seen=rejects["path"].map(seen).fillna(at)).sort_values("path", ignore_index=True)
    return Snapshot(last.number, placements, rejects[last.rejects.columns])


def readable(listed: Sequence[Listed]) -> pd.DataFrame:
    """Path, size and version of the listed files that have no fault; of the same types without any."""
    files = [file for file in listed if not file.fault]
    columns = {name: [getattr(file, name) for file in files] for name in KEY}
    return pd.DataFrame(columns, dtype=object).astype({"size": "int64"})


def taken_schema() -> pa.Schema:
    """What is told of a file that was read: content and part of a picture, or the reason why it is none."""
    texts = {name: pa.string() for name in ("path", "version", "content", "part", "reason")}
    columns = {**texts, "size": pa.int64(), "final": pa.bool_(), "bytes": pa.int64()}
    order = ("path", "size", "version", "content", "part", "reason", "final", "bytes")
    return pa.schema([(name, columns[name]) for name in order])


def nothing_taken() -> pd.DataFrame:
    """What is told of the files read when none was."""
    nothing: pd.DataFrame = taken_schema().empty_table().to_pandas()
    return nothing


def newly_gone(last: Snapshot, following: Snapshot) -> list[str]:
    """The paths that the last snapshot had and the following one has not."""
    return sorted(set(last.present["path"]) - set(following.present["path"]))


def same(last: Snapshot, following: Snapshot) -> bool:
    """Whether the following snapshot would tell nothing new, so that no number need be spent on it."""
    if last.number == 0 or last.labels != following.labels:
        return False
    # As declared tables: pandas has other types for an empty column made here than for one that was read.
    return all(table(name, getattr(last, name)).equals(table(name, getattr(following, name))) for name in ("placements", "rejects"))


def table(dataset: str, rows: pd.DataFrame) -> pa.Table:
    """The rows as an Arrow table with the dataset's declared columns."""
    return pa.Table.from_pandas(rows, schema=arrow_schema(dataset), preserve_index=False).replace_schema_metadata(None)
