"""The tape of the retail pipeline: the shop's files, as they came."""

from __future__ import annotations

from kappa_assets import Files, bronze

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")

invoices = bronze(
    "invoices",
    source=Files("invoices", format="csv", header=True, columns=COLUMNS),
    description="""\
Every invoice line the shop sent, as it came: the tape of this pipeline.

All payload columns are text, as in the file. Exactly repeated lines are kept: each counts.

- `InvoiceNo`: the invoice; begins with C for a cancellation
- `StockCode`: the product; `Description`: its text
- `Quantity`: pieces; negative when returned
- `InvoiceDate`: UTC
- `UnitPrice`: pounds sterling
- `CustomerID`: empty when unknown; `Country`: of the customer

Files (`.csv`, `.csv.gz`, with a header) land in the folder `invoices`; the date that begins a file's name
says when it arrived. With KAPPA_SOURCE=kafka the topic `invoices` is read instead, a line a record: a document of JSON
with these columns, in `value`.""",
    owners=["team:shop"],
    tags={"domain": "retail", "contains": "customer_ids"},
)
