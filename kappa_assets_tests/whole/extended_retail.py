"""The whole retail example, with its customers, and a Silver whose rows are unique: all kinds of tables in one lake."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Pipeline, expect, silver
from kappa_assets.pipelines.retail import pipeline as retail

TOLD = ("InvoiceNo", "StockCode", "Quantity", "UnitPrice")
"""What tells lines apart; of repeated ones the table has the first."""


@silver(
    unique=["line"],
    unique_within="7 days",
    expect=[expect("has_customer", "customer IS NOT NULL", on_fail="quarantine")],
)
def distinct_lines(invoices: DataFrame) -> DataFrame:
    """Invoice lines, each once, however often the shop sent it; those without a customer wait in quarantine."""
    told = [F.coalesce(name, F.lit("")) for name in TOLD]
    customer = F.when(F.trim("CustomerID") != "", F.trim("CustomerID"))
    return invoices.select(F.concat_ws("|", *told).alias("line"), customer.alias("customer"), *LINEAGE)


EXTENDED = Pipeline.from_tables("retail", [*retail, distinct_lines])
