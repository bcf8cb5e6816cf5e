"""What is known of the shop's customers, joined with what they bought: two tapes, and a chain of tables above them."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from kappa_assets import LINEAGE, Files, bronze, expect, gold, silver
from kappa_assets.pipelines.retail.silver import DATE_AND_TIME

customer_changes = bronze(
    "customer_changes",
    source=Files(
        "customer_changes", format="csv", header=True, columns=("CustomerID", "Segment", "OptIn", "ChangedAt")
    ),
    description="""\
Every change of what the shop knows of a customer, as it came: a tape of its own.

All payload columns are text: `CustomerID`, `Segment` (such as `wholesale`), `OptIn` (whether the customer takes
letters: `true`, `false`) and `ChangedAt` (UTC). Changes may come late, days after they were made.

Files (`.csv`, with a header) land in the folder `customer_changes`; the date that begins a file's name says when it
arrived.""",
    owners=["team:shop"],
    tags={"domain": "retail", "contains": "customer_ids"},
)


@silver(
    expect=[
        expect("has_customer", "customer_id IS NOT NULL", on_fail="drop"),
        expect("has_segment", "segment IS NOT NULL", on_fail="drop"),
        expect("changed_at_parses", "changed_at IS NOT NULL", on_fail="drop"),
    ],
    owners=["team:shop"],
    tags={"domain": "retail", "contains": "customer_ids"},
)
def customers(customer_changes: DataFrame) -> DataFrame:
    """One row per change of a customer: what holds of them from then on.

    - `customer_id`; `segment`: as sent, lower case; `takes_letters`: or null when it does not parse
    - `changed_at`: UTC; a change that came late stands where it belongs

    A change without customer or segment, or whose time does not parse, is dropped and counted under the expectation it
    fails.
    """
    changed = sf.trim(sf.col("ChangedAt"))
    customer = sf.regexp_replace(sf.trim(sf.col("CustomerID")), r"\.0$", "")
    segment = sf.lower(sf.trim(sf.col("Segment")))
    return customer_changes.select(
        sf.when(customer != "", customer).alias("customer_id"),
        sf.when(segment != "", segment).alias("segment"),
        sf.col("OptIn").try_cast("boolean").alias("takes_letters"),
        sf.when(changed.rlike(DATE_AND_TIME), changed.try_cast("timestamp")).alias("changed_at"),
        *LINEAGE,
    )


@silver(
    keys=["_batch_id", "_row"],
    by={"sales": "customer_id", "customers": "customer_id"},
    owners=["team:shop"],
    tags={"domain": "retail", "contains": "customer_ids"},
)
def priced_sales(sales: DataFrame, customers: DataFrame) -> DataFrame:
    """One row per invoice line of a known customer, with the segment that the customer was in when it was sold.

    - `_batch_id`, `_row`: the line's address on the tape `bronze.invoices`
    - `invoice_no`, `stock_code`, `quantity`, `amount`, `customer_id`, `sold_at`: as in `silver.sales`
    - `segment`, `takes_letters`: as of `sold_at`, from the newest change before it; null when nothing was known yet

    A change that comes late changes the lines that were sold after it: all lines of its customer are computed anew.
    """
    when = [sf.col(name).alias(f"known_{name}") for name in ("_batch_id", "_row")]
    known = customers.select(sf.col("customer_id").alias("who"), "segment", "takes_letters", "changed_at", *when)
    sold = sales.where(sf.col("customer_id").isNotNull())
    as_of_sale = (sf.col("customer_id") == sf.col("who")) & (sf.col("changed_at") <= sf.col("sold_at"))
    newest_first = [sf.col(name).desc() for name in ("changed_at", "known__batch_id", "known__row")]
    of_a_line = Window.partitionBy("customer_id", "_batch_id", "_row").orderBy(*newest_first)
    newest = sold.join(known, as_of_sale, "left").withColumn("place", sf.row_number().over(of_a_line))
    line = ("_batch_id", "_row", "invoice_no", "stock_code", "quantity", "amount", "customer_id", "sold_at")
    return newest.where("place = 1").select(*line, "segment", "takes_letters")


@gold(
    keys=["segment"],
    combine={"revenue": "sum", "units": "sum", "lines": "count"},
    owners=["team:shop"],
    tags={"domain": "retail"},
)
def segment_revenue(priced_sales: DataFrame) -> DataFrame:
    """One row per segment: what its customers bought while they were in it, cancellations subtracted.

    - `segment`: null for what was sold before anything was known of the customer
    - `revenue`: pounds sterling; `units`: pieces; `lines`: invoice lines, cancellations counted too
    """
    amount = sf.coalesce(sf.col("amount"), sf.lit(0).cast("decimal(18,4)"))
    return priced_sales.groupBy("segment").agg(
        sf.sum(amount).alias("revenue"),
        sf.sum("quantity").alias("units"),
        sf.count(sf.lit(1)).alias("lines"),
    )
