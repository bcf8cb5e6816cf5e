"""The retail pipeline as corrected later: every amount is doubled, and Silver has one more column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

from kappa_assets import Pipeline, silver
from kappa_assets.pipelines.retail import silver as retail
from kappa_assets.pipelines.retail.bronze import invoices
from kappa_assets.pipelines.retail.gold import customer_value, daily_revenue

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@silver(expect=retail.sales.expectations)
def sales(invoices: DataFrame) -> DataFrame:
    """One row per good invoice line, priced twice as high."""
    old = retail.sales(invoices)
    return old.withColumn("amount", (sf.col("amount") * 2).cast("decimal(18,4)")).withColumn("logic", sf.lit("new"))


CORRECTED = Pipeline.from_tables("retail", [invoices, sales, daily_revenue, customer_value])
AS_IT_WAS = Pipeline.from_tables("retail", [invoices, retail.sales, daily_revenue, customer_value])
