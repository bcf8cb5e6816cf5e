"""What is known of the shop's customers, joined with what they bought: two tapes, and a chain of tables above them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from kappa_assets import LINEAGE, Files, bronze, cdc, debezium, expect, gold, late, silver

customer_changes = bronze(
    "customer_changes",
    source=Files("customer_changes", format="json"),
    description="""\
Every change in the shop's table of customers, as Debezium told it: a tape of its own.

Each line, in `value`, is an envelope of JSON: `op` (`c` created, `u` updated, `d` deleted), `before` and `after` with
`id`, `segment` (such as `wholesale`) and `opt_in` (whether the customer takes letters), and `source` with `lsn`, the
place in the database's log, and `ts_us`, when it was committed. Changes may come late, days after they were made.

Files (`.json`, a change a line) land in the folder `customer_changes`; the date that begins a file's name says when it
arrived.""",
    owners=["team:shop"],
    tags={"domain": "retail", "contains": "customer_ids"},
)


@silver(
    cdc=cdc(keys=["customer_id"], sequence_by="changed_at", delete_when="op = 'd'", scd=2),
    expect=[expect("has_segment", "segment IS NOT NULL OR op = 'd'", on_fail="drop")],
    late=late("changed_at", after="1 day", policy="update"),
    owners=["team:shop"],
    tags={"domain": "retail", "contains": "customer_ids"},
)
def customers(customer_changes: DataFrame) -> DataFrame:
    """Every version of a customer: what held of them, and from when to when, whenever that was told.

    - `customer_id`; `segment`: as sent, lower case; `takes_letters`: or null when that is not known
    - `op`: `c` or `u`, by which the version came; `changed_at`: UTC, when its newest change was made
    - `_valid_from`, `_valid_to`: UTC, from and until when it held; `_valid_to` is null of what holds now, `_is_current`

    A change that came late stands where it belongs; those that were made more than a day before they arrived are
    counted. One without customer or time is quarantined; one that gives no segment is dropped, and counted.
    """
    told = debezium.changes(customer_changes, "id string, segment string, opt_in boolean", source="ts_us bigint")
    customer, segment = sf.trim("id"), sf.lower(sf.trim("segment"))
    return told.select(
        sf.when(customer != "", customer).alias("customer_id"),
        sf.when(segment != "", segment).alias("segment"),
        sf.col("opt_in").alias("takes_letters"),
        sf.col("_op").alias("op"),
        sf.timestamp_micros("_source_ts_us").alias("changed_at"),
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
    - `segment`, `takes_letters`: as of `sold_at`; null when nothing was known yet, or the customer was deleted

    A change that comes late changes the lines that were sold after it: all lines of its customer are computed anew.
    """
    line = ("_batch_id", "_row", "invoice_no", "stock_code", "quantity", "amount", "customer_id", "sold_at")
    known = customers.select(sf.col("customer_id").alias("who"), "segment", "takes_letters", "_valid_from", "_valid_to")
    sold = sales.where(sf.col("customer_id").isNotNull())
    until = sf.col("_valid_to").isNull() | (sf.col("sold_at") < sf.col("_valid_to"))
    as_of_sale = (sf.col("customer_id") == sf.col("who")) & (sf.col("_valid_from") <= sf.col("sold_at")) & until
    return sold.join(known, as_of_sale, "left").select(*line, "segment", "takes_letters")


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
