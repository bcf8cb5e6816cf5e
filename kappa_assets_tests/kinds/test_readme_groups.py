"""README's Golds with groups: each is taken, and gives what README says of it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets.declare.tables import Gold
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets_tests.readme import pipeline_of_readme

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets import Pipeline

_TAPE = "_batch_id long, _row long, _arrived_at timestamp, _arrival_date date"
_NINE, _DAY = dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC), dt.date(2026, 1, 5)
_ORDERS = [  # customer, city, item, at, amount
    ("anna", "Oslo", "pen", "2026-01-05 09:00:00", "1.00"),
    ("anna", "Rome", "ink", "2026-01-05 09:20:00", "2.00"),
    ("anna", "Rome", "pen", "2026-01-05 11:00:00", "1.00"),
    ("bob", None, "pen", "2026-01-05 09:00:00", "5.00"),
    ("anna", "Rome", "cup", "2026-01-05 11:10:00", "4.00"),
]


def _shop(folder: Path) -> Pipeline:
    return pipeline_of_readme(folder, "by=[")


def _rows(frame: DataFrame) -> set[tuple[object, ...]]:
    return {tuple(row) for row in frame.collect()}


def test_the_golds_of_readme_keep_customers_apart_and_hold_what_it_says(spark: SparkSession, tmp_path: Path) -> None:
    shop = _shop(tmp_path)
    schema = f"customer string, city string, item string, at string, amount string, {_TAPE}"
    orders = spark.createDataFrame([(*o, 0, n, _NINE, _DAY) for n, o in enumerate(_ORDERS)], schema)
    silver = next(table for table in shop.derived if not isinstance(table, Gold))
    purchases = kind_of(silver).check(silver, orders).rows
    empty = spark.createDataFrame([], purchases.schema)
    golds = {str(table.name): table for table in shop.derived if isinstance(table, Gold)}
    verdicts = [kind_of(table).check(table, empty).groups for table in golds.values()]
    assert [verdict and verdict.by for verdict in verdicts] == [("customer",)] * len(golds)

    def at(hour: int, minute: int = 0) -> dt.datetime:
        return dt.datetime(2026, 1, 5, hour, minute, tzinfo=dt.UTC).astimezone().replace(tzinfo=None)

    assert _rows(golds["gold.sessions"](purchases)) == {("anna", at(9), 2), ("anna", at(11), 2), ("bob", at(9), 1)}
    assert _rows(golds["gold.addresses"](purchases)) == {
        ("anna", 1, "Oslo", at(9), at(9, 20)),
        ("anna", 2, "Rome", at(9, 20), None),
        ("bob", 1, None, at(9), None),
    }
    assert {row[:3] for row in _rows(golds["gold.largest"](purchases))} == {
        ("anna", 1, "cup"),
        ("anna", 2, "ink"),
        ("anna", 3, "pen"),
        ("bob", 1, "pen"),
    }
    assert {(row[0], row[1], row[3]) for row in _rows(golds["gold.shares"](purchases))} == {
        ("anna", "pen", Decimal("25.00")),
        ("anna", "ink", Decimal("25.00")),
        ("anna", "cup", Decimal("50.00")),
        ("bob", "pen", Decimal("100.00")),
    }
