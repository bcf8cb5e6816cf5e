"""Retail files other than the packaged ones: random, seeded, and as untidy as real ones."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import os
import random
import time
from pathlib import Path

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
DESCRIPTIONS = ("MUG", "KÄSEGLOCKE “GROß”", "7 INCH, FRAME", 'FRAME 7" SINGLE ', "茶碗", " LEADING", "")
COUNTRIES = ("United Kingdom", "EIRE", "Österreich", "Côte d'Ivoire", "Korea, Republic of", "")
CODES = ("85123A", "85123a", " 22423", "POST", "gift_0001_20", "AMAZONFEE", "10002", "m")
BAD = {
    "InvoiceNo": ("", " "),
    "StockCode": ("", "  "),
    "Quantity": ("", "six", "6.5", "99999999999", "1,000"),
    "InvoiceDate": ("", "yesterday", "2026-02-30 10:00:00", "12:30", "2026-01-05 25:00:00"),
    "UnitPrice": ("", "free", "-1.25", "-0.0001", "123456789.00", "1,50"),
}


def make_files(folder: Path, seed: int, files: int = 5, lines: int = 200, *, drift: bool = False) -> list[Path]:
    """Write `files` files of `lines` lines each into `folder` and return them, in the order of their names.

    They are named `2026-01-05.csv` or `.csv.gz`, a day apart, and hold cancellations, unknown customers,
    negative prices, quantities, prices and dates that do not parse, exactly repeated lines (within a file
    and across files), short lines, blank lines, sales days older than the file, Unicode, and quoted fields
    with commas and doubled quotes. No field holds a line break: this source is read line by line. Every
    second file has its columns in another order. The same arguments write the same bytes.

    Args:
        drift: files after the first also lack a column (customer or description) or have one more.
    """
    dice = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    seen: list[dict[str, str]] = []
    for number in range(files):
        day = dt.date(2026, 1, 5) + dt.timedelta(days=number)
        rows = [_line(dice, day, seen) for _ in range(lines)]
        columns = _columns(dice, number, drift=drift)
        path = folder / f"{day.isoformat()}.csv{dice.choice(('', '.gz'))}"
        content = _csv(dice, columns, rows)
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
        written.append(path)
    _order_by_time(written)
    return written


def _order_by_time(files: list[Path]) -> None:
    """Let files be as old as their order says: Spark reads those of one millisecond in any order."""
    newest = time.time_ns()
    for age, path in enumerate(reversed(files)):
        os.utime(path, ns=(newest - age * 2_000_000,) * 2)


def _line(dice: random.Random, day: dt.date, seen: list[dict[str, str]]) -> dict[str, str]:
    if seen and dice.random() < 0.05:
        return dice.choice(seen)
    number, pieces, cancelled = dice.randint(600_000, 600_050), dice.randint(1, 40), dice.random() < 0.1
    sold_at = dt.datetime.combine(day, dt.time()) - dt.timedelta(seconds=dice.randint(-86_399, 5 * 86_400))
    line = {
        "InvoiceNo": f"C{number}" if cancelled else str(number),
        "StockCode": dice.choice((*CODES, str(dice.randint(10_000, 10_300)))),
        "Description": dice.choice(DESCRIPTIONS),
        "Quantity": str(-pieces if cancelled else pieces),
        "InvoiceDate": f"{sold_at:%Y-%m-%d %H:%M:%S}",
        "UnitPrice": dice.choice(("0", "2.55", "1.005", f"{dice.uniform(0, 20):.2f}", f"{dice.random():.6f}")),
        "CustomerID": "" if dice.random() < 0.3 else f"{dice.randint(12_346, 12_400)}.0",
        "Country": dice.choice(COUNTRIES),
    }
    if dice.random() < 0.08:
        column = dice.choice(list(BAD))
        line[column] = dice.choice(BAD[column])
    seen.append(line)
    return line


def _columns(dice: random.Random, number: int, *, drift: bool) -> list[str]:
    columns = list(COLUMNS)
    if drift and number:
        match number % 3:
            case 0:
                columns.append("Channel")
            case 1:
                columns.remove("CustomerID")
            case _:
                columns.remove("Description")
    if number % 2:
        dice.shuffle(columns)
    return columns


def _csv(dice: random.Random, columns: list[str], rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        fields = [row.get(column, "web") for column in columns]
        writer.writerow(fields[:-2] if dice.random() < 0.01 else fields)
        if dice.random() < 0.005:
            text.write("\n")
    return text.getvalue().encode()
