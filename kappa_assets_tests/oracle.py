"""The retail tables computed a second time, in plain Python, straight from the files a shop sent.

Shares no code with the pipeline: what both get wrong would have to be wrong twice. Amounts are exact
decimals. A line is judged alone; exactly repeated lines count each. Fields hold no line break: a line is a
line of the file.
"""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import gzip
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

SALES = (
    "invoice_no",
    "stock_code",
    "description",
    "quantity",
    "unit_price",
    "amount",
    "customer_id",
    "country",
    "sold_at",
    "is_cancellation",
)
DAILY_REVENUE = ("day", "country", "revenue", "units", "lines")
CUSTOMER_VALUE = ("customer_id", "orders", "cancelled_orders", "revenue", "first_sold_at", "last_sold_at")
TOP_PRODUCTS = ("rank", "stock_code", "units", "revenue")

_DECIMALS = {"unit_price", "amount", "revenue"}
_TIMES = {"sold_at", "first_sold_at", "last_sold_at"}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?Z?)?"
_TIMESTAMP = re.compile(rf"{_DATE}(?:[ T]{_TIME})?", re.ASCII)
_EXACT = decimal.Context(prec=80, rounding=decimal.ROUND_HALF_UP, Emax=99_999, Emin=-99_999)

Row = tuple[Any, ...]


@dataclass
class Expected:
    """What the tables should hold. Times are UTC without a zone; lists are sorted as `rows_of` sorts.

    Attributes:
        sales: how often each row of silver.sales occurs, columns as in SALES (LINEAGE left out).
        rejects: rejected lines by expectation; a line that fails several counts under each.
        first_rejects: rejected lines by the first expectation they fail, in the order of declaration.
        set_aside: files that cannot be read to their end, or are no UTF-8 text; none of their lines count.
        lines: lines of the other files, headers and blank lines left out.
    """

    sales: Counter[Row] = field(default_factory=Counter)
    daily_revenue: list[Row] = field(default_factory=list)
    customer_value: list[Row] = field(default_factory=list)
    top_products: list[Row] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    first_rejects: Counter[str] = field(default_factory=Counter)
    set_aside: list[Path] = field(default_factory=list)
    lines: int = 0


def oracle(files: Sequence[Path]) -> Expected:
    """Return what the retail tables should hold once exactly `files` (.csv, .csv.gz) have landed."""
    expected = Expected()
    for file in files:
        try:
            content = _text(file)
        except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError):
            expected.set_aside.append(file)
            continue
        for line in _lines(content):
            expected.lines += 1
            row = _sale(line)
            failed = _failed(row)
            if failed:
                expected.rejects.update(failed)
                expected.first_rejects[failed[0]] += 1
            else:
                expected.sales[tuple(row[column] for column in SALES)] += 1
    sales = [dict(zip(SALES, row, strict=True)) for row in expected.sales.elements()]
    with decimal.localcontext(_EXACT):
        expected.daily_revenue = _daily_revenue(sales)
        expected.customer_value = _customer_value(sales)
        expected.top_products = _top_products(sales)
    return expected


def rows_of(table: Any, columns: Sequence[str]) -> list[Row]:
    """Return the rows of `table` as tuples of `columns`, sorted (null first), comparable with the oracle's.

    Takes an Arrow table or a list of dictionaries, also one of `kappa ... --json`: decimals and times as
    text.
    """
    records = table if isinstance(table, list) else table.select(list(columns)).to_pylist()
    return _sorted(tuple(_plain(column, record[column]) for column in columns) for record in records)


def _text(file: Path) -> str:
    content = file.read_bytes()
    plain = gzip.decompress(content) if file.suffix == ".gz" else content
    return plain.decode("utf-8-sig")


def _lines(content: str) -> Iterator[dict[str, str]]:
    """Return the lines of a file by column name; of a long line the rest is lost."""
    lines = (line for line in re.split(r"\r\n|\r|\n", content) if line.strip())
    header = next(csv.reader([next(lines, "")]), [])
    for line in lines:
        fields = next(csv.reader([line]), [])
        yield dict(zip(header, fields, strict=False))


def _sale(line: Mapping[str, str]) -> dict[str, Any]:
    quantity = _integer(line.get("Quantity", ""))
    price = _decimal(line.get("UnitPrice", ""), digits=12)
    amount = None
    if quantity is not None and price is not None:
        amount = _decimal(str(_EXACT.multiply(Decimal(quantity), price)), digits=18)
    return {
        "invoice_no": _present(line.get("InvoiceNo", "")),
        "stock_code": _present(line.get("StockCode", "").strip(" ").upper()),
        "description": _present(line.get("Description", "")),
        "quantity": quantity,
        "unit_price": price,
        "amount": amount,
        "customer_id": _present(line.get("CustomerID", "").strip(" ").removesuffix(".0")),
        "country": _present(line.get("Country", "")),
        "sold_at": _timestamp(line.get("InvoiceDate", "")),
        "is_cancellation": line.get("InvoiceNo", "").startswith("C"),
    }


def _failed(row: Mapping[str, Any]) -> list[str]:
    required = {
        "has_invoice": "invoice_no",
        "has_stock_code": "stock_code",
        "quantity_parses": "quantity",
        "unit_price_parses": "unit_price",
        "sold_at_parses": "sold_at",
    }
    failed = [name for name, column in required.items() if row[column] is None]
    if row["unit_price"] is not None and row["unit_price"] < 0:
        failed.append("price_not_negative")
    return failed


def _present(text: str) -> str | None:
    return text if text.strip(" ") else None


def _integer(text: str) -> int | None:
    text = text.strip()
    if not _INTEGER.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        return None
    return int(text)


def _decimal(text: str, *, digits: int) -> Decimal | None:
    """Return the number in `text` to four places, half rounded up; None if over `digits` digits."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = _EXACT.create_decimal(text)
    if value.adjusted() >= (digits if value else 38):  # even a zero, such as 0e99, must fit Spark's widest
        return None
    value = value.quantize(Decimal("0.0001"), context=_EXACT)
    return value if abs(value) < Decimal(10) ** (digits - 4) else None


def _timestamp(text: str) -> dt.datetime | None:
    match = _TIMESTAMP.fullmatch(text.strip(" "))
    if match is None or int(match[1]) < 1000:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        whole = dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  # UTC without a zone
        return whole.replace(microsecond=int((match[7] or "").ljust(6, "0")))
    except ValueError:
        return None


def _revenue(lines: Iterable[Mapping[str, Any]]) -> Decimal:
    return sum((line["amount"] for line in lines if line["amount"] is not None), Decimal(0))


def _grouped(lines: Iterable[dict[str, Any]], *columns: str) -> dict[Row, list[dict[str, Any]]]:
    groups: defaultdict[Row, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        groups[tuple(line[column] for column in columns)].append(line)
    return groups


def _daily_revenue(sales: list[dict[str, Any]]) -> list[Row]:
    dated = [sale | {"day": sale["sold_at"].date()} for sale in sales]
    return _sorted(
        (*key, _revenue(lines), sum(line["quantity"] for line in lines), len(lines))
        for key, lines in _grouped(dated, "day", "country").items()
    )


def _customer_value(sales: list[dict[str, Any]]) -> list[Row]:
    rows: list[Row] = []
    for (customer,), lines in _grouped(sales, "customer_id").items():
        if customer is None:
            continue
        invoices = {line["invoice_no"] for line in lines}
        cancelled = {invoice for invoice in invoices if invoice[0] == "C"}
        times = [line["sold_at"] for line in lines]
        rows.append((customer, len(invoices - cancelled), len(cancelled), _revenue(lines), min(times), max(times)))
    return _sorted(rows)


def _top_products(sales: list[dict[str, Any]]) -> list[Row]:
    totals = [
        (-_revenue(lines), code, sum(line["quantity"] for line in lines))
        for (code,), lines in _grouped(sales, "stock_code").items()
    ]
    return [(rank, code, units, -owed) for rank, (owed, code, units) in enumerate(sorted(totals)[:100], 1)]


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [(False,) if value is None else (True, value) for value in row])


def _plain(column: str, value: Any) -> Any:
    if isinstance(value, str) and column in _DECIMALS:
        return Decimal(value)
    if isinstance(value, str) and column == "day":
        return dt.date.fromisoformat(value)
    if isinstance(value, str) and column in _TIMES:
        value = dt.datetime.fromisoformat(value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value
