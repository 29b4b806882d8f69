"""Images under `unlabelled/` that are worth a label: what the champion says of them, and which of them to ask people about.

What the record `scored` holds is not asked again; about the rest the champion is asked now. Images are read and described once more, for
vectors that tell how far apart they lie, only where they may be chosen: a bounded number.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pomona import champion, scored
from pomona.labels import queue
from pomona.labels.queue import Floats
from pomona.lake import Lake
from pomona.landing import Landing, Listed
from pomona.reading import Row, read_in_time
from pomona.vision.chain import Chain
from pomona.vision.decode import BadImage
from pomona.work import LOG

_BATCH = 32
_TOLD = ["path", "size", "version", "content", "unsure", "novelty", "unknown"]


def told(lake: Lake, folder: Landing, files: Sequence[Listed], model: Path, *, version: int, skip: Collection[str]) -> pd.DataFrame:
    """A row for each content that the version could answer: path, size and version of its first file, content, unsure, novelty, unknown.

    Parameters
    ----------
    model : the version's folder
    skip : contents that nobody is to be asked about

    Raises
    ------
    ChampionFailed
        When it cannot answer.
    """
    last = scored.latest(lake)
    before, new = scored.told_before(last, files, version), scored.pending(last, files, version)
    if len(new):
        LOG.info("version %d was asked about %s of %s pictures before, and is asked about the others now", version, len(before), len(files))
    known = before[before["label"].notna()].assign(unsure=1 - before["margin"])[_TOLD]
    rows = pd.DataFrame(chain(known.itertuples(index=False, name=None), _asked(folder, _rows(new), model)), columns=_TOLD)
    return rows[~rows["content"].isin(skip)].sort_values("path").drop_duplicates("content", ignore_index=True)


def most_worth(folder: Landing, rows: pd.DataFrame, model: Path, *, n: int) -> dict[str, list[Row]]:
    """At most n `unknown` and n `uncertain` rows of those that `told` gives, each kind spread out and in the order in which to ask.

    Of unknown images those are worth most that are least like what the version knows: how sure it is of a label says little there.
    """
    marked = rows["unknown"].eq(True)
    pools = {"unknown": _pool(rows[marked], "novelty", n=n), "uncertain": _pool(rows[~marked], "unsure", n=n)}
    vectors = _vectors(folder, [image for pool in pools.values() for image in pool], model)
    chosen = {}
    for why, pool in pools.items():
        there = [image for image in pool if image["content"] in vectors]
        chosen[why] = [there[place] for place in queue.k_centres(np.array([vectors[image["content"]] for image in there]), n)]
    return chosen


def _pool(rows: pd.DataFrame, worth: str, *, n: int) -> list[Row]:
    return _rows(rows.iloc[queue.pool(rows["content"].tolist(), rows[worth].to_numpy(np.float64), n=n)])


def _rows(table: pd.DataFrame) -> list[Row]:
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def answers(folder: Landing, images: Sequence[Row], model: Path) -> Iterator[tuple[Row, bytes, dict[str, Any]]]:
    """Each image that is still as it was listed and that the champion can answer, its bytes, and the row of `champion.Answerer.told`."""
    if not images:
        return
    with champion.Answerer(model) as answerer, contextlib.closing(read_in_time(folder, images)) as readings:
        there = ((image, data) for image, data in readings if isinstance(data, bytes))
        for few in iter(lambda: list(islice(there, _BATCH)), []):
            found = answerer.told([data for _, data in few]).to_pylist()
            yield from ((image, data, answer) for (image, data), answer in zip(few, found, strict=True) if answer["error"] is None)


def _asked(folder: Landing, images: Sequence[Row], model: Path) -> Iterator[tuple[Any, ...]]:
    """What the champion says now, in the order of `_TOLD`."""
    classes = champion.classes(model)
    for image, data, answer in answers(folder, images, model):
        said, content = scored.said(answer, classes), hashlib.sha256(data).hexdigest()
        yield image["path"], image["size"], image["version"], content, 1 - said["margin"], said["novelty"], said["unknown"]


def _vectors(folder: Landing, images: Sequence[Row], model: Path) -> dict[str, Floats]:
    """By content, vectors (d,) float64 for which distances mean something: as the champion projects them, by today's code.

    The champion of an earlier release may have a recipe that this code cannot follow: then the roots of its probabilities. What is no
    longer as it was listed has none.
    """
    try:
        return dict(_projected(folder, images, Chain.load(model / champion.card(model)["chain"])))
    except (KeyError, TypeError) as error:
        LOG.info("the queue is spread out by the champion's answers alone: its recipe is not today's (%s)", error)
    return {image["content"]: np.sqrt(answer["probabilities"]) for image, _, answer in answers(folder, images, model)}


def _projected(folder: Landing, images: Sequence[Row], fitted: Chain) -> Iterator[tuple[str, Floats]]:
    with contextlib.closing(read_in_time(folder, images)) as readings:
        for image, data in readings:
            with contextlib.suppress(BadImage):
                if isinstance(data, bytes):
                    yield image["content"], fitted.features_of(data)
