"""Does once what every stage does, so that the classes it loads go into Spark's class archive (see `spark_home`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any


def _dealt(numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    return ((number % 3, bytes(number)) for number in numbers)


def _knock_at_s3(context: Any) -> None:
    """Loads what reads S3, where the jars for it are: by asking a port of this machine at which nobody listens."""
    from py4j.protocol import Py4JJavaError

    settings = {
        "endpoint": "http://127.0.0.1:9",
        "endpoint.region": "us-east-1",
        "path.style.access": "true",
        "attempts.maximum": "1",
        "retry.limit": "0",
        "input.stream.type": "classic",
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider",
    }
    conf = context._jsc.hadoopConfiguration()
    for name, value in settings.items():
        conf.set(f"fs.s3a.{name}", value)
    path = context._jvm.org.apache.hadoop.fs.Path("s3a://nobody/nothing")
    with contextlib.suppress(Py4JJavaError):
        path.getFileSystem(conf).exists(path)


def main() -> None:
    """Packed values through Python workers and a shuffle, with a broadcast, an accumulator and a look at Spark's store; a knock at S3."""
    from pyspark import SparkContext

    context = SparkContext.getOrCreate()
    context.setJobDescription("rehearsal")
    seen, large = context.accumulator(0), context.broadcast(bytes(1 << 21))

    def counted(pairs: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
        for _, value in pairs:
            seen.add(len(large.value))
            yield value

    numbers = context.parallelize(range(100), 4)
    numbers.mapPartitions(_dealt).partitionBy(3, int).mapPartitions(counted).collect()
    inner = context._jsc.sc()
    inner.listenerBus().waitUntilEmpty()
    quantiles = context._gateway.new_array(context._gateway.jvm.double, 2)  # type: ignore[union-attr]
    inner.statusStore().stageList(None, False, False, quantiles, None)
    inner.statusStore().taskSummary(0, 0, quantiles)
    _knock_at_s3(context)


if __name__ == "__main__":
    main()
