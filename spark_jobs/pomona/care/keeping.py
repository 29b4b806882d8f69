"""What of a lake is still wanted: which runs stay, and which parts they and the newest snapshot name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from pomona import snapshots
from pomona.lake import Lake, now
from pomona.outcome import File
from pomona.stages import STAGES
from pomona.storage import Stored, at_once

_REMOVING = "removing.json"
# Folders of a run whose files are rewritten under other names, with the stage whose manifest names them: who did so may have been killed.
_REWRITTEN = {"roster": "ingest", "placements": "ingest", "annotations": "ingest", "descriptors": "describe", "features": "encode"}


@dataclass(frozen=True)
class Runs:
    """The runs of a lake by what becomes of them."""

    kept: tuple[str, ...]
    removed: tuple[str, ...]


def sorted_out(lake: Lake, *, keep: int, wanted: Collection[str], before: float) -> Runs:
    """The runs that stay: the last `keep` that took pictures in, those that are wanted, and whatever else was written to since `before`.

    A run that took none in (a rollback, a run that failed at its start) is its outcome and its log, and goes with the logs.
    """
    names = lake.folders("runs")
    created = dict(zip(names, at_once(lambda run: _created(lake, run), names), strict=True))
    chain = sorted((run for run in names if created[run]), key=lambda run: (created[run], run), reverse=True)
    kept = {*chain[:keep], *(run for run in names if run in wanted)}
    kept |= {run for run in names if not created[run] and run not in kept and not is_outdated(lake, run, before)}
    return Runs(tuple(run for run in names if run in kept), tuple(run for run in names if run not in kept))


def _created(lake: Lake, run: str) -> str:
    return str((lake.document(f"{lake.run_folder(run)}/manifests/ingest.json") or {}).get("created", ""))


def is_outdated(lake: Lake, run: str, before: float) -> bool:
    """Whether nothing was written into the run's folder since, or its removal has begun."""
    files = lake.below(lake.run_folder(run))
    return all(file.written < before for file in files) or any(file.path.endswith(f"/{_REMOVING}") for file in files)


def remove_run(lake: Lake, run: str) -> None:
    """Removes the run's folder: first a note that its removal has begun, then its manifests, so that nobody reads half of it.

    The manifest of the last stage goes first: what is left at any moment is a run that has come to some stage.
    """
    folder = lake.run_folder(run)
    lake.put_document(f"{folder}/{_REMOVING}", {"began": now()})
    for stage in reversed([*STAGES]):
        lake.remove(f"{folder}/manifests/{stage}.json")
    lake.remove(f"{folder}/manifests")
    for name in (*lake.folders(folder), *lake.names(folder)):
        if name != _REMOVING:
            lake.remove(f"{folder}/{name}")
    lake.remove(folder)


def named_parts(lake: Lake, runs: Collection[str]) -> set[str]:
    """The paths of the parts that these runs' manifests and the newest snapshot name."""
    named = {f"parts/images/{part}" for part in snapshots.latest(lake).placements["part"]}
    asked = [(run, stage) for run in runs for stage in ("ingest", "describe")]
    for manifest in at_once(lambda of: lake.document(f"{lake.run_folder(of[0])}/manifests/{of[1]}.json"), asked):
        for dataset in ("images", "descriptors"):
            named |= {file["path"] for file in ((manifest or {}).get("datasets", {}).get(dataset) or {}).get("files", ())}
    return named


def leftovers(lake: Lake, run: str, *, before: float, logs_before: float) -> list[Stored]:
    """Files of a run that stays and that nobody reads any more: old logs and notes, tables that its manifests do not name."""
    folder, found = lake.run_folder(run), []
    named = {stage: _named_by(lake, run, stage) for stage in set(_REWRITTEN.values())}
    for file in lake.below(folder):
        top = file.path.removeprefix(f"{folder}/").partition("/")[0]
        is_log = top in ("logs", "ends", "waiting") and file.written < logs_before
        tables = named[_REWRITTEN[top]] if top in _REWRITTEN else None
        is_unnamed = tables is not None and file.path not in tables and file.written < before
        if is_log or is_unnamed or file.path == f"{folder}/{_REMOVING}":
            found.append(file)
    return found


def _named_by(lake: Lake, run: str, stage: str) -> set[str] | None:
    """The files that the stage's manifest names; None without one, for a job may have written its files already."""
    manifest = lake.document(f"{lake.run_folder(run)}/manifests/{stage}.json")
    if manifest is None:
        return None
    index = [manifest["notes"]["index"]] if stage == "describe" else []
    return {file["path"] for file in (*index, *(file for told in manifest["datasets"].values() for file in told["files"]))}


def with_rows(lake: Lake, folder: str, parts: Collection[str]) -> list[File]:
    """The parts of the folder that are named, once for each row that is meant."""
    return lake.part_files(folder, Counter(parts))
