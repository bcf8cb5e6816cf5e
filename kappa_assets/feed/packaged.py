"""The packaged month of real invoices, from which the feed draws, and the invoices that are invented from it."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import random
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

DATA = Path(str(files("kappa_assets.pipelines.retail"))) / "data"
"""The folder of the packaged month, a file a day."""
DATE, PRICE = "InvoiceDate", "UnitPrice"
CANCELLED, REPEATED, BAD_DEBT = 0.05, 0.01, 0.004  # shares of invoices, lines, lines


def packaged_days() -> tuple[dt.date, ...]:
    """Return the days of the packaged month that have a file, in order."""
    return tuple(sorted(dt.date.fromisoformat(p.name.removesuffix(".csv.gz")) for p in DATA.glob("*.csv.gz")))


def packaged(day: dt.date) -> list[list[str]]:
    """Return the lines of a packaged day, its header first."""
    with gzip.open(DATA / f"{day.isoformat()}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def invented_invoice(
    dice: random.Random, header: list[str], known: Sequence[list[str]], number: str, now: dt.datetime
) -> list[list[str]]:
    """Return the lines of one invented invoice of the five minutes before `now`: from 1 to 30.

    As in the real data some invoices are cancellations, some lines are repeated exactly, and rarely one is a bad debt,
    which has a negative price. `known`: the lines of which products and the customer are drawn.
    """
    who = dict(zip(header, dice.choice(known), strict=True))
    cancelled = dice.random() < CANCELLED
    common = {
        "InvoiceNo": f"C{number}" if cancelled else number,
        DATE: f"{now - dt.timedelta(seconds=dice.randint(0, 300)):%Y-%m-%d %H:%M:%S}",
        "CustomerID": who["CustomerID"],
        "Country": who["Country"],
    }
    lines: list[list[str]] = []
    for _ in range(dice.randint(1, 15)):
        product = dict(zip(header, dice.choice(known), strict=True))
        pieces = abs(int(product["Quantity"]))
        line = product | common | {"Quantity": str(-pieces if cancelled else pieces)}
        if dice.random() < BAD_DEBT:
            line |= {"StockCode": "B", "Description": "Adjust bad debt", "Quantity": "1", PRICE: "-11062.06"}
        lines += [[line[column] for column in header]] * (2 if dice.random() < REPEATED else 1)
    return lines
