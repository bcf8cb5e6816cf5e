"""The pipeline of the lakes that are kept here. Its logic never changes: theirs is compared with it for ever.

A table of each kind: a tape, a row-by-row Silver, and a Gold that is combined, one by keys, and one that is computed
whole. The archives were written by it, and by what it was before (`shop_at_first`).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as sf

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, gold, silver

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

START = dt.date(2026, 11, 1)

orders = bronze("orders", source=Files("orders", format="csv", header=True))


@silver(expect=[expect("has_amount", "amount IS NOT NULL"), expect("has_item", "item IS NOT NULL")])
def sales(orders: DataFrame) -> DataFrame:
    """One row per line of an order; what was sent back counts against what was sold."""
    quantity, price = sf.col("quantity").try_cast("int"), sf.col("price").try_cast("decimal(8,2)")
    amount = (quantity * price).cast("decimal(12,2)")
    return orders.select("order_id", "customer", "item", quantity.alias("pieces"), amount.alias("amount"), *LINEAGE)


@gold(keys=["customer"], combine={"spent": "sum", "lines": "count"})
def spending(sales: DataFrame) -> DataFrame:
    """What each customer has spent."""
    return sales.groupBy("customer").agg(sf.sum("amount").alias("spent"), sf.count(sf.lit(1)).alias("lines"))


@gold(keys=["customer"])
def customers(sales: DataFrame) -> DataFrame:
    """How many orders each customer has placed, and the largest line."""
    return sales.groupBy("customer").agg(
        sf.count_distinct("order_id").alias("orders"), sf.max("amount").alias("largest")
    )


@gold(every="1 second", version="2", on_change="forward")
def top_items(sales: DataFrame) -> DataFrame:
    """The three items that brought most, best first."""
    totals = sales.groupBy("item").agg(sf.sum("amount").alias("brought"))
    rank = sf.row_number().over(Window.orderBy(sf.col("brought").desc(), sf.col("item").asc()))
    return totals.select(rank.alias("rank"), "item", "brought").where("rank <= 3")


SHOP = Pipeline.from_tables("shop", [orders, sales, spending, customers, top_items], start=START)
"""What wrote the live tables of every archive."""
