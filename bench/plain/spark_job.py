"""The smallest Spark application: a session and one sum."""

from __future__ import annotations

from pyspark.sql import SparkSession

if __name__ == "__main__":
    SparkSession.builder.appName("smallest").getOrCreate().range(1000).selectExpr("sum(id)").collect()
