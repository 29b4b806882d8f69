"""Would a run tell anything new, and may it begin at all: one answer for ingest and for who asks before paying for a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pomona.command import Place
from pomona.lake import Lake
from pomona.landing import Landing
from pomona.outcome import BadInput
from pomona.reigns import version_words
from pomona.s3 import S3
from pomona.work import LOG, code_hash

if TYPE_CHECKING:
    from pomona.leakage import Selection
    from pomona.snapshots import Snapshot


def foreseen(place: Place, knobs: Mapping[str, Any]) -> str:
    """Why the run's ingest would find nothing new in the landing zone as it lies there now; empty when it would, or when only it can tell.

    Lists the landing zone and reads the lake's records; opens no picture and writes nothing. `knobs` are all resolved ones.

    Raises
    ------
    BadInput
        What ingest would end with, as far as it can be told without opening a picture.
    """
    from pomona import snapshots
    from pomona.labels import labelled

    lake = Lake(place.lake, place.name, S3.parse(place.s3))
    found = labelled.find(place, group_pattern=knobs["group_pattern"])
    landing, last = found.zone.landing, snapshots.latest(lake)
    stop_if_empty(landing, last, n_listed=len(found.listed), n_ignored=len(found.ignored))
    # A CSV that ingest has not seen is recorded by it, whether or not it changes anything: else it would wait for ever.
    if not snapshots.pending(last, found.listed).empty or found.labels != last.labels:
        return ""
    following = snapshots.follow(last, found.listed, found.places, snapshots.nothing_taken())
    stop_if_gone(last, following, landing, knobs["max_gone_share"])
    stop_if_rejected(following, knobs["max_reject_share"])
    told = labelled.effected(following, found.history).snapshot
    selected(told, knobs["labels"])
    try:
        return nothing_new(lake, place.run, state(told, knobs), lambda: _champion(place))
    except _Silence as error:
        LOG.warning("MLflow does not say which version is champion (%s): whether anything is new, only the job can tell", error)
        return ""


def answered(place: Place) -> str:
    """Why a run of score would find nothing to ask in the folder as it lies there now; empty when it would, or when only it can tell.

    Raises
    ------
    BadInput
        When there is no folder, or it cannot be listed.
    """
    from pomona import scored

    if not place.unlabelled:
        raise BadInput(f"POMONA_UNLABELLED is not set, and beside {place.landing} there is no place: set it")
    settings = S3.parse(place.s3)
    listed = scored.listed(Landing(place.unlabelled, settings))
    if not listed:
        return f"{place.unlabelled} has no pictures"
    try:
        version = _champion(place)
    except _Silence as error:
        LOG.warning("MLflow does not say which version is champion (%s): whether anything is to be asked, only the job can tell", error)
        return ""
    if version is None:
        return f"{place.name} has no champion yet: `retrain` makes the first one"
    lake = Lake(place.lake, place.name, settings)
    last = scored.latest(lake)
    nothing = scored.told_schema().empty_table().to_pandas()
    if not scored.pending(last, listed, version).empty or not scored.same(last, scored.follow(last, listed, nothing, version)):
        return ""
    if scored.counted(lake) < last.number:
        return ""
    return f"version {version} has been asked about all {len(listed):,} pictures in {place.unlabelled}"


class _Silence(Exception):
    """MLflow cannot be asked from here; from where the jobs run it may well be."""


def _champion(place: Place) -> int | None:
    from mlflow.exceptions import MlflowException

    from pomona import tracking

    try:
        return tracking.champion_version(place.tracking, place.name)
    except MlflowException as error:
        raise _Silence(" ".join(str(error).split())) from None


def state(snapshot: Snapshot, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """What a run over the snapshot (with people's labels in force) and with these knobs depends on, but for the champion."""
    return {"placements": snapshot.digest(), "knobs": dict(knobs), "code": code_hash()}


def nothing_new(lake: Lake, run: str, state: Mapping[str, Any], champion: Callable[[], int | None]) -> str:
    """Why a run would tell nothing new, or an empty text: the last run that reached a verdict saw the very same.

    `champion` gives the version that stands now; it is asked when all else is the same, for MLflow takes seconds to answer.
    """
    judged = lake.entry("judged", lake.last_number("judged"))
    if judged is None or judged["run"] == run or {key: judged["state"][key] for key in state} != state:
        return ""
    version = champion()
    if version != judged["state"]["champion"]:
        return ""
    return f"pictures, knobs, code and champion ({version_words(version)}) are those of run {judged['run']}, which reached its verdict"


def selected(snapshot: Snapshot, labels: object) -> Selection:
    """The images that a run with this knob `labels` may use.

    Raises
    ------
    BadInput
        When a label is asked for that no picture has.
    """
    from pomona import snapshots
    from pomona.leakage import UnknownLabel, select

    wanted = [label.strip() for label in str(labels).split(",") if label.strip()]
    try:
        return select(snapshots.table("placements", snapshot.placements), labels=wanted)
    except UnknownLabel as error:
        raise BadInput(str(error)) from None


def stop_if_empty(landing: Landing, last: Snapshot, *, n_listed: int, n_ignored: int) -> None:
    """Raises BadInput when there is nothing and never was; what is gone is another matter."""
    if n_listed == 0 and last.number == 0:
        beside = f" but for {n_ignored} ignored files" if n_ignored else ""
        raise BadInput(f"the landing zone {landing.root} is empty{beside}: put pictures into Training/<label>/ and Test/<label>/")


def stop_if_gone(last: Snapshot, following: Snapshot, landing: Landing, bound: float) -> None:
    """Raises BadInput when more of the known pictures are gone than the share."""
    from pomona.snapshots import newly_gone

    gone = newly_gone(last, following)
    if len(gone) > bound * len(last.present):
        raise BadInput(
            f"{len(gone):,} of {len(last.present):,} known pictures are gone from {landing.root} ({_some(gone)}), "
            f"max_gone_share={bound:g}: is the folder mounted? If they were deleted on purpose, run with max_gone_share=1"
        )


def stop_if_rejected(following: Snapshot, bound: float) -> None:
    """Raises BadInput when more of the files are no usable pictures than the share."""
    rejects, n_in = following.rejects, len(following.rejects) + len(following.present)
    if len(rejects) > bound * n_in:
        named = [f"{path} ({reason})" for path, reason in zip(rejects["path"], rejects["reason"], strict=True)]
        raise BadInput(
            f"{len(rejects):,} of {n_in:,} files are no usable pictures, max_reject_share={bound:g}: {_some(named)}; "
            "mend or remove them, or raise max_reject_share"
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown
