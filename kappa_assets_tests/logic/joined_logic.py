"""Functions of two upstreams, sales and customers, that join them on the customer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets import gold, silver

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from kappa_assets.declare.tables import Gold, Silver

Joined = Callable[["DataFrame", "DataFrame"], "DataFrame"]
ADDRESS = "_batch_id long, _row long, _arrived_at timestamp"
SALES = f"{ADDRESS}, sale_id long, customer_id string, store int, price decimal(10,2), at timestamp"
CUSTOMERS = f"{ADDRESS}, customer_id string, store int, segment string, at timestamp"
BY = {"sales": "customer_id", "customers": "customer_id"}


def silver_joined(logic: Joined, keys: Any = ("sale_id",), by: Any = None) -> Silver:
    """Declare a Silver that does what `logic` does."""

    def priced_sales(sales: DataFrame, customers: DataFrame) -> DataFrame:
        return logic(sales, customers)

    return silver(keys=keys, by=by or BY)(priced_sales)


def gold_joined(logic: Joined, keys: Any = ("customer_id",), by: Any = None) -> Gold:
    """Declare a Gold that does what `logic` does."""

    def customer_value(sales: DataFrame, customers: DataFrame) -> DataFrame:
        return logic(sales, customers)

    return gold(keys=keys, by=by or BY)(customer_value)


def as_of(sales: DataFrame, customers: DataFrame) -> DataFrame:
    """Return each sale with the customer's segment as of the sale."""
    then = customers.withColumnsRenamed({"at": "since", "_batch_id": "c_batch", "_row": "c_row"})
    both = sales.join(then.select("customer_id", "segment", "since", "c_batch", "c_row"), "customer_id", "left")
    sale, newest = ("customer_id", "_batch_id", "_row"), (F.desc(c) for c in ("since", "c_batch", "c_row"))
    number = F.row_number().over(Window.partitionBy(*sale).orderBy(*newest))
    kept = both.where("since is null or since <= at").withColumn("n", number).where("n = 1")
    return kept.select("sale_id", "customer_id", "price", "segment")


def with_segment(sales: DataFrame, customers: DataFrame) -> DataFrame:
    return sales.join(newest_of(customers), "customer_id", "left").select("sale_id", "customer_id", "segment")


def newest_of(customers: DataFrame) -> DataFrame:
    newest = F.max_by("segment", F.struct("at", "_batch_id", "_row")).alias("segment")
    return customers.groupBy("customer_id").agg(newest)


def spent(sales: DataFrame) -> DataFrame:
    return sales.groupBy("customer_id").agg(F.sum("price").alias("spent"))


def value(sales: DataFrame, customers: DataFrame) -> DataFrame:
    return spent(sales).join(newest_of(customers), "customer_id", "full")


def counted(sales: DataFrame, customers: DataFrame) -> DataFrame:
    both = sales.select("customer_id", F.lit("sale").alias("what")).unionAll(
        customers.select("customer_id", F.lit("change"))
    )
    return both.groupBy("customer_id").agg(F.count("*").alias("n"))
