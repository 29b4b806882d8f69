"""Near copies across the split: training images whose fingerprint differs in few bits from that of a test image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_BANDS = 4
_BITS = 16


def found(images: DataFrame, *, max_distance: int) -> pa.Table:
    """For each test image with a near copy in train the nearest one, in the columns of `near_copies`, sorted by content.

    Two fingerprints of 64 bits that differ in at most 3 bits agree in at least one of four bands of 16 (Manku, Jain & Das Sarma 2007), so
    that only those that share a band are compared.

    Parameters
    ----------
    images : content, split (`train` or `test`), fingerprint (int64)
    max_distance : 0 to 3
    """
    import pyarrow as pa
    from pyspark.sql import functions as sf

    from pomona.formats import arrow_schema

    bands = sf.array(*(sf.shiftrightunsigned("fingerprint", _BITS * i).bitwiseAND((1 << _BITS) - 1) for i in range(_BANDS)))
    # Many frames of a video have one fingerprint: each is compared once.
    sides = images.groupBy("split", "fingerprint").agg(sf.min("content").alias("first"))
    banded = sides.select("split", "fingerprint", "first", sf.posexplode(bands).alias("band", "value"))
    train = banded.where("split = 'train'").select(
        "band", "value", sf.col("fingerprint").alias("theirs"), sf.col("first").alias("train_content")
    )
    test = banded.where("split = 'test'").select("band", "value", "fingerprint")
    distance = sf.bit_count(sf.col("fingerprint").bitwiseXOR(sf.col("theirs")))
    near = test.join(train, ["band", "value"]).withColumn("distance", distance).where(sf.col("distance") <= max_distance)
    nearest = near.groupBy("fingerprint").agg(sf.min(sf.struct("distance", "train_content")).alias("nearest"))
    rows = images.where("split = 'test'").join(nearest, "fingerprint").select("content", "nearest.train_content", "nearest.distance")
    table = pa.Table.from_pandas(rows.toPandas(), schema=arrow_schema("near_copies"), preserve_index=False)
    return table.replace_schema_metadata(None).sort_by("content")
