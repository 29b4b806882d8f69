"""A run that another release began: what of it lacks what this release declares, and the task from which on it has to be done anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pomona.datasets import DATASETS
from pomona.lake import Lake, writer_of
from pomona.outcome import BadInput
from pomona.stages import STAGES

_FIRST = next(iter(STAGES))
_JUDGE = writer_of("verdict")
# Whoever puts the fitted chain together needs what its parts were told, as ingest keeps it for the whole run.
_CHAIN = sorted({knob for stage in ("describe", "learn_vocabulary", "encode") for knob in STAGES[stage].knobs})
_NAMED = 2


def stop_if_outdated(lake: Lake, run: str, reads: Iterable[str]) -> None:
    """Returns when each of these datasets of the run has all that this release declares.

    Raises
    ------
    BadInput
        When one lacks something, with the task to clear; or when its stage has not been done in this run.
    """
    lacks = _lacks(lake, run, reads)
    if not lacks:
        return
    task = _FIRST
    # Presets change between releases: what was fitted is only done anew together, from the knobs on.
    if {writer_of(dataset) for dataset in lacks} == {_JUDGE} and not _lacks(lake, run, STAGES[_JUDGE].reads):
        task = _JUDGE
    lines = list(lacks.values())
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    raise BadInput(f"run {run} was begun by an earlier release ({'; '.join(lines[:_NAMED])}{more}): {_remedy(lake, run, task)}")


def misread(lake: Lake, run: str, reads: Iterable[str], code: str, missing: KeyError) -> BadInput | None:
    """What to do about what is missing below the declared columns; None where this very code wrote all of these datasets."""
    if all(manifest.get("code") == code for manifest in _manifests(lake, run, reads).values()):
        return None
    return BadInput(f"run {run} was begun by another release, whose documents have no {missing}: {_remedy(lake, run, _FIRST)}")


def _lacks(lake: Lake, run: str, reads: Iterable[str]) -> dict[str, str]:
    """What is missing, in words, by dataset."""
    names = set(reads)
    found, manifests = {}, _manifests(lake, run, names)
    for dataset in (name for name in DATASETS if name in names):
        told = manifests[writer_of(dataset)]["datasets"].get(dataset)
        missing = [] if told is None else [column.name for column in DATASETS[dataset].columns if column.name not in told["schema"]]
        if told is None or missing:
            found[dataset] = f"no {', '.join(missing)} in its {dataset}" if missing else f"no {dataset}"
    if "encoder" in names:
        known = lake.manifest(run, _FIRST)["notes"]["state"]["knobs"]
        if missing := [knob for knob in _CHAIN if knob not in known]:
            found.setdefault("placements", f"no knob {', '.join(missing)}")
    return found


def _remedy(lake: Lake, run: str, task: str) -> str:
    """A run has one version: once that is made, which its summary tells, another model needs another run."""
    if task == _FIRST and lake.exists(f"{lake.run_folder(run)}/summary.json"):
        return "trigger a new run"
    return f"clear its task {task} with all later ones, or trigger a new run"


def _manifests(lake: Lake, run: str, reads: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The manifest of each stage that wrote one of the datasets, by stage."""
    return {stage: lake.manifest(run, stage) for stage in {writer_of(dataset) for dataset in reads}}
