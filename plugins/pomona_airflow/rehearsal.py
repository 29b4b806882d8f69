"""Does once what every stage does, so that the classes it loads go into Spark's class archive (see `spark_home`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any


def _same(batches: Iterator[Any]) -> Iterator[Any]:
    yield from batches


def main() -> None:
    """Rows through Arrow, a shuffle, a join, a sort and Parquet."""
    from pyspark.sql import SparkSession, functions

    spark = SparkSession.builder.getOrCreate()
    rows = spark.range(0, 1000, 1, 4).select("id", functions.sha2(functions.col("id").cast("string"), 256).alias("content"))
    rows = rows.withColumn("image", functions.col("content").cast("binary"))
    with tempfile.TemporaryDirectory() as folder:
        rows.mapInArrow(_same, rows.schema).write.mode("overwrite").parquet(folder)
        read = spark.read.parquet(folder)
        part = read.filter(functions.col("id") < 10).select("content")
        counted = read.join(functions.broadcast(part), "content").groupBy(functions.col("id") % 7).count().orderBy("count")
        counted.collect()
        read.repartition(3, "content").sortWithinPartitions("content").mapInArrow(_same, read.schema).toArrow()


if __name__ == "__main__":
    main()
