"""What the demo's shop says of its customers: for each file of invoices one of changes, of customers that are in it."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import random
from pathlib import Path

FOLDER = "customer_changes"
COLUMNS = ("CustomerID", "Segment", "OptIn", "ChangedAt")
SEGMENTS = ("home", "wholesale", "business")

CHANGED, LATE = 0.4, 0.3  # shares of a file's customers, and of their changes

_MOST_LATE = 3 * 24 * 60  # minutes


def changes_file(name: str, invoices: bytes) -> bytes:
    """Return the changes that come with a file of invoices: the same for the same name and content.

    Of the customers in it some have changed: shortly before their first line, or up to three days before, which is
    late: their sales of these days are known already.
    """
    dice = random.Random(name)  # noqa: S311  # to repeat, not to hide
    first: dict[str, dt.datetime] = {}
    for line in csv.DictReader(io.StringIO(_text(invoices))):
        if customer := line["CustomerID"].strip():
            sold = dt.datetime.fromisoformat(line["InvoiceDate"])
            first[customer] = min(sold, first.get(customer, sold))
    lines = []
    for customer, sold in sorted(first.items()):
        changed, late = dice.random() < CHANGED, dice.random() < LATE
        before = dt.timedelta(minutes=dice.randint(1, _MOST_LATE if late else 30))
        said = (dice.choice(SEGMENTS), dice.choice(("true", "false")))
        if changed:
            lines.append((customer, *said, f"{sold - before:%Y-%m-%d %H:%M:%S}"))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *lines])
    return text.getvalue().encode()


def changes_path(landing: Path, name: str) -> Path:
    """Return where the changes land that come with a file of invoices."""
    return landing / FOLDER / name.removesuffix(".gz")


def _text(invoices: bytes) -> str:
    packed = invoices.startswith(b"\x1f\x8b")
    return (gzip.decompress(invoices) if packed else invoices).decode()
