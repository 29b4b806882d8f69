"""The profile of a run's own training images: what they looked like to the chain that was fitted on them, as the folds put it right.

Rows in: the described sample that was cross-validated, and the images of it, which Spark's tasks decode for their light. Out: arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pomona.monitoring.profile import held_out
from pomona.monitoring.profile import profile as profile_of
from pomona.tasks import Batches, Transform
from pomona.vision.chain import Chain, Row
from pomona.vision.decode import decode
from pomona.vision.observe import Fit, Light, Observation, light
from pomona.work import LOG, Work

if TYPE_CHECKING:
    import pyarrow as pa


def profiled(work: Work, chain: Chain, rows: Sequence[Row], fits: Sequence[Fit | None]) -> dict[str, NDArray[Any]]:
    """The arrays of the dataset `profile`, of at most `profile.MAX_IMAGES` rows; `fits` are those of the chains that held the rows out.

    Nothing is described again: how a row fits comes from its description, and the light alone from its image.
    """
    lights = _lights(work, [row.content for row in rows], side_px=int(chain.knobs["side_px"]))
    seen = [
        held_out(Observation(*chain.fit(row.description), *lights[row.content]), by_fold) for row, by_fold in zip(rows, fits, strict=True)
    ]
    made = profile_of(seen, [row.label for row in rows], [row.group for row in rows], classes=chain.classifier.classes)
    LOG.info("%s: profiled %s images of %s groups", work.order.stage.name, f"{len(rows):,}", f"{made.members()[1]:,}")
    return {**made.arrays(), "held_out": np.array([by_fold is not None for by_fold in fits])}


def lit(side_px: int) -> Transform:
    """A transform of images (content, image) into what light and lens did to each, in the columns of `_light_schema`."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            # One by one: photographs are large once they are decoded.
            seen = [light(decode(image.as_py(), side_px=side_px)) for image in batch.column("image")]
            numbers = np.array([(one.brightness, one.blur, *one.cast) for one in seen])
            yield pa.RecordBatch.from_arrays([batch.column("content"), *map(pa.array, numbers.T)], schema=_light_schema())

    return transform


def _lights(work: Work, contents: Sequence[str], *, side_px: int) -> dict[str, Light]:
    """Brightness, blur and cast of these images, by content; each part that holds some of them is read once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    roster = work.table("roster", ["content", "part"])
    wanted = roster.filter(pc.is_in(roster["content"], pa.array(contents, pa.string())))
    found = work.images(wanted).map(lit(side_px)).table(_light_schema()).to_pylist()
    return {row["content"]: Light(row["brightness"], row["blur"], (row["red"], row["blue"])) for row in found}


def _light_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("content", pa.string()), *((name, pa.float64()) for name in ("brightness", "blur", "red", "blue"))])
