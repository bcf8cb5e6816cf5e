"""README's joined tables and chains: each is taken, and gives what README says of it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets import TableName
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets_tests.readme import pipeline_of_readme

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TAPE = "_batch_id long, _row long, _arrived_at timestamp, _arrival_date date"
_NOON, _DAY = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC), dt.date(2026, 1, 5)


def test_the_joins_of_readme_are_taken_and_give_what_it_says(spark: SparkSession, tmp_path: Path) -> None:
    shop = pipeline_of_readme(tmp_path, "by={")
    of_tapes = {
        "bronze.orders": _tape(
            spark,
            "sale_id string, customer string, at string, amount string",
            [
                ("s1", "anna", "2026-01-05 09:00:00", "1.00"),
                ("s2", "anna", "2026-01-05 11:00:00", "2.00"),
                ("s3", "bob", "2026-01-05 10:00:00", "4.00"),
            ],
        ),
        "bronze.moves": _tape(
            spark,
            "customer string, segment string, since string",
            [("anna", "iron", "2026-01-05 08:00:00"), ("anna", "gold", "2026-01-05 10:00:00")],
        ),
    }
    held: dict[TableName, DataFrame] = {TableName.parse(name): rows for name, rows in of_tapes.items()}
    groups = {}
    for table in shop.derived:
        above = [held[name] for name in shop.upstreams[table.name]]
        answer = kind_of(table).check(table, *[spark.createDataFrame([], rows.schema) for rows in above])
        groups[table.name.name] = None if answer.groups is None else answer.groups.by
        held[table.name] = table(*above)
    assert groups["priced_sales"] == groups["first_sales"] == ("customer",)

    def rows(name: str) -> set[tuple[object, ...]]:
        return {tuple(row) for row in held[TableName.parse(name)].collect()}

    assert {(sale, segment) for sale, _, _, segment in rows("silver.priced_sales")} == {
        ("s1", "iron"),
        ("s2", "gold"),
        ("s3", None),
    }
    assert {row[0] for row in rows("silver.first_sales")} == {"s1", "s3"}
    best = {("iron", Decimal("1.00")), ("gold", Decimal("2.00")), (None, Decimal("4.00"))}
    assert rows("gold.segment_revenue") == rows("gold.best_segments") == best


def _tape(spark: SparkSession, columns: str, rows: list[tuple[str, ...]]) -> DataFrame:
    placed = [(*row, 0, number, _NOON, _DAY) for number, row in enumerate(rows)]
    return spark.createDataFrame(placed, f"{columns}, {_TAPE}")
