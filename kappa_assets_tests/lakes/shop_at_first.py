"""The pipeline of the kept lakes as it was at first: it took what was sent back for sold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from kappa_assets import LINEAGE, Pipeline, expect, silver
from kappa_assets_tests.lakes.shop import START, customers, orders, spending, top_items

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@silver(expect=[expect("has_amount", "amount IS NOT NULL"), expect("has_item", "item IS NOT NULL")])
def sales(orders: DataFrame) -> DataFrame:
    """One row per line of an order."""
    quantity, price = sf.abs(sf.col("quantity").try_cast("int")), sf.col("price").try_cast("decimal(8,2)")
    amount = (quantity * price).cast("decimal(12,2)")
    return orders.select("order_id", "customer", "item", quantity.alias("pieces"), amount.alias("amount"), *LINEAGE)


FORWARDED = Pipeline.from_tables("shop", [orders, sales, spending, customers, top_items], start=START)
"""With the best items as they are now: that table goes on with other logic by itself."""

AT_FIRST = Pipeline.from_tables(
    "shop", [orders, sales, spending, customers, replace(top_items, version="1")], start=START
)
