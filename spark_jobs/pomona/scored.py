"""What champions said of unlabelled pictures: numbered states of one row a file; the newest one says what need not be asked again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import pyarrow as pa

from pomona.formats import arrow_schema
from pomona.lake import Lake, now
from pomona.landing import Landing, Listed
from pomona.leakage import is_ignored
from pomona.monitoring import record
from pomona.outcome import File
from pomona.snapshots import KEY, readable

RECORD = "scored"


@dataclass(frozen=True)
class Scored:
    """Number, rows (the columns of the dataset `scored`, sorted by path) and their file; number 0 is the empty one."""

    number: int
    rows: pd.DataFrame
    file: File | None = None


def listed(landing: Landing) -> list[Listed]:
    """What lies there but for ignored files; nothing when nobody has made the folder yet.

    Raises
    ------
    BadInput
        When it cannot be listed.
    """
    return [file for file in landing.files() if not is_ignored(file.path)] if landing.there() else []


def latest(lake: Lake) -> Scored:
    """The newest state of the lake, or the empty one."""
    return state(lake, lake.last_number(RECORD))


def state(lake: Lake, number: int) -> Scored:
    """The state of this number, or the empty one where there is none."""
    while (entry := lake.entry(RECORD, number)) is not None:
        file = File(**entry["rows"])
        try:
            return Scored(number, lake.read_rows([file]).to_pandas(), file)
        except FileNotFoundError:
            # An image was forgotten since: by now the entry names rows without it.
            if lake.entry(RECORD, number) == entry:
                raise
    return Scored(0, arrow_schema(RECORD).empty_table().to_pandas())


def counted(lake: Lake) -> int:
    """The number of the state whose pictures the documents of `health` have counted as new, whoever wrote it; 0 for none.

    It is behind the newest state when a job was killed between the two. Before the first document a state itself says which one it
    follows; one of an earlier release does not, and its pictures are new no more.
    """
    document = record.latest(lake)
    if document is not None:
        return int(document["scored"])
    last = lake.last_number(RECORD)
    return int((lake.entry(RECORD, last) or {}).get("counted", last))


def fresh(base: Scored, rows: pd.DataFrame) -> pd.DataFrame:
    """Those of the rows (path, size, version and others) that the base has not come to an end with, as they are now."""
    return _without(rows, base.rows.loc[base.rows["final"].astype(bool), KEY])


def save(lake: Lake, scored: Scored, **facts: Any) -> Scored | None:
    """The rows under the next number, or None when another writer took that number."""
    table = pa.Table.from_pandas(scored.rows, schema=arrow_schema(RECORD), preserve_index=False).replace_schema_metadata(None)
    file = lake.write_rows(f"{RECORD}/rows", RECORD, table)
    number = scored.number + 1
    entry = {"number": number, "at": now(), "rows": asdict(file), **facts}
    return Scored(number, scored.rows, file) if lake.append(RECORD, number, entry) else None


def pending(last: Scored, listed: Sequence[Listed], champion: int) -> pd.DataFrame:
    """The listed files that this version has not been asked about as they are now: columns path, size, version."""
    return _without(readable(listed), _final(last, champion))


def keyed(files: Iterable[tuple[str, int, str]]) -> pd.DataFrame:
    """The files as a table of path, size and version, of the same types without any."""
    return pd.DataFrame(list(files), columns=KEY).astype({"size": "int64"})


def told_before(last: Scored, listed: Sequence[Listed], champion: int) -> pd.DataFrame:
    """What this version said of the listed files as they are now: the other ones' rows of the record."""
    return _final(last, champion).merge(readable(listed), on=KEY)


def follow(last: Scored, listed: Sequence[Listed], told: pd.DataFrame, champion: int) -> Scored:
    """The state after the last one: a row for each file that is listed now, `told` for those that were asked about anew.

    Parameters
    ----------
    told : columns path, size, version, content, label, probability, margin, unknown, novelty, reason, final
    """
    faults = pd.DataFrame(
        [(file.path, file.size, file.version, file.fault, False) for file in listed if file.fault], columns=[*KEY, "reason", "final"]
    )
    new = pd.concat([told, faults]).assign(champion=champion, at=now())
    # What was told before of a file that a fault keeps from being told anew says the old version's number.
    rows = pd.concat([last.rows.merge(readable(listed), on=KEY), new]).drop_duplicates("path", keep="last")
    return replace(last, rows=rows[last.rows.columns].sort_values("path", ignore_index=True))


def said(answer: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Label, probability, margin, unknown and novelty of an answer; of a picture that the version cannot read the reason.

    The margin is the probability of the likeliest class less that of the next one: 1 is certain, 0 tells nothing.
    """
    if answer["error"] is not None:
        return {"reason": answer["error"]}
    (probability, label), (next_one, _) = sorted(zip(answer["probabilities"], classes, strict=True), reverse=True)[:2]
    known = {name: answer[name] for name in ("unknown", "novelty")}
    return {"label": label, "probability": probability, "margin": probability - next_one, **known}


def same(last: Scored, following: Scored) -> bool:
    """Whether the following state would say nothing new but the time."""
    before, after = (state.rows.drop(columns="at") for state in (last, following))
    return last.number > 0 and before.equals(after.astype(before.dtypes))


def told_schema() -> pa.Schema:
    """What a task tells of each file."""
    return pa.schema([field for field in arrow_schema(RECORD) if field.name not in ("champion", "at")])


def _without(rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    marked = rows.merge(known[KEY], on=KEY, how="left", indicator=True)
    return marked.loc[marked["_merge"] == "left_only", rows.columns].reset_index(drop=True)


def _final(last: Scored, champion: int) -> pd.DataFrame:
    """The rows of files that this version need not be asked about again."""
    return last.rows[(last.rows["champion"] == champion) & last.rows["final"].astype(bool)]
