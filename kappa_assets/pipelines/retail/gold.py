"""What the sales add up to: by day and country, by customer, by product."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from kappa_assets import gold

TOP = 100


@gold(
    keys=["day", "country"],
    combine={"revenue": "sum", "units": "sum", "lines": "count"},
    owners=["team:shop"],
    tags={"domain": "retail"},
)
def daily_revenue(sales: DataFrame) -> DataFrame:
    """One row per day and country: what was sold, cancellations subtracted.

    - `revenue`: pounds sterling; `units`: pieces; `lines`: invoice lines, cancellations counted too
    - `country`: of the customer, null when unknown

    `day` is the UTC day of the sale, not of its arrival: a late line changes the day it belongs to.
    """
    return sales.groupBy(sf.to_date("sold_at").alias("day"), "country").agg(
        _revenue().alias("revenue"),
        sf.sum("quantity").alias("units"),
        sf.count(sf.lit(1)).alias("lines"),
    )


@gold(keys=["customer_id"], owners=["team:shop"], tags={"domain": "retail", "contains": "customer_ids"})
def customer_value(sales: DataFrame) -> DataFrame:
    """One row per known customer: what was bought, cancelled and paid, from the first line to the last.

    - `orders`: distinct invoices that are not cancellations; `cancelled_orders`: distinct ones that are
    - `revenue`: pounds sterling, cancellations subtracted
    - `first_sold_at`, `last_sold_at`: UTC, cancellations included
    """
    cancelled = sf.col("is_cancellation")
    return (
        sales.where(sf.col("customer_id").isNotNull())
        .groupBy("customer_id")
        .agg(
            sf.count_distinct(sf.when(~cancelled, sf.col("invoice_no"))).alias("orders"),
            sf.count_distinct(sf.when(cancelled, sf.col("invoice_no"))).alias("cancelled_orders"),
            _revenue().alias("revenue"),
            sf.min("sold_at").alias("first_sold_at"),
            sf.max("sold_at").alias("last_sold_at"),
        )
    )


@gold(every="1 minute", owners=["team:shop"], tags={"domain": "retail"})
def top_products(sales: DataFrame) -> DataFrame:
    """The 100 stock codes with most revenue, best first; recomputed at most once a minute.

    - `rank`: 1 to 100, each once; equal revenue is ranked by `stock_code`
    - `units`: pieces; `revenue`: pounds sterling; cancellations subtracted from both
    """
    best_first = [sf.col("revenue").desc(), sf.col("stock_code").asc()]
    totals = sales.groupBy("stock_code").agg(sf.sum("quantity").alias("units"), _revenue().alias("revenue"))
    rank = sf.row_number().over(Window.orderBy(*best_first))
    return totals.orderBy(*best_first).limit(TOP).select(rank.alias("rank"), "stock_code", "units", "revenue")


def _revenue() -> Column:
    """Return the sum of the amounts; a missing one counts as 0, so that a sum can also be undone."""
    return sf.sum(sf.coalesce(sf.col("amount"), sf.lit(0).cast("decimal(18,4)")))
