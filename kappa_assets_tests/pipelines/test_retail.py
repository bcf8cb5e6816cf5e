"""The retail pipeline's functions, called as plain functions on plain DataFrames."""

from __future__ import annotations

import datetime as dt
import gzip
from collections import Counter, defaultdict
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, TableName, load_pipeline
from kappa_assets.demo.feed import DATA
from kappa_assets.pipelines.retail import pipeline
from kappa_assets.pipelines.retail.gold import customer_value, daily_revenue, top_products
from kappa_assets.pipelines.retail.silver import sales
from kappa_assets_tests import oracle as o
from kappa_assets_tests.retail_files import COLUMNS, make_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

GOOD = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "WHITE HANGING HEART",
    "Quantity": "6",
    "InvoiceDate": "2010-12-01 08:26:00",
    "UnitPrice": "2.55",
    "CustomerID": "17850.0",
    "Country": "United Kingdom",
}
FIELDS = [
    ("StockCode", " 85123a ", "stock_code", "85123A"),
    ("CustomerID", "", "customer_id", None),
    ("CustomerID", None, "customer_id", None),
    ("CustomerID", "17850", "customer_id", "17850"),
    ("Description", "", "description", None),
    ("Country", "", "country", None),
    ("Quantity", "-3", "quantity", -3),
    ("Quantity", "6.5", "quantity", None),
    ("Quantity", "99999999999", "quantity", None),
    ("UnitPrice", "1.00005", "unit_price", Decimal("1.0001")),
    ("UnitPrice", "123456789.00", "unit_price", None),
    ("UnitPrice", "free", "amount", None),
    ("InvoiceDate", "2010-12-01", "sold_at", dt.datetime(2010, 12, 1)),  # noqa: DTZ001
    ("InvoiceDate", "2010-12-01T08:26:00Z", "sold_at", dt.datetime(2010, 12, 1, 8, 26)),  # noqa: DTZ001
    ("InvoiceDate", "2010-02-29 08:26:00", "sold_at", None),
    ("InvoiceDate", "12:30", "sold_at", None),
    ("InvoiceNo", "C536365", "is_cancellation", True),
]
FAULTS: list[tuple[dict[str, str | None], list[str]]] = [
    ({}, []),
    ({"InvoiceNo": ""}, ["has_invoice"]),
    ({"InvoiceNo": None}, ["has_invoice"]),
    ({"StockCode": "  "}, ["has_stock_code"]),
    ({"Quantity": "six"}, ["quantity_parses"]),
    ({"UnitPrice": ""}, ["unit_price_parses"]),
    ({"UnitPrice": "-0.01"}, ["price_not_negative"]),
    ({"UnitPrice": "0"}, []),
    ({"InvoiceDate": "yesterday"}, ["sold_at_parses"]),
    ({"Quantity": "", "InvoiceDate": ""}, ["quantity_parses", "sold_at_parses"]),
]
LINEAGE_VALUES = (
    "0L _batch_id",
    "0L _row",
    "current_timestamp() _arrived_at",
    "current_date() _arrival_date",
)


def tape(spark: SparkSession, *lines: Mapping[str, str | None]) -> DataFrame:
    """A tape of GOOD lines, each changed in some columns."""
    schema = ", ".join(f"{column} string" for column in COLUMNS)
    rows = [tuple({**GOOD, **line}[column] for column in COLUMNS) for line in lines]
    return spark.createDataFrame(rows, schema).selectExpr("*", *LINEAGE_VALUES)


def tape_of_files(spark: SparkSession, files: Sequence[Path]) -> DataFrame:
    same = defaultdict(list)
    for file in files:
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            same[next(iter(lines))].append(str(file))
    frames = [spark.read.csv(paths, header=True, escape='"') for paths in same.values()]
    return reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), frames).selectExpr("*", *LINEAGE_VALUES)


def good_sales(lines: DataFrame) -> DataFrame:
    return reduce(lambda rows, e: rows.where(f"coalesce({e.condition}, false)"), sales.expectations, sales(lines))


def only(frame: DataFrame) -> dict[str, Any]:
    (row,) = frame.collect()
    return row.asDict()


def test_the_pipeline_holds_its_tables_upstream_first() -> None:
    assert load_pipeline("kappa_assets.pipelines.retail") is pipeline
    assert [str(table.name) for table in pipeline] == [
        "bronze.customer_changes",
        "bronze.invoices",
        "silver.customers",
        "silver.sales",
        "silver.priced_sales",
        "gold.customer_value",
        "gold.daily_revenue",
        "gold.segment_revenue",
        "gold.top_products",
    ]
    assert pipeline.start == dt.date(2026, 1, 1)
    assert pipeline.tape_of(TableName.parse("gold.top_products")) == TableName.parse("bronze.invoices")


def test_every_table_says_what_it_holds_and_who_owns_it() -> None:
    for table in pipeline:
        assert len(table.description.splitlines()) > 2, table.name
        assert table.owners == ("team:shop",)
        assert table.tags["domain"] == "retail"


@pytest.mark.parametrize("name", ["bronze", "silver", "gold"])
def test_each_layer_fits_on_a_page(name: str) -> None:
    assert len(Path(DATA.parent, f"{name}.py").read_text().splitlines()) < 80


def test_a_good_line_is_typed_and_priced(spark: SparkSession) -> None:
    row = only(sales(tape(spark, {})).drop(*LINEAGE))
    assert row == {
        "invoice_no": "536365",
        "stock_code": "85123A",
        "description": "WHITE HANGING HEART",
        "quantity": 6,
        "unit_price": Decimal("2.5500"),
        "amount": Decimal("15.3000"),
        "customer_id": "17850",
        "country": "United Kingdom",
        "sold_at": dt.datetime(2010, 12, 1, 8, 26),  # noqa: DTZ001
        "is_cancellation": False,
    }


def test_the_types_are_those_promised(spark: SparkSession) -> None:
    types = dict(sales(tape(spark, {})).dtypes)
    assert tuple(types) == (*o.SALES, *LINEAGE)
    assert (types["quantity"], types["sold_at"], types["is_cancellation"]) == ("int", "timestamp", "boolean")
    assert (types["unit_price"], types["amount"]) == ("decimal(12,4)", "decimal(18,4)")


def test_each_field_becomes_what_the_docstring_says(spark: SparkSession) -> None:
    rows = sales(tape(spark, *({column: text} for column, text, _, _ in FIELDS))).collect()
    for (column, text, result, value), row in zip(FIELDS, rows, strict=True):
        assert row[result] == value, f"{column}={text!r}"


def test_an_amount_too_large_for_its_type_is_null_and_its_line_is_kept(spark: SparkSession) -> None:
    row = only(good_sales(tape(spark, {"Quantity": "2147483647", "UnitPrice": "99999999.9999"})))
    assert row["amount"] is None
    assert only(daily_revenue(good_sales(tape(spark, {}, {"Quantity": "2147483647", "UnitPrice": "99999999"}))))[
        "revenue"
    ] == Decimal("15.30")


def test_a_bad_line_fails_the_expectations_named_after_its_faults(spark: SparkSession) -> None:
    met = [F.coalesce(F.expr(e.condition), F.lit(False)).alias(e.name) for e in sales.expectations]
    rows = sales(tape(spark, *(line for line, _ in FAULTS))).select(*met).collect()
    for (line, failed), row in zip(FAULTS, rows, strict=True):
        assert [name for name, good in row.asDict().items() if not good] == failed, line


def test_cancelled_orders_are_counted_apart_and_subtracted(spark: SparkSession) -> None:
    lines: list[dict[str, str | None]] = [
        {"InvoiceNo": "1"},
        {"InvoiceNo": "1", "StockCode": "B"},
        {"InvoiceNo": "C2", "Quantity": "-6", "InvoiceDate": "2010-12-03 10:00:00"},
        {"InvoiceNo": "3", "CustomerID": ""},
    ]
    assert only(customer_value(good_sales(tape(spark, *lines)))) == {
        "customer_id": "17850",
        "orders": 1,
        "cancelled_orders": 1,
        "revenue": Decimal("15.3000"),
        "first_sold_at": dt.datetime(2010, 12, 1, 8, 26),  # noqa: DTZ001
        "last_sold_at": dt.datetime(2010, 12, 3, 10),  # noqa: DTZ001
    }


def test_exactly_repeated_lines_count_each(spark: SparkSession) -> None:
    row = only(daily_revenue(good_sales(tape(spark, {}, {}, {}))))
    assert (row["lines"], row["units"], row["revenue"]) == (3, 18, Decimal("45.90"))


def test_equal_revenue_is_ranked_by_stock_code(spark: SparkSession) -> None:
    tied = [{"StockCode": code} for code in ("b", "C", "a")]
    rows = top_products(good_sales(tape(spark, *tied, {"StockCode": "z", "UnitPrice": "9"}))).collect()
    assert [(row["rank"], row["stock_code"]) for row in rows] == [(1, "Z"), (2, "A"), (3, "B"), (4, "C")]


def assert_equals_oracle(lines: DataFrame, files: Sequence[Path]) -> o.Expected:
    expected = o.oracle(files)
    rows = good_sales(lines).cache()
    assert Counter(o.rows_of(rows.toArrow(), o.SALES)) == expected.sales
    assert o.rows_of(daily_revenue(rows).toArrow(), o.DAILY_REVENUE) == expected.daily_revenue
    assert o.rows_of(customer_value(rows).toArrow(), o.CUSTOMER_VALUE) == expected.customer_value
    assert o.rows_of(top_products(rows).toArrow(), o.TOP_PRODUCTS) == expected.top_products
    rows.unpersist()
    return expected


def test_the_packaged_month_gives_what_the_oracle_says(spark: SparkSession) -> None:
    files = sorted(DATA.glob("*.csv.gz"))
    expected = assert_equals_oracle(tape_of_files(spark, files), files)
    assert (len(files), expected.lines, expected.sales.total()) == (20, 42_481, 42_481)
    assert sum(count - 1 for count in expected.sales.values()) >= 500


@pytest.mark.parametrize("drift", [False, True])
def test_other_files_give_what_the_oracle_says(spark: SparkSession, tmp_path: Path, drift: bool) -> None:  # noqa: FBT001
    files = make_files(tmp_path, seed=7, files=4, lines=250, drift=drift)
    lines = tape_of_files(spark, files)
    expected = assert_equals_oracle(lines, files)
    rows = sales(lines)
    failed = {e.name: rows.where(f"NOT coalesce({e.condition}, false)").count() for e in sales.expectations}
    assert failed == expected.rejects
    assert min(failed.values()) > 0
