"""Functions of a Gold that look at several rows of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def by_country(s: DataFrame) -> DataFrame:
    return s.groupBy("country").agg(F.sum("price").alias("total"))


def sessions(s: DataFrame) -> DataFrame:
    found = s.groupBy("country", F.session_window("_arrived_at", "30 minutes").alias("w")).agg(F.count("*").alias("n"))
    return found.select("country", F.col("w.start").alias("began"), "n")


def scd2(s: DataFrame) -> DataFrame:
    later = Window.partitionBy("country").orderBy("day", "_batch_id", "_row")
    return s.select("country", "day", F.lead("day").over(later).alias("until"), "kind")


def top_three(s: DataFrame) -> DataFrame:
    best = Window.partitionBy("country").orderBy(F.desc("price"), "_batch_id", "_row")
    return s.withColumn("rank", F.row_number().over(best)).where("rank <= 3").select("country", "rank", "price")


def share(s: DataFrame) -> DataFrame:
    per_kind = s.groupBy("country", "kind").agg(F.sum("price").alias("total"))
    return per_kind.withColumn("share", F.col("total") / F.sum("total").over(Window.partitionBy("country")))


def full_outer(s: DataFrame) -> DataFrame:
    return by_country(s).join(s.where("units > 1").groupBy("country").count(), "country", "full")


def named_by_udf(s: DataFrame) -> DataFrame:
    return s.groupBy(F.udf(lambda text: text, "string")("country").alias("place")).count()


def of_pandas(s: DataFrame) -> DataFrame:
    return s.select("country", "units").groupBy("country").applyInPandas(lambda rows: rows, "country string, units int")


def cogrouped(s: DataFrame) -> DataFrame:
    left, right = s.select("country", "units"), s.select("country", "price")
    both = left.groupBy("country").cogroup(right.groupBy("country"))
    return both.applyInPandas(lambda a, b: a, "country string, units int")


def priced(s: DataFrame) -> DataFrame:
    rates = s.sparkSession.createDataFrame([("pen", 2)], "kind string, rate int")
    return s.join(rates, "kind").groupBy("country").agg(F.sum("rate").alias("n"))
