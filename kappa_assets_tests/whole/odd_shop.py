"""A pipeline whose rows hold what Spark's types can and Python's cannot: for-ever times, far years, bytes, nan."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, bronze, expect, gold, silver

prices = bronze("prices", source=Files("prices", format="csv", header=True))
contracts = bronze("contracts", source=Files("contracts", format="parquet"))


@silver(expect=[expect("has_an_item", "item IS NOT NULL")])
def valid_prices(prices: DataFrame) -> DataFrame:
    """Each price with when it ends; `name` as the bytes that came, `price` also NaN."""
    return prices.select(
        "item",
        F.col("valid_to").try_cast("timestamp").alias("valid_to"),
        F.col("day").try_cast("date").alias("day"),
        F.unbase64("name").cast("string").alias("name"),
        F.col("price").try_cast("double").alias("price"),
        *LINEAGE,
    )


@silver
def valid_contracts(contracts: DataFrame) -> DataFrame:
    """Each contract as it came."""
    return contracts.select("item", "valid_to", "day", *LINEAGE)


@gold(keys=["item"], combine={"valid_to": "max", "day": "max", "prices": "count"})
def latest(valid_prices: DataFrame) -> DataFrame:
    """By item: the latest end, the latest day, and how many prices."""
    return valid_prices.groupBy("item").agg(
        F.max("valid_to").alias("valid_to"), F.max("day").alias("day"), F.count("*").alias("prices")
    )


@gold(keys=["day"])
def by_day(valid_prices: DataFrame) -> DataFrame:
    """By day: the greatest name and price."""
    return valid_prices.groupBy("day").agg(F.max("name").alias("name"), F.max("price").alias("price"))
