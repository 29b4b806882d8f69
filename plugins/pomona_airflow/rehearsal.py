"""Does once what every stage does, so that the classes it loads go into Spark's class archive (see `spark_home`)."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any


def _same(batches: Iterator[Any]) -> Iterator[Any]:
    yield from batches


def _knock_at_s3(spark: Any) -> None:
    """Loads what reads S3, where the jars for it are: by asking a port of this machine at which nobody listens."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

    settings = {
        "endpoint": "http://127.0.0.1:9",
        "endpoint.region": "us-east-1",
        "path.style.access": "true",
        "attempts.maximum": "1",
        "retry.limit": "0",
        "input.stream.type": "classic",
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider",
    }
    conf = spark._jsc.hadoopConfiguration()
    for name, value in settings.items():
        conf.set(f"fs.s3a.{name}", value)
    path = spark._jvm.org.apache.hadoop.fs.Path("s3a://nobody/nothing")
    with contextlib.suppress(Py4JJavaError):
        path.getFileSystem(conf).exists(path)


def main() -> None:
    """Rows through Arrow, a shuffle, a join, a sort and Parquet; a knock at S3."""
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
    _knock_at_s3(spark)


if __name__ == "__main__":
    main()
