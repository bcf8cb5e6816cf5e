"""The oracle itself, on files small enough to reckon by hand."""

from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path

from kappa_assets_tests.oracle import CUSTOMER_VALUE, DAILY_REVENUE, oracle, rows_of
from kappa_assets_tests.retail_files import make_files

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINE = '1,a,"7"" PLATE, RED",2,2026-01-02 03:04:05,1.5,7.0,Malta\n'


def test_columns_are_matched_by_name_and_a_missing_one_is_null(tmp_path: Path) -> None:
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text(HEADER + LINE)
    two.write_text("UnitPrice,Quantity,StockCode,InvoiceNo,InvoiceDate\n1.5,2,A,1,2026-01-02 03:04:05\n\n")
    expected = oracle([one, two])
    when = dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001
    common = (2, Decimal("1.5"), Decimal(3))
    assert expected.sales == {
        ("1", "A", '7" PLATE, RED', *common, "7", "Malta", when, False): 1,
        ("1", "A", None, *common, None, None, when, False): 1,
    }
    assert expected.customer_value == [("7", 1, 0, Decimal(3), when, when)]
    assert expected.daily_revenue == [
        (when.date(), None, Decimal(3), 2, 1),
        (when.date(), "Malta", Decimal(3), 2, 1),
    ]
    assert expected.top_products == [(1, "A", 4, Decimal(6))]


def test_a_truncated_file_is_set_aside_and_a_bad_line_is_counted(tmp_path: Path) -> None:
    whole, broken, empty = tmp_path / "1.csv", tmp_path / "2.csv.gz", tmp_path / "3.csv"
    whole.write_text(HEADER + LINE + "2,b\n" + ",,,,,-1,,\n")
    broken.write_bytes(gzip.compress((HEADER + LINE * 50).encode())[:-20])
    empty.touch()
    expected = oracle([whole, broken, empty])
    assert expected.set_aside == [broken]
    assert (expected.lines, expected.sales.total()) == (3, 1)
    assert expected.rejects == {
        "has_invoice": 1,
        "has_stock_code": 1,
        "quantity_parses": 2,
        "unit_price_parses": 1,
        "sold_at_parses": 2,
        "price_not_negative": 1,
    }
    assert expected.first_rejects == {"quantity_parses": 1, "has_invoice": 1}


def test_rows_of_reads_what_the_command_line_prints() -> None:
    printed = [{"day": "2026-01-02", "country": None, "revenue": "3.0000", "units": 2, "lines": 1}]
    assert rows_of(printed, DAILY_REVENUE) == [(dt.date(2026, 1, 2), None, Decimal(3), 2, 1)]
    when = "2026-01-02T03:04:05+00:00"
    printed = [dict(zip(CUSTOMER_VALUE, ("7", 1, 0, "3", when, when), strict=True))]
    assert rows_of(printed, CUSTOMER_VALUE)[0][4] == dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001


def test_made_files_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first, again, other = (make_files(tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2)))
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in again]
    assert [f.read_bytes() for f in first] != [f.read_bytes() for f in other]
