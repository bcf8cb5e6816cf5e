"""The business logic of the retail pipeline: what an invoice line means."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from kappa_assets import LINEAGE, expect, silver
from kappa_assets.pipelines.retail.bronze import COLUMNS

# A cast alone would also take "12:30", as half past twelve of the day it is read on: a replay would differ.
DATE_AND_TIME = r"^[1-9]\d{3}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?Z?)?)?$"


@silver(
    expect=[
        expect("has_invoice", "invoice_no IS NOT NULL", on_fail="drop"),
        expect("has_stock_code", "stock_code IS NOT NULL", on_fail="drop"),
        expect("quantity_parses", "quantity IS NOT NULL", on_fail="drop"),
        expect("unit_price_parses", "unit_price IS NOT NULL", on_fail="drop"),
        expect("sold_at_parses", "sold_at IS NOT NULL", on_fail="drop"),
        expect("price_not_negative", "unit_price IS NULL OR unit_price >= 0", on_fail="drop"),
    ],
    owners=["team:shop"],
    tags={"domain": "retail", "contains": "customer_ids"},
)
def sales(invoices: DataFrame) -> DataFrame:
    """One row per good invoice line, typed and priced.

    - `invoice_no`: the invoice, as sent; `is_cancellation` when it begins with C
    - `stock_code`: the product, trimmed, upper case; `description`: its text, as sent, or null
    - `quantity`: pieces, negative when returned
    - `unit_price`: pounds sterling per piece, four places; `amount`: quantity x unit_price, or null when too
      large for decimal(18,4)
    - `customer_id`: without the ".0" of the files, or null when unknown; `country`: of the customer
    - `sold_at`: UTC

    A line without invoice or stock code, whose quantity, price or date does not parse, or whose price is
    negative, is dropped and counted under the expectation it fails. Exactly repeated lines are kept: the shop
    sends no line numbers.
    """
    lines = _by_column(invoices)
    quantity = sf.col("Quantity").try_cast("int")
    unit_price = sf.col("UnitPrice").try_cast("decimal(12,4)")
    invoice_date = sf.trim(sf.col("InvoiceDate"))
    customer = sf.regexp_replace(sf.trim(sf.col("CustomerID")), r"\.0$", "")
    return lines.select(
        _unless_blank(sf.col("InvoiceNo")).alias("invoice_no"),
        _unless_blank(sf.upper(sf.trim(sf.col("StockCode")))).alias("stock_code"),
        _unless_blank(sf.col("Description")).alias("description"),
        quantity.alias("quantity"),
        unit_price.alias("unit_price"),
        (quantity * unit_price).try_cast("decimal(18,4)").alias("amount"),
        _unless_blank(customer).alias("customer_id"),
        _unless_blank(sf.col("Country")).alias("country"),
        sf.when(invoice_date.rlike(DATE_AND_TIME), invoice_date.try_cast("timestamp")).alias("sold_at"),
        sf.col("InvoiceNo").startswith("C").alias("is_cancellation"),
        *LINEAGE,
    )


def _by_column(invoices: DataFrame) -> DataFrame:
    """Return invoice lines by their columns, text all of them.

    A file's lines have them already. Where a line is a document of JSON in `value`, they are read from it: a topic
    gives documents, and a tape that has read both holds both.
    """
    if "value" not in invoices.columns:
        return invoices
    told = sf.from_json(sf.col("value").cast("string"), ", ".join(f"{name} string" for name in COLUMNS))
    columns = [sf.coalesce(name, told[name]) if name in invoices.columns else told[name] for name in COLUMNS]
    return invoices.select(*[one.alias(name) for one, name in zip(columns, COLUMNS, strict=True)], *LINEAGE)


def _unless_blank(text: Column) -> Column:
    """Return `text`, or null where it is empty or only spaces: files write "missing" both ways."""
    return sf.when(sf.trim(text) != "", text)
