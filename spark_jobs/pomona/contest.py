"""The champion to beat: which version, whether it can be asked, and its answers, given by its own code in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pomona import champion, tracking
from pomona.work import Work

if TYPE_CHECKING:
    import pyarrow as pa

    from pomona.tasks import Batches, Transform


@dataclass(frozen=True)
class Rival:
    """The champion that a model is measured against; `trouble` says why it cannot be asked, and is empty when it can.

    `folder` holds its files, `classes` are its labels, and `trained_on` are contents: where there is trouble they may be missing.
    """

    version: int
    trouble: str = ""
    folder: Path | None = None
    classes: tuple[str, ...] = ()
    trained_on: frozenset[str] = frozenset()


def rival(work: Work, scratch: Path) -> Rival | None:
    """The champion, its files below `scratch` and its probes reproduced; None when there is nobody to beat."""
    reigning = _reigning(work)
    if reigning is None:
        return None
    if reigning.broken:
        return Rival(reigning.version, reigning.broken)
    place = work.order.place
    try:
        folder = tracking.fetch(place.tracking, place.name, reigning.version, scratch)
        classes, seen = champion.classes(folder), champion.trained_on(folder)
    except (ValueError, champion.ChampionFailed) as error:
        return Rival(reigning.version, str(error))
    return Rival(reigning.version, champion.reproduces_probes(folder) or "", folder, classes, seen)


def answers_schema() -> pa.Schema:
    """The champion's prediction for an image; or in one row alone, what troubled it."""
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in ("content", "prediction", "trouble")])


def answered(locate: Callable[[], Path]) -> Transform:
    """A transform of images rows into the champion's predictions, in the columns of `answers_schema`.

    An image that it cannot read has a null prediction; when it fails altogether, one row says why and nothing follows.
    """

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        folder = locate()
        try:
            classes = champion.classes(folder)
            with champion.Answerer(folder) as answerer:
                for batch in batches:
                    rows = answerer.answers(batch["image"].to_pylist())
                    names = [None if np.isnan(row).any() else classes[int(row.argmax())] for row in rows]
                    arrays = [batch["content"], pa.array(names, pa.string()), pa.nulls(batch.num_rows, pa.string())]
                    yield pa.RecordBatch.from_arrays(arrays, schema=answers_schema())
        except champion.ChampionFailed as error:
            yield pa.RecordBatch.from_pylist([{"content": "", "prediction": "", "trouble": str(error)}], schema=answers_schema())

    return transform


def _reigning(work: Work) -> tracking.Champion | None:
    """Today's champion, or when this run itself has become it, the one that it took the place of."""
    place = work.order.place
    reigning = tracking.champion(place.tracking, place.name)
    if reigning is None or reigning.run != work.run:
        return reigning
    moves = [entry for entry in work.lake.entries("promotions") if entry.get("result") == "moved" and entry["run"] == work.run]
    before = moves[-1]["from"] if moves else None
    return None if before is None else tracking.version(place.tracking, place.name, before)
