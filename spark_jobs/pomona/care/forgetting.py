"""An image is taken out of the lake and out of what MLflow keeps: bytes, thumbnails, descriptors, rows and its name.

The record comes first, so that from then on nothing takes the image in again, and says who trained on it while that can still be read.
Parts without it are written beside the old ones, runs are rewritten one by one, each from its last stage to its first, and the old parts
go last: killed anywhere, every manifest names what is there, and the same call ends the job. What was fitted with the image stays as it
is: weights hold no image, and the versions are named.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pomona import tracking
from pomona.care import artifacts, erasing, forgotten, rewriting
from pomona.care.artifacts import Artifacts
from pomona.care.keeping import leftovers
from pomona.care.sweeping import cleaned, sweep
from pomona.datasets import DATASETS
from pomona.formats import parquet
from pomona.lake import Lake
from pomona.lease import ANSWERS, hold
from pomona.monitoring.record import RECORD as HEALTH
from pomona.outcome import File
from pomona.scored import RECORD as SCORED
from pomona.stages import SCORE, STAGES
from pomona.storage import at_once

if TYPE_CHECKING:
    import pyarrow as pa

_PROBES, _TRAINED_ON, _PROFILE = "artifacts/probes.parquet", "artifacts/trained_on.parquet", "artifacts/profile.npz"
_INDEX_BLOCK_BYTES = 64 << 10
# By the run's key: who deleted a run in MLflow and registered it again has two.
Reports = Mapping[str, list[Artifacts]]


def forget(lake: Lake, tracked: str, content: str, *, by: str, reason: str) -> dict[str, Any]:
    """The record of the forgotten content, once nothing else holds it; called again it finishes what a killed call left.

    Beside it `found`: False when this is the first call and neither lake nor MLflow held anything of the content.
    """
    owner = f"forget {content[:12]}…"
    # The lake's first: nobody who saves answers waits behind who waits for the lake.
    with hold(lake, owner), hold(lake, owner, record=ANSWERS):
        models = artifacts.of_models(tracked, lake.name)
        known = forgotten.entry_of(lake, content)
        learnt = {} if known else who_learnt(lake, tracked, models, content)
        entry = known or forgotten.record(lake, content, by=by, reason=reason, learnt=learnt)
        parts = _tables_with(lake, "parts", content)
        rows = {path for record in (SCORED, HEALTH) for path in _tables_with(lake, f"{record}/rows", content)}
        moves = {part.rpartition("/")[2]: _part_without(lake, part, content) for part in parts}
        reports = defaultdict(list)
        for each in artifacts.of_runs(tracked, lake.name):
            reports[each.run].append(each)
        found = bool(known or parts or rows)
        for run in lake.folders("runs"):
            stages = {name.removesuffix(".json") for name in lake.names(f"{lake.run_folder(run)}/manifests")}
            if stages & STAGES.keys():
                found |= _forget_in_run(lake, run, content, moves, reports, told="ingest" in stages)
            if SCORE.name in stages:
                _forget_in_score(lake, run, content, rows)
            for file in leftovers(lake, run, before=math.inf, logs_before=-math.inf):
                lake.remove(file.path)
        for model in models:
            found |= _forget_in_model(model, content)
        _forget_in_records(lake, content, rows)
        rewriting.move_snapshot(lake, moves, forgotten=content)
        for part in parts:
            lake.remove(part)
        found |= sweep(lake, content)
        _clean_orphans(lake, reports, content)
    return {**entry, "found": found}


def who_learnt(lake: Lake, tracked: str, models: Iterable[Artifacts], content: str) -> dict[str, list[Any]]:
    """The numbers of the versions that trained on the content, and the runs, those among them that have no version."""
    runs = {model.run for model in models if _holds(model.get(_TRAINED_ON), content)}
    for run in lake.folders("runs"):
        manifest = lake.document(f"{lake.run_folder(run)}/manifests/ingest.json")
        files = [File(**file) for file in manifest["datasets"]["roster"]["files"]] if manifest else []
        if "train" in _told(lake, files, content, "split") and lake.exists(f"{lake.run_folder(run)}/manifests/train.json"):
            runs.add(run)
    return {
        "versions": [number for number, run in tracking.versions(tracked, lake.name).items() if run in runs],
        "runs": sorted(runs),
    }


def _holds(data: bytes | None, content: str) -> bool:
    return data is not None and erasing.mentions(_table(data), content)


def _tables_with(lake: Lake, folder: str, content: str) -> list[str]:
    """The paths of the tables below the folder that hold the content, named by anybody or not."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def holds(path: str) -> bool:
        with lake.opened(path, _INDEX_BLOCK_BYTES) as file:
            return bool(pc.any(pc.equal(pq.read_table(file, columns=["content"])["content"], content)).as_py())

    paths = [file.path for file in lake.below(folder) if file.path.endswith(".parquet")]
    return [path for path, found in zip(paths, at_once(holds, paths), strict=True) if found]


def _part_without(lake: Lake, path: str, content: str) -> str:
    """The name of the part that holds the other rows of this one; its own where there are none."""
    folder, _, name = path.rpartition("/")
    rows = erasing.without_rows(lake.read_rows([File(path, "", 0, 0)]), content)
    return rewriting.write_part(lake, folder, rows).name if rows.num_rows else name


def _forget_in_run(lake: Lake, run: str, content: str, moves: rewriting.Moves, reports: Reports, *, told: bool) -> bool:
    """Takes the content out of the run, what tells that it was there last: a call that was killed in between begins this run anew.

    Gives back whether it was there. Of an image that somebody labelled a run may know no more than the label: nobody could tell it, or it
    had gone before. A run of which `told` is False says of no image that it had it, for its ingest was cleared and not done since: what
    its later stages wrote is looked through all the same.
    """
    paths, is_named = (_placed if told else _featured)(lake, run, content)
    if paths or not told:
        for stage in reversed([stage for stage in STAGES if stage not in ("ingest", "describe")]):
            _forget_in_stage(lake, run, stage, content, paths)
    if is_named and told:
        _clean_pages(lake, run, reports, content, erasing.without_pictures if paths else erasing.without_name)
    rewriting.move_descriptors(lake, run, moves, forgotten=content if paths or not told else "")
    rewriting.move_images(lake, run, moves, forgotten=content if is_named else "")
    return is_named


def _placed(lake: Lake, run: str, content: str) -> tuple[set[str], bool]:
    """The paths at which the run had the content, and whether it names it at all."""
    datasets = lake.manifest(run, "ingest")["datasets"]
    placements, annotations = ([File(**file) for file in datasets.get(name, {}).get("files", ())] for name in ("placements", "annotations"))
    paths = _told(lake, placements, content, "path")
    return paths, bool(paths or _told(lake, annotations, content, "file"))


def _featured(lake: Lake, run: str, content: str) -> tuple[set[str], bool]:
    """The same of a run without placements, as its feature table tells it."""
    encoded = lake.document(f"{lake.run_folder(run)}/manifests/encode.json")
    files = [File(**file) for file in encoded["datasets"]["features"]["files"]] if encoded else []
    paths = _told(lake, [file for file in files if file.name.endswith(".parquet")], content, "image")
    return paths, bool(paths)


def _forget_in_stage(lake: Lake, run: str, stage: str, content: str, paths: set[str]) -> None:
    """Takes the content out of what the stage of the run wrote, and lets its manifest say so."""
    manifest = lake.document(f"{lake.run_folder(run)}/manifests/{stage}.json")
    if manifest is None:
        return
    own = {name: told for name, told in manifest["datasets"].items() if name not in DATASETS or not DATASETS[name].shared}
    files = {name: [_file_without(lake, File(**file), content, paths) for file in told["files"]] for name, told in own.items()}
    rewriting.put_manifest(lake, manifest, files, notes=erasing.without_items(manifest["notes"], content))


def _forget_in_score(lake: Lake, run: str, content: str, rows: set[str]) -> None:
    """Takes the content out of what the run scored and observed, if it names one of the tables `rows`, which hold it."""
    manifest = lake.document(f"{lake.run_folder(run)}/manifests/{SCORE.name}.json")
    files = [File(**file) for told in manifest["datasets"].values() for file in told["files"]] if manifest else []
    if paths := _told(lake, [file for file in files if file.path in rows], content, "path"):
        _forget_in_stage(lake, run, SCORE.name, content, paths)


def _forget_in_records(lake: Lake, content: str, rows: set[str]) -> None:
    """Lets the numbered states of `scored` and documents of `health` name tables without the content, and drops the `rows` with it.

    No run names these by now, and few records do: of the documents only the newest is sure to have its rows still.
    """
    for record, field in ((SCORED, "rows"), (HEALTH, "waiting")):
        held = {path for path in rows if path.startswith(f"{record}/")}
        for entry in lake.entries(record) if held else ():
            if entry[field] and entry[field]["path"] in held:
                after = _file_without(lake, File(**entry[field]), content, set())
                waiting = {"n_waiting": _n_readable(lake, after)} if record == HEALTH else {}
                lake.put_document(f"{record}/{entry['number']:06d}.json", {**entry, field: asdict(after), **waiting})
    for path in sorted(rows):
        lake.remove(path)


def _n_readable(lake: Lake, file: File) -> int:
    return int(lake.read_rows([file], ["reason"])["reason"].null_count)


def _told(lake: Lake, files: list[File], content: str, column: str) -> set[str]:
    """What the rows about the content say in the column; a file that is gone says nothing."""
    import pyarrow.compute as pc

    found = set()
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            rows = lake.read_rows([file], ["content", column])
            found |= {*rows.filter(pc.equal(rows["content"], content))[column].to_pylist()}
    return found


def _file_without(lake: Lake, file: File, content: str, paths: set[str]) -> File:
    """The file without the content, as it is now: an earlier call may have written it, and not the manifest that names it.

    One that is gone is given back as it was named.
    """
    with contextlib.suppress(FileNotFoundError):
        return _records_without(lake, file, content, paths) if file.name.endswith(".csv") else _values_without(lake, file, content)
    return file


def _values_without(lake: Lake, file: File, content: str) -> File:
    folder, suffix = file.path.rpartition("/")[0], file.name.rpartition(".")[2]
    data = lake.get(file.path)
    if suffix == "parquet":
        table = erasing.without_rows(_table(data), content)
        if table.num_rows != file.rows:
            named = file.name.removesuffix(".parquet") == file.sha256
            return rewriting.write_table(lake, folder, table, "{sha256}.parquet" if named else file.name)
    if suffix == "json":
        document = erasing.without_items(json.loads(data), content)
        return lake.write_file(folder, file.name, f"{json.dumps(document, indent=1, ensure_ascii=False)}\n".encode(), rows=file.rows)
    if suffix == "npz" and (arrays := erasing.without_texts(data, content)) != data:
        return lake.write_file(folder, file.name, arrays, rows=file.rows)
    return File(file.path, hashlib.sha256(data).hexdigest(), len(data), file.rows)


def _records_without(lake: Lake, file: File, content: str, paths: set[str]) -> File:
    def write(out: Any) -> int:
        n_records = 0
        with lake.opened(file.path) as lines:
            for record in erasing.without_records(lines, content, paths):
                out.write(record)
                n_records += 1
        return max(0, n_records - 1)

    return lake.write_stream(file.path.rpartition("/")[0], file.name, write)


def _forget_in_model(model: Artifacts, content: str) -> bool:
    """Takes the content out of the model's probes, its profile and what says that it trained on it; gives back whether it was there.

    The name could stay there, for nobody can tell the image from it; but the record says already who trained on it, and an image that never
    comes back needs not be kept out of a comparison.
    """
    if is_taught := _holds(data := model.get(_TRAINED_ON), content):
        model.put(_TRAINED_ON, parquet(erasing.without_rows(_table(data), content)))
    profile = model.get(_PROFILE) or b""
    if (after := erasing.without_texts(profile, content)) != profile:
        model.put(_PROFILE, after)
    probes = model.get(_PROBES)
    if probes is None:
        return is_taught
    table = _table(probes)
    kept = [hashlib.sha256(image).hexdigest() != content for image in table["image"].to_pylist()]
    if not all(kept):
        model.put(_PROBES, parquet(table.filter(kept)))
    return is_taught or not all(kept)


def _clean_orphans(lake: Lake, reports: Reports, content: str) -> None:
    """Takes the pictures out of every report whose run no longer says which images it had."""
    for run in reports.keys() | set(lake.folders("runs")):
        if not lake.exists(f"{lake.run_folder(run)}/manifests/ingest.json"):
            _clean_pages(lake, run, reports, content, erasing.without_pictures)


def _clean_pages(lake: Lake, run: str, reports: Reports, content: str, without: Callable[[str, str], str]) -> None:
    """Puts what `without` leaves of the run's report in its place, in MLflow and in the lake; MLflow's summary loses the name."""
    for kept in reports.get(run, ()):
        if page := kept.get("report.html"):
            kept.put("report.html", without(page.decode(), content).encode())
        summary = kept.get("summary.json") or b""
        if content.encode() in summary:
            kept.put("summary.json", cleaned(summary, "json", content))
    path = f"{lake.run_folder(run)}/report.html"
    if lake.exists(path):
        lake.put(path, without(lake.get(path).decode(), content).encode())


def _table(data: bytes | None) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(data or b""))
