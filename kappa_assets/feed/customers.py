"""What the demo's database says of customers: for each file of invoices one of changes, of customers that are in it.

They are told as Debezium tells them of Postgres, an envelope a line.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = "customer_changes"
SEGMENTS = ("home", "wholesale", "business")

CHANGED, LATE = 0.4, 0.3  # shares of a file's customers, and of their changes
DELETED = 0.05
"""Share of the changes after which the shop knows nothing of a customer any more."""

_MOST_LATE = 3 * 24 * 60  # minutes


def changes_file(name: str, invoices: bytes) -> bytes:
    """Return the changes that come with a file of invoices: the same for the same name and content.

    Of the customers in it some have changed: shortly before their first line, or up to three days before, which is
    late: their sales of these days are known already.
    """
    told = changes_of(name, csv.DictReader(io.StringIO(_text(invoices))))
    return "".join(f"{to_json(change)}\n" for _, change in told).encode()


def changes_of(name: str, lines: Iterable[Mapping[str, str]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the changes that come with lines of invoices, each with its customer: as `changes_file` has them."""
    dice = random.Random(name)  # noqa: S311  # to repeat, not to hide
    first: dict[str, dt.datetime] = {}
    for line in lines:
        if customer := line["CustomerID"].strip():
            sold = dt.datetime.fromisoformat(line["InvoiceDate"])
            first[customer] = min(sold, first.get(customer, sold))
    changes = []
    for customer, sold in sorted(first.items()):
        changed, late = dice.random() < CHANGED, dice.random() < LATE
        before = dt.timedelta(minutes=dice.randint(1, _MOST_LATE if late else 30))
        said = {"segment": dice.choice(SEGMENTS), "opt_in": dice.choice((True, False))}
        deleted = dice.random() < DELETED
        if changed:
            known_as = customer.removesuffix(".0")
            changes.append((known_as, _envelope(known_as, None if deleted else said, sold - before)))
    return changes


def to_json(document: Mapping[str, Any]) -> str:
    """Return a document on one line."""
    return json.dumps(document, separators=(",", ":"))


def changes_path(landing: Path, name: str) -> Path:
    """Return where the changes land that come with a file of invoices."""
    return landing / FOLDER / f"{name.partition('.')[0]}.json"


def _envelope(customer: str, said: dict[str, Any] | None, at: dt.datetime) -> dict[str, Any]:
    """Return what is told of one change; None: that the customer was deleted."""
    micros = int(at.replace(tzinfo=dt.UTC).timestamp() * 1_000_000)
    source = {"connector": "postgresql", "table": "customers", "ts_us": micros, "ts_ms": micros // 1_000, "lsn": micros}
    told: dict[str, Any] = {"before": None, "after": None, "source": source, "op": "d" if said is None else "u"}
    told |= {"before": {"id": customer}} if said is None else {"after": {"id": customer} | said}
    return told | {"ts_ms": micros // 1_000}


def _text(invoices: bytes) -> str:
    packed = invoices.startswith(b"\x1f\x8b")
    return (gzip.decompress(invoices) if packed else invoices).decode()
