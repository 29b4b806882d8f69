"""rollback: checks an earlier version, makes it champion again and holds automatic promotion; or releases that hold.

In: the version's files from MLflow, test images of the last judged run. Out: the alias and its ledger. Nothing of Spark is started: an
earlier champion is wanted back at once, and its check is one process over a few hundred images.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pomona import champion, promotions, reigns, scoring, tracking
from pomona.outcome import BadInput, Result
from pomona.work import LOG, Work

if TYPE_CHECKING:
    import pyarrow as pa

# Test images that are asked: enough for an interval of a few per cent, answered in some ten seconds.
MOST_IMAGES = 500
# With fewer the share of right ones says next to nothing.
FEWEST_IMAGES = 30
_BATCH = 50
_RESAMPLES = 2000


@dataclass(frozen=True)
class Score:
    """How many test images a version is right on, and the 95 % interval of the share over groups (None with one group)."""

    n_images: int
    n_groups: int
    n_right: int
    low: float | None
    high: float | None

    @property
    def line(self) -> str:
        """The score in words."""
        of = f"{self.n_right:,} of {self.n_images:,} test images in {self.n_groups:,} groups"
        if self.n_images < FEWEST_IMAGES:
            return f"right on {of}: fewer than {FEWEST_IMAGES}, too few to say how good it is"
        between = (
            f", 95 % interval {100 * self.low:.1f} to {100 * self.high:.1f} %" if self.low is not None and self.high is not None else ""
        )
        return f"right on {of} ({100 * self.n_right / self.n_images:.1f} %{between})"


def run(work: Work) -> Result:
    """One line on which version is champion now, or BadInput with what is wrong with the version."""
    order, place = work.order, work.order.place
    if order.release:
        line = promotions.release(place.tracking, work.lake, run=work.run, reason=order.reason, by=order.started_by).line
        return Result(line, {})
    ledger = promotions.LakeLedger(work.lake)
    documents = promotions.reconcile(place.tracking, place.name, ledger=ledger, run=work.run)
    if done := [change for change in reigns.changes(documents) if change.run == work.run]:
        # An earlier try was killed behind the move. A rollback to "the one before" must not go back twice.
        return Result(f"version {done[-1].version} of {place.name} was made champion by an earlier try of this rollback", {})
    now = reigns.champion(documents)
    version = order.version or reigns.previous(documents)
    if version is None:
        before = "no version" if now is None else f"before version {now} no version"
        raise BadInput(f"{before} of {place.name} was champion: name the version to put back")
    checked = _checked(work, version)
    LOG.info("rollback: version %d gives its probes' probabilities again; %s", version, checked)
    move = promotions.roll_back(
        place.tracking,
        place.name,
        version,
        expected=now,
        run=work.run,
        reason=order.reason,
        by=order.started_by,
        checked=checked,
        ledger=ledger,
    )
    if not move.moved:
        raise BadInput(move.line)
    return Result(f"{move.line}: {checked}; automatic promotion is held until it is released (make release)", {}, {"version": version})


def _checked(work: Work, version: int) -> str:
    """What the check of the version found, in words.

    Raises
    ------
    BadInput
        When it is missing, broken or not what it was when it was registered.
    """
    place = work.order.place
    known = tracking.version(place.tracking, place.name, version)
    trouble = known.broken
    with tempfile.TemporaryDirectory(prefix="pomona-rollback-") as scratch:
        try:
            folder = None if trouble else tracking.fetch(place.tracking, place.name, version, Path(scratch))
            if folder is not None and not (trouble := champion.reproduces_probes(folder) or ""):
                return _tried(work, folder)
        except (ValueError, champion.ChampionFailed) as error:
            trouble = str(error)
    raise BadInput(f"version {version} of {place.name} is not put back, nothing has changed: {trouble}")


def _tried(work: Work, folder: Path) -> str:
    """How the version does on test images of the last judged run that it did not train on, in words.

    Raises
    ------
    ChampionFailed
        When it dies over them, or can read none.
    """
    judged = work.lake.entry("judged", work.lake.last_number("judged"))
    if judged is None:
        return "not scored, for no run has been judged yet"
    try:
        roster = work.lake.read_rows(work.lake.files(judged["run"], "roster"))
    except (BadInput, FileNotFoundError):
        return f"not scored, for the images of the last judged run {judged['run']} are gone"
    rows = fair(roster, champion.trained_on(folder))
    if not rows.num_rows:
        return f"not scored, for it trained on every test image of run {judged['run']}"
    try:
        found = scored(rows, folder, work)
    except FileNotFoundError:
        # `tidy` may be packing parts at this moment: a way back does not wait for it, and the score is no condition.
        return f"not scored, for images of the last judged run {judged['run']} were moved meanwhile"
    return f"{found.line} of run {judged['run']} that it did not train on"


def fair(roster: pa.Table, seen: frozenset[str]) -> pa.Table:
    """The roster's test rows whose content is not among `seen`, at most `MOST_IMAGES`: the first by content, a hash, so drawn at random."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pc.and_(pc.equal(roster["split"], "test"), pc.invert(pc.is_in(roster["content"], pa.array(sorted(seen), pa.string()))))
    return roster.filter(wanted).sort_by("content").slice(0, MOST_IMAGES)


def scored(rows: pa.Table, folder: Path, work: Work) -> Score:
    """The version's score on the images of these roster rows; an image that it cannot read counts as wrong.

    Raises
    ------
    ChampionFailed
        When it dies over them, or can read none.
    """
    import numpy as np

    names = champion.classes(folder)
    batches = [rows.slice(start, _BATCH) for start in range(0, rows.num_rows, _BATCH)]
    pictures = (list(map(work.pictures(batch).__getitem__, batch["content"].to_pylist())) for batch in batches)
    answers = np.concatenate(list(champion.answers(folder, pictures)))
    read = ~np.isnan(answers).any(axis=1)
    if not read.any():
        raise champion.ChampionFailed(f"it can read none of {len(answers):,} test images")
    best = np.where(read, np.nan_to_num(answers).argmax(axis=1), -1)
    predictions = np.array([names[index] if index >= 0 else "" for index in best], object)
    labels, groups = (np.array(rows[name].to_pylist(), object) for name in ("label", "group"))
    between = scoring.interval(labels, predictions, groups, statistic="accuracy", resamples=_RESAMPLES, seed=0)
    return Score(len(labels), len(set(groups)), int((labels == predictions).sum()), between.low, between.high)
