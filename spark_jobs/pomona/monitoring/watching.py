"""New pictures compared with those of training: which are to be observed, and the next document of `health` over them.

Rows in: the states of `scored`, what was observed this time, what still waited. Out: the document, and the rows that go on waiting. A
document says up to which state pictures have been counted, so that a job that was killed before it wrote its own is made good by the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pomona import scored
from pomona.care.forgotten import REASON as FORGOTTEN
from pomona.command import Drift
from pomona.formats import arrow_schema
from pomona.lake import Lake, now
from pomona.landing import Listed
from pomona.monitoring import record
from pomona.monitoring.drift import Verdict
from pomona.monitoring.episodes import Rule, Watch, watched
from pomona.monitoring.profile import Profile
from pomona.monitoring.record import Document
from pomona.monitoring.windows import MOST, Gauge, Row, cut, in_order, too_few, within
from pomona.outcome import File
from pomona.scored import Scored
from pomona.snapshots import KEY, readable
from pomona.work import LOG

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

DATASET = "observations"
OFF = "switched off (POMONA_DRIFT_WINDOW is 0)"


@dataclass(frozen=True)
class Observed:
    """What a run found out: the rows that it observed, by what they were compared, and why nothing could be, in a line.

    `why` None: the version was not looked at, for nothing was to be asked.
    """

    rows: Sequence[Row] = ()
    profile: Profile | None = None
    why: str | None = None


@dataclass(frozen=True)
class Watching:
    """Who watches: the run, the champion that it asked, and how."""

    lake: Lake
    run: str
    champion: int
    drift: Drift = field(default_factory=Drift)


def wanted(watching: Watching, listed: Sequence[Listed]) -> pd.DataFrame:
    """Path, size and version of the files to observe, and `share`: the share of these to draw by content, so that few are held at once.

    They are the new ones, and those that waited while another version was champion.
    """
    import pandas as pd

    files = readable(listed)
    if not watching.drift.window:
        return files.iloc[:0].assign(share=0.0)
    waiting = _waiting(watching.lake, record.latest(watching.lake))
    again = files.merge(scored.keyed(_key(row) for row in waiting if row["champion"] != watching.champion), on=KEY)
    new = scored.fresh(scored.state(watching.lake, scored.counted(watching.lake)), files)
    most = MOST * watching.drift.window
    # A draw by hash falls short of what is expected by four deviations once in 30,000 times.
    share = min(1.0, (most + 4 * math.sqrt(most)) / max(len(new), 1))
    return pd.concat([again.assign(share=1.0), new.assign(share=share)]).drop_duplicates(KEY)


def is_drawn(content: str, share: float) -> bool:
    """Whether the content is among so large a share of all."""
    return int(content[:13], 16) < share * 16**13


def profile_of(arrays: Mapping[str, NDArray[Any]] | None, version: int) -> tuple[Profile | None, str]:
    """The profile in the arrays that a version took along; or why it has none that tells what is usual, in a line."""
    if arrays is None:
        return None, f"version {version} has no profile of its training images, for an earlier release registered it"
    if not arrays["held_out"].any():
        return None, f"no image was held out of the training of version {version}, so nothing tells what is usual for new ones"
    profile = Profile.from_arrays(arrays)
    trouble = too_few(profile)
    return (None, f"version {version} cannot tell: {trouble}") if trouble else (profile, "")


def written(watching: Watching, saved: Scored, observed: Observed, *, reigning: Callable[[], int | None]) -> Document | None:
    """The run's document over the pictures of a state, under the next number; of two writers the second counts what is left.

    None for the writer whose version is champion no more (`reigning` asks MLflow) where another's document is there: it would end that
    one's watch and drop what waits for it. Its pictures stay uncounted, as those of a job that was killed here, and so are new to the next.
    """
    while True:
        last = record.latest(watching.lake)
        # Asked behind the document, whose version was champion before. Numbers tell nothing: a rollback puts the older one back.
        if last is not None and last["champion"] != watching.champion and reigning() != watching.champion:
            return None
        document = _document(watching, last, saved, observed)
        if watching.lake.append(record.RECORD, document["number"], document):
            return document
        LOG.info("score: another writer took number %d of %s, reading again", document["number"], record.RECORD)


def _document(watching: Watching, last: Document | None, saved: Scored, observed: Observed) -> Document:
    n_counted = scored.counted(watching.lake) if last is None else int(last["scored"])
    new = _new(scored.state(watching.lake, n_counted), saved)
    same_champion = last is not None and last["champion"] == watching.champion
    before = Watch(**last["watch"]) if last is not None and same_champion else Watch()
    number, why = 1 if last is None else last["number"] + 1, _why(watching, last if same_champion else None, observed)
    waiting = _waiting(watching.lake, last) if why else _still_waiting(watching, last, observed)
    at = now()
    judged = _Judged((), before, 0, waiting) if why else _judged(watching, waiting, new, observed, before, draw=number, at=at)
    readable = new[new["reason"].isna()]
    file = _kept(watching.lake, judged.waiting)
    return {
        "number": number,
        "at": at,
        "run": watching.run,
        "champion": watching.champion,
        "n_new": len(new),
        "n_watched": judged.n_watched,
        "n_unknown": None if len(readable) and readable["unknown"].isna().all() else int(readable["unknown"].eq(True).sum()),
        "n_rejects": len(new) - len(readable),
        "labels": {str(label): int(n) for label, n in readable["label"].value_counts().sort_index().items()},
        "windows": list(judged.windows),
        "watch": judged.watch._asdict(),
        "n_waiting": sum(row["reason"] is None for row in judged.waiting),
        "waiting": asdict(file) if file else None,
        "rate": watching.drift.rate,
        "why": why,
        # A writer that was overtaken by one with a later state has nothing to take back of it.
        "scored": max(n_counted, saved.number),
    }


@dataclass(frozen=True)
class _Judged:
    windows: Sequence[Document]
    watch: Watch
    n_watched: int
    waiting: Sequence[Row]


def _judged(
    watching: Watching, waiting: Sequence[Row], new: pd.DataFrame, observed: Observed, before: Watch, *, draw: int, at: str
) -> _Judged:
    """Waiting and new pictures in windows, each judged in turn."""
    news = {*new[KEY].itertuples(index=False, name=None)}
    fresh = [{**row, "champion": watching.champion, "at": at} for row in observed.rows if _key(row) in news]
    size = watching.drift.window
    n_room = MOST * size - sum(row["reason"] is None for row in waiting)
    pool = in_order([*waiting, *within(in_order(fresh, draw=draw), n_room)], draw=draw)
    if observed.profile is None or not pool:
        return _Judged((), before, 0, pool)
    gauge = Gauge(observed.profile, watching.drift)
    if gauge.n_groups < watching.drift.groups:
        LOG.info(
            "score: windows are compared as if from %d groups and not %d: half of the profile's", gauge.n_groups, watching.drift.groups
        )
    cuts, rest = cut(pool, size=size, closes=gauge.closes)
    verdicts = [gauge.verdict(window) for window in cuts]
    watches = watched([verdict.score for verdict in verdicts], rule=Rule(), watch=before)
    earlier = [before, *watches][:-1]
    windows = [_told(*each) for each in zip(cuts, verdicts, earlier, watches, strict=True)]
    n_watched = sum(_key(row) in news for window in (*cuts, rest) for row in window)
    return _Judged(windows, watches[-1] if watches else before, n_watched, rest)


def _told(window: Sequence[Row], verdict: Verdict, before: Watch, watch: Watch) -> Document:
    times = sorted(row["at"] for row in window)
    drifted, drifts = before.phase == "drift", watch.phase == "drift"
    found = {**verdict._asdict(), "scores": dict(verdict.scores), "symptoms": list(verdict.symptoms)}
    return {
        **found,
        "phase": watch.phase,
        "began": drifts and not drifted,
        "ended": drifted and not drifts,
        "from": times[0],
        "to": times[-1],
    }


def _why(watching: Watching, last: Document | None, observed: Observed) -> str:
    """Why nothing can be judged; what the last document of the same champion said, where the version was not looked at."""
    if not watching.drift.window:
        return OFF
    if observed.why is not None:
        return observed.why
    said = "" if last is None else str(last["why"])
    return "" if said == OFF else said


def _new(base: Scored, saved: Scored) -> pd.DataFrame:
    """The rows of pictures that no document has counted, and that the champion has come to an end with."""
    rows = saved.rows
    return scored.fresh(base, rows[rows["final"].astype(bool) & rows["reason"].ne(FORGOTTEN)])


def _still_waiting(watching: Watching, last: Document | None, observed: Observed) -> list[Row]:
    """What waited, as this champion observed it: those of another are there if they were observed anew."""
    anew = {_key(row): row for row in observed.rows}
    found = []
    for row in _waiting(watching.lake, last):
        if row["champion"] == watching.champion:
            found.append(row)
        elif _key(row) in anew:
            found.append({**anew[_key(row)], "champion": watching.champion, "at": row["at"]})
    return found


def _waiting(lake: Lake, document: Mapping[str, Any] | None) -> list[Row]:
    """The rows that the document lets wait."""
    file = None if document is None else document["waiting"]
    rows: list[Row] = lake.read_rows([File(**file)]).to_pylist() if file else []
    return rows


def _kept(lake: Lake, rows: Collection[Row]) -> File | None:
    import pyarrow as pa

    if not rows:
        return None
    return lake.write_rows(record.ROWS, DATASET, pa.Table.from_pylist(list(rows), schema=arrow_schema(DATASET)))


def _key(row: Mapping[str, Any]) -> tuple[str, int, str]:
    return row["path"], row["size"], row["version"]
