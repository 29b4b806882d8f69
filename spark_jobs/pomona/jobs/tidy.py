"""tidy: removes runs, parts and logs that nobody needs any more, and packs small parts together.

In: the runs' manifests, the newest snapshot, the ledger of promotions, MLflow's versions. Out: fewer files that say the same. Nothing of
Spark is started. Killed anywhere, every manifest that is there names what is there, and the next tidy does the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from pomona import promotions, reigns, scored, tracking
from pomona.care import compaction, keeping, rewriting
from pomona.lake import Lake
from pomona.lease import clock
from pomona.monitoring import hundreds, record
from pomona.outcome import Result
from pomona.stages import SCORE
from pomona.storage import at_once, storage
from pomona.work import LOG, Work

if TYPE_CHECKING:
    from pomona.storage import Storage, Stored

# A job writes its parts before the manifest that names them, and the retry of one that died finds them.
GRACE_S = 86_400.0
LOGS_S = 30 * 86_400.0


class Sweep:
    """Removes files, or only counts them; `freed` are their bytes."""

    def __init__(self, lake: Lake, *, dry: bool) -> None:
        self.lake, self.dry, self.freed = lake, dry, 0

    def drop(self, files: Iterable[Stored], place: Storage | Lake | None = None) -> int:
        """How many files there were."""
        gone = list(files)
        for file in gone:
            if not self.dry:
                (place or self.lake).remove(file.path)
            self.freed += file.bytes
        return len(gone)


def run(work: Work) -> Result:
    """One line on what went, or with `dry` on what would go."""
    order, lake = work.order, work.lake
    sweep, now = Sweep(lake, dry=order.dry), clock(lake)
    before, logs_before = now - GRACE_S, now - LOGS_S
    runs = keeping.sorted_out(lake, keep=order.keep_runs, wanted=_wanted(work), before=logs_before)
    _remove_runs(sweep, runs.removed)
    files, named = lake.below("parts"), keeping.named_parts(lake, runs.kept)
    parts = [file for file in files if file.path.endswith(".parquet")]
    # What a killed writer left half-written is no part.
    sweep.drop(file for file in files if file not in parts and file.written < before)
    n_dropped = sweep.drop(part for part in parts if part.path not in named and part.written < before)
    n_packed = _pack(sweep, [part for part in parts if part.path in named], runs.kept)
    _drop_snapshots(sweep, before)
    _drop_scored(sweep, runs.kept, before)
    _drop_waiting(sweep, runs.kept, before)
    _pack_documents(sweep, before)
    _drop_logs(sweep, work, runs.kept, before=before, logs_before=logs_before)
    n_after = len(parts) - n_dropped - n_packed
    verb = "would go" if order.dry else "gone"
    line = (
        f"{len(runs.removed):,} of {len(runs.removed) + len(runs.kept):,} runs {verb}; {len(parts):,} parts before, {n_after:,} after; "
        f"{sweep.freed / 1e6:,.1f} MB {'would be ' if order.dry else ''}freed"
    )
    counts = {
        "runs_removed": len(runs.removed),
        "runs_kept": len(runs.kept),
        "parts_before": len(parts),
        "parts_after": n_after,
        "bytes_freed": sweep.freed,
    }
    return Result(line, {}, counts, {"runs_removed": list(runs.removed)})


def _wanted(work: Work) -> set[str]:
    """This run, those of every version that was champion or that MLflow has, the last judged one, which rollbacks are scored on.

    And the one that told the newest scores: none tells them again while no picture is new.
    """
    place, lake = work.order.place, work.lake
    judged, told = (lake.entry(name, lake.last_number(name)) or {} for name in ("judged", scored.RECORD))
    changes = reigns.changes(promotions.LakeLedger(lake).read_all())
    versions = tracking.versions(place.tracking, place.name)
    return {work.run, *versions.values(), *(change.run for change in changes), str(judged.get("run", "")), str(told.get("run", ""))}


def _remove_runs(sweep: Sweep, runs: Collection[str]) -> None:
    for run in runs:
        sweep.freed += sum(file.bytes for file in sweep.lake.below(sweep.lake.run_folder(run)))
        LOG.info("tidy: run %s %s", run, "would go" if sweep.dry else "goes")
        if not sweep.dry:
            keeping.remove_run(sweep.lake, run)


def _pack(sweep: Sweep, parts: Collection[Stored], runs: Collection[str]) -> int:
    """By how many there are fewer parts, once small ones are packed together and everything names the new ones."""
    lake, fewer = sweep.lake, 0
    for folder, inside in groupby(parts, key=lambda part: part.path.rpartition("/")[0]):
        bundles = compaction.bundles(inside)
        fewer += sum(len(bundle) - 1 for bundle in bundles)
        if sweep.dry or not bundles:
            continue
        dataset = folder.split("/")[1]
        LOG.info("tidy: %d small parts of %s become %d", sum(map(len, bundles)), folder, len(bundles))
        moves: dict[str, str] = {}
        for bundle in bundles:
            made = compaction.packed(lake, folder, bundle)
            moves |= {part.path.rpartition("/")[2]: made.name for part in bundle}
            sweep.freed -= made.bytes
        if dataset == "images":
            rewriting.move_snapshot(lake, moves)
        for run in runs:
            if dataset == "images":
                rewriting.move_images(lake, run, moves)
            else:
                rewriting.move_descriptors(lake, run, moves)
        made_names = set(moves.values())
        sweep.drop(part for bundle in bundles for part in bundle if part.path.rpartition("/")[2] not in made_names)
    return fewer


def _drop_snapshots(sweep: Sweep, before: float) -> None:
    """Drops all snapshots but the newest, the only one that is read: each run that stays has its own copy of its placements."""
    lake = sweep.lake
    newest = lake.last_number("snapshots")
    entry = lake.entry("snapshots", newest) or {}
    named = {entry[dataset]["path"] for dataset in ("placements", "rejects") if entry}
    records = {f"snapshots/{number:06d}.json" for number in range(1, newest)}
    files = lake.below("snapshots")
    sweep.drop(file for file in files if file.path in records)
    sweep.drop(file for file in files if file.path.startswith("snapshots/rows/") and file.path not in named and file.written < before)


def _drop_scored(sweep: Sweep, runs: Collection[str], before: float) -> None:
    """Drops the states of `scored` that neither the newest record nor a remaining run names, and new pictures are not told by."""
    lake, newest = sweep.lake, scored.latest(sweep.lake)
    kept = [state.file.path for state in (newest, scored.state(lake, scored.counted(lake))) if state.file]
    named = {*_named_by_scores(lake, runs, scored.RECORD), *kept}
    files, rows = lake.below(scored.RECORD), f"{scored.RECORD}/rows/"
    # Only those that are there: an hourly feed has thousands of numbers behind it.
    numbered = {f"{scored.RECORD}/{number:06d}.json" for number in range(1, newest.number)}
    older = [file.path for file in files if file.path in numbered]
    entries = zip(older, at_once(lake.document, older), strict=True)
    gone = {path for path, entry in entries if entry and entry["rows"]["path"] not in named}
    sweep.drop(file for file in files if file.path in gone)
    sweep.drop(file for file in files if file.path.startswith(rows) and file.path not in named and file.written < before)


def _drop_waiting(sweep: Sweep, runs: Collection[str], before: float) -> None:
    """Drops rows that wait for a window but for those of the newest document and of remaining runs."""
    waiting = (record.latest(sweep.lake) or {}).get("waiting")
    named = {*_named_by_scores(sweep.lake, runs, "observations"), *([waiting["path"]] if waiting else [])}
    sweep.drop(file for file in sweep.lake.below(record.ROWS) if file.path not in named and file.written < before)


def _pack_documents(sweep: Sweep, before: float) -> None:
    """Packs the documents of `health`, all of which are kept, and drops those packed some time ago: a reader may have begun before."""
    lake = sweep.lake
    if not sweep.dry:
        hundreds.pack(lake)
    old = {file.path for file in lake.below(hundreds.PACKED) if file.written < before}
    numbers = range(1, lake.last_number(hundreds.PACKED) + 1)
    packed = {path for number in numbers if f"{hundreds.PACKED}/{number:06d}.json" in old for path in hundreds.inside(number)}
    sweep.drop(file for file in lake.below(record.RECORD) if file.path in packed)


def _named_by_scores(lake: Lake, runs: Collection[str], dataset: str) -> set[str]:
    """The files of the dataset that remaining runs of `score` name; runs of an earlier release have no observations."""
    manifests = at_once(lambda run: lake.document(f"{lake.run_folder(run)}/manifests/{SCORE.name}.json"), runs)
    return {file["path"] for told in manifests if told for file in told["datasets"].get(dataset, {}).get("files", ())}


def _drop_logs(sweep: Sweep, work: Work, runs: Collection[str], *, before: float, logs_before: float) -> None:
    """Drops old logs of runs, calls but the last, leases that were succeeded, and Spark's event logs."""
    lake = sweep.lake
    for run in runs:
        sweep.drop(keeping.leftovers(lake, run, before=before, logs_before=logs_before))
    call, lease = lake.last_number("calls"), lake.last_number("leases")
    sweep.drop(file for file in lake.below("calls") if file.written < logs_before and file.path != f"calls/{call:06d}.json")
    kept = {f"leases/{number:06d}.json" for number in (lease - 1, lease)}
    sweep.drop(file for file in lake.below("leases") if file.path not in kept)
    if work.order.events:
        place = storage(work.order.events, work.order.s3)
        events = place.below("")
        # Another store has another clock: its newest log is its time.
        newest = max((file.written for file in events), default=0.0)
        sweep.drop((file for file in events if file.written < newest - LOGS_S), place)
