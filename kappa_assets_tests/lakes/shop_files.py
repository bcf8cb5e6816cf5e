"""What lands in the shop of the kept lakes, and what its tables hold once it did: computed in plain Python."""

from __future__ import annotations

import csv
import datetime as dt
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

COLUMNS = ("order_id", "customer", "item", "quantity", "price")
_CUSTOMERS, _ITEMS = ("ann", "bo", "cyd", "dee", ""), ("mug", "pen", "cap", "bag", "jar")


def land(landing: Path, name: str, seed: int, *, lines: int = 12) -> Path:
    """Write a file of orders, the same for the same arguments; the last line but one cannot be priced."""
    dice = random.Random(seed)
    rows = [_line(dice, seed, number) for number in range(lines)]
    rows[-2][COLUMNS.index("quantity")] = "six"
    text = "\n".join(",".join(row) for row in ([*COLUMNS], *rows)) + "\n"
    return _write(landing / "orders" / name, text.encode())


def land_no_text(landing: Path, name: str) -> Path:
    """Write a file that is no UTF-8: it is set aside whole."""
    return _write(landing / "orders" / name, ",".join(COLUMNS).encode() + b"\no1,J\xf6rg,mug,1,2.00\n")


def _line(dice: random.Random, seed: int, number: int) -> list[str]:
    pieces = dice.randint(1, 9) * (-1 if dice.random() < 0.2 else 1)
    price = f"{dice.randint(0, 20)}.{dice.randint(0, 99):02d}"
    return [f"o{seed}-{number // 3}", dice.choice(_CUSTOMERS), dice.choice(_ITEMS), str(pieces), price]


def _write(path: Path, content: bytes) -> Path:
    """Write it at noon of the day in its name, to the second: a tar holds no finer times exactly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    noon = dt.datetime.combine(dt.date.fromisoformat(path.name[:10]), dt.time(12), dt.UTC).timestamp()
    os.utime(path, (noon, noon))
    return path


Row = tuple[Any, ...]


@dataclass(frozen=True)
class Expected:
    """The rows that the tables should hold, and how many were rejected, by reason."""

    sales: Counter[Row]
    spending: Counter[Row]
    customers: Counter[Row]
    top_items: Counter[Row]
    rejected: Counter[str]
    set_aside: set[str]


def expected(files: Iterable[Path]) -> Expected:
    """Return what the tables hold once exactly these files have landed."""
    sales: list[Row] = []
    rejected: Counter[str] = Counter()
    aside: set[str] = set()
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            aside.add(file.name)
            continue
        for line in csv.DictReader(lines):
            if line["quantity"] == "six":
                rejected["has_amount"] += 1
                continue
            pieces = int(line["quantity"])
            amount = pieces * Decimal(line["price"])
            sales.append((line["order_id"], line["customer"] or None, line["item"], pieces, amount))
    return Expected(Counter(sales), *_golds(sales), rejected, aside)


def _golds(sales: list[Row]) -> tuple[Counter[Row], Counter[Row], Counter[Row]]:
    of: defaultdict[str | None, list[Row]] = defaultdict(list)
    brought: Counter[str] = Counter()
    for sale in sales:
        of[sale[1]].append(sale)
        brought[sale[2]] += sale[4]
    spending = [(who, sum(s[4] for s in mine), len(mine)) for who, mine in of.items()]
    customers = [(who, len({s[0] for s in mine}), max(s[4] for s in mine)) for who, mine in of.items()]
    best = sorted(brought.items(), key=lambda item: (-item[1], item[0]))[:3]
    return Counter(spending), Counter(customers), Counter((n, *item) for n, item in enumerate(best, 1))
