"""Functions in plain Python and in pandas run on Python workers, which find the pipeline's own modules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_PRICES = """\
def in_cents(amount):
    return (amount.astype("float64") * 100).round().astype("int64")

def shouted(text):
    return text.upper() + "!"
"""
_TABLES = """\
import pandas as pd
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType
from kappa_assets import LINEAGE, Files, bronze, expect, gold, silver
from {prices} import in_cents, shouted

RATE = 3
orders = bronze("orders", source=Files("orders", format="csv", header=True))

@F.udf(StringType())
def shout(text):
    return None if text is None else shouted(text)

@F.pandas_udf(LongType())
def tripled(amount: pd.Series) -> pd.Series:
    return in_cents(amount) * RATE

@silver(expect=[expect("has_customer", "customer IS NOT NULL")])
def sales(orders):
    return orders.select(shout("customer").alias("customer"), tripled("amount").alias("cents"), *LINEAGE)

@gold(keys=["customer"], combine={{"cents": "sum"}})
def spending(sales):
    return sales.groupBy("customer").agg(F.sum("cents").alias("cents"))
"""


@pytest.mark.parametrize("package", [False, True], ids=["a lone file", "a file in a package"])
def test_functions_in_python_and_pandas_run_in_a_drain(tmp_path: Path, package: bool) -> None:  # noqa: FBT001
    shop, landing = tmp_path / "code" / "shop", tmp_path / "landing" / "orders"
    shop.mkdir(parents=True)
    landing.mkdir(parents=True)
    if package:
        (shop / "__init__.py").touch()
    (shop / "prices.py").write_text(_PRICES)
    (shop / "tables.py").write_text(_TABLES.format(prices=".prices" if package else "prices"))
    lines = [("ada", "1.50"), ("bob", "2.00"), ("ada", "0.25"), ("", "9.00"), ("cleo", "0.07")]
    (landing / "orders.csv").write_text("customer,amount\n" + "".join(f"{c},{a}\n" for c, a in lines))

    _kappa(tmp_path, "drain")
    expected: Counter[str] = Counter()
    for customer, amount in lines:
        if customer:
            expected[f"{customer.upper()}!"] += round(float(amount) * 100) * 3
    found = json.loads(_kappa(tmp_path, "show", "gold.spending", "--json"))
    assert {row["customer"]: row["cents"] for row in found} == expected


def _kappa(folder: Path, command: str, *arguments: str) -> str:
    where = ["--pipeline", "code/shop/tables.py", "--lake", str(folder / "lake")]
    where += ["--landing", str(folder / "landing")] if command == "drain" else []
    called = [sys.executable, "-m", "kappa_assets.cli", command, *arguments, *where]
    done = subprocess.run(called, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
