"""The usual Spark way: an image is a row with a list of lists, which is exploded for MLlib's KMeans and grouped again for MLlib's PCA.

Order: what `encode` and `train` are ordered, `iterations`, `lists`, a folder for the rows of lists, and `result`, a file for what is found:
`way_s`, its `parts`, and the `accuracy` that the same classifier has on these features. Making the rows of lists, which the describing
would have left, is not timed, nor is the classifier.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.clustering import KMeans
from pyspark.ml.feature import PCA, VectorAssembler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import SparseVector, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from bench.plain.clock import Order
from bench.plain.encode import read
from bench.plain.learn_vocabulary import rooted
from bench.plain.train import classifier


def spark_way(order: Order) -> Order:
    roster = pq.read_table(order["roster"], columns=["content", "label", "split", "group"]).to_pandas()
    _write_lists(order, dict(zip(roster["content"], roster["split"], strict=True)))
    spark = SparkSession.builder.appName("the usual way").getOrCreate()
    spark.range(10).selectExpr("sum(id)").collect()
    moments = [time.perf_counter()]
    images = spark.read.parquet(order["lists"])
    points = images.select("content", "split", sf.explode("descriptors").alias("point"))
    points = points.select("content", "split", array_to_vector(sf.col("point")).alias("features"))
    train = points.where("split = 'train'").cache()
    train.count()
    moments.append(time.perf_counter())
    model = KMeans(k=order["n_words"], maxIter=order["iterations"], seed=order["seed"]).fit(train.select("features"))
    moments.append(time.perf_counter())
    vectors = _bags(model.transform(points), images, order["n_words"]).cache()
    vectors.count()
    moments.append(time.perf_counter())
    axes = PCA(k=order["n_components"], inputCol="vector", outputCol="found").fit(vectors.where("split = 'train'"))
    found = axes.transform(vectors).select("content", vector_to_array(sf.col("found")).alias("found")).toPandas()
    moments.append(time.perf_counter())
    parts = dict(zip(("exploding", "KMeans", "transform and groupBy", "PCA"), np.diff(moments).tolist(), strict=True))
    joined = roster.merge(found, on="content")
    features, is_train = np.stack(joined["found"].map(np.asarray)), (joined["split"] == "train").to_numpy()
    answers = classifier(features[is_train], joined[is_train], order).predict(features[~is_train])
    right = answers == joined["label"].to_numpy()[~is_train]
    return {"way_s": moments[-1] - moments[0], "parts": parts, "accuracy": float(right.mean())}


def _bags(words: DataFrame, images: DataFrame, n_words: int) -> DataFrame:
    """content, split, vector: roots of the shares of the words, the histogram beside them."""
    counted = words.groupBy("content", "prediction").count()
    listed = counted.groupBy("content").agg(sf.collect_list(sf.struct("prediction", "count")).alias("counts"))

    # With type hints PySpark looks for a pandas function, and warns.
    def bag(counts):  # type: ignore[no-untyped-def]
        total = sum(row["count"] for row in counts)
        return SparseVector(n_words, {row["prediction"]: (row["count"] / total) ** 0.5 for row in counts})

    vector = sf.udf(bag, VectorUDT())
    bags = listed.select("content", vector("counts").alias("bag"))
    joined = images.select("content", "split", array_to_vector(sf.col("histogram")).alias("colours")).join(bags, "content")
    return VectorAssembler(inputCols=["bag", "colours"], outputCol="vector").transform(joined).select("content", "split", "vector")


def _write_lists(order: Order, splits: dict[str, str]) -> None:
    folder = Path(order["lists"])
    folder.mkdir(parents=True)
    for number, path in enumerate(order["descriptors"]):
        rows: list[dict[str, Any]] = [
            {
                "content": content,
                "split": splits[content],
                "descriptors": list(rooted(matrix, order["colour_weight"])),
                "histogram": order["histogram_weight"] * np.sqrt(histogram),
            }
            for content, matrix, histogram, _ in read(path)
            if content in splits
        ]
        fields = {"descriptors": pa.list_(pa.list_(pa.float32())), "histogram": pa.list_(pa.float32())}
        schema = pa.schema({"content": pa.string(), "split": pa.string(), **fields})
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{number}.parquet", row_group_size=200)


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    Path(order["result"]).write_text(json.dumps(spark_way(order)))
