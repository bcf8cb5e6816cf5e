"""Spark skips our files by their bounds, and finds every value by them, whatever it is."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import write_files
from kappa_assets.place.local.upkeep.compaction import compact, small_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ODD = {
    "at": (
        "TIMESTAMP'9999-12-31 23:59:59.999999'",
        "timestamp_micros(575000000000000000)",
        "timestamp_micros(-62135596800000001)",
        "TIMESTAMP'1969-12-31 23:59:59.999999'",
    ),
    "clock": (
        "TIMESTAMP_NTZ'9999-12-31 23:59:59.999999'",
        "TIMESTAMP_NTZ'+20226-01-05 00:00:00'",
        "TIMESTAMP_NTZ'0000-01-01 00:00:00'",
        "TIMESTAMP_NTZ'0001-01-01 00:00:00'",
    ),
    "day": ("DATE'+20226-01-05'", "DATE'-0001-11-30'", "DATE'0000-01-01'", "DATE'9999-12-31'"),
    "text": (
        "CAST(X'54726F6D73F8' AS STRING)",
        "CAST(X'FF' AS STRING)",
        "concat(repeat('a', 32), CAST(X'FF' AS STRING))",
        "'a\u2028b'",
    ),
    "x": ("double('nan')", "double('infinity')", "double('-infinity')", "-0.0D"),
    "f": ("float('nan')", "3.4028234E38F", "float('-infinity')", "1.4E-45F"),
    "exact": tuple(f"CAST({n} AS DECIMAL(38, 0))" for n in (f"-{'9' * 38}BD", "1BD", "0BD", f"{'9' * 38}BD")),
    "raw": ("X'FF'", "X'00'", "X''", "X'FFFF'"),
}
"""By column: a value for each of four files."""
TEXTS = [
    "text > 'Troms' AND text < 'Tromt'",
    "text > 'b'",
    "text > repeat('a', 32) AND text < 'ab'",
    "text = 'a\u2028b'",
]
"""How each text is asked for. A constant that is no UTF-8 Spark itself does not find: it makes a Java string of it to
skip row groups."""


def scanned(rows: DataFrame) -> tuple[int, int]:
    """Return how many files Spark opened to read `rows`, by its scan's own count, and how many rows there are."""
    bare = rows.selectExpr("1")  # Python has no equal of some values
    found = len(bare.collect())
    leaves = bare._jdf.queryExecution().executedPlan().collectLeaves()
    metrics = [leaves.apply(n).metrics() for n in range(leaves.size())]
    return sum(m.apply("numFiles").value() for m in metrics if m.contains("numFiles")), found


def test_spark_opens_only_the_files_whose_bounds_hold_what_is_asked_for(spark: SparkSession, tmp_path: Path) -> None:
    writer = DeltaWriter("silver.t", tmp_path / "t", partition_by=("_arrival_date",))
    for batch in range(3):
        rows = spark.range(batch * 10, batch * 10 + 10).selectExpr(
            "id", "CAST(id AS DECIMAL(12,4)) d", f"DATE'2026-01-0{batch + 1}' AS _arrival_date"
        )
        writer.prepare(rows.schema)
        writer.commit(write_files(rows.coalesce(1), writer.folder, writer.partition_by), Once("app", batch), "{}")
    table = spark.read.format("delta").load(str(writer.folder))
    asked = {"true": (3, 30), "id = 15": (1, 1), "d >= 25": (1, 5), "id < 12": (2, 12), "id BETWEEN 8 AND 11": (2, 4)}
    assert {condition: scanned(table.where(condition)) for condition in asked} == asked


@pytest.mark.parametrize("small", [True, False], ids=["arrow", "spark"])
def test_spark_finds_each_odd_value_in_small_files_and_in_the_one_that_they_are_merged_into(
    spark: SparkSession,
    tmp_path: Path,
    small: bool,  # noqa: FBT001
) -> None:
    writer = DeltaWriter("silver.t", tmp_path / "t")
    for batch, values in enumerate(zip(*ODD.values(), strict=True)):
        odd = ", ".join(f"{value} AS {name}" for name, value in zip(ODD, values, strict=True))
        rows = spark.sql(f"SELECT {batch} AS n, 1 AS `a.c`, named_struct('b', {batch}, 'x', double('nan')) AS a, {odd}")
        writer.prepare(rows.schema)
        writer.commit(write_files(rows.coalesce(1), writer.folder, small=small), Once("app", batch), "{}")
    each_is_found(spark, writer.folder, files=4)
    (all_four,) = small_files("silver.t", writer.folder, before=dt.date(2026, 1, 1))
    assert compact(all_four)
    each_is_found(spark, writer.folder, files=1)


def each_is_found(spark: SparkSession, folder: Path, *, files: int) -> None:
    table = spark.read.format("delta").load(str(folder))
    exact = {name: [f"{name} >= {value} AND {name} <= {value}" for value in values] for name, values in ODD.items()}
    conditions = [(condition, n) for asked in (exact | {"text": TEXTS}).values() for n, condition in enumerate(asked)]
    # One job instead of 32: each branch is planned, and its files skipped, by itself.
    branches = [table.where(condition).selectExpr(f"{i} AS asked", "n") for i, (condition, _) in enumerate(conditions)]
    union = branches[0]
    for branch in branches[1:]:
        union = union.union(branch)
    found = {(conditions[r.asked][0], r.n) for r in union.collect()}
    assert found == set(conditions)
    assert scanned(table.where("`a.c` = 1")) == (files, 4)
    assert scanned(table.where("a.b = 2")) == (1, 1)
    assert scanned(table.where("n = 3")) == (1, 1)
    # Delta keeps a file of which it lacks a bound that is asked for, whatever the others say.
    assert scanned(table.where("x > 1000 AND n = 0"))[1] == 1
    assert scanned(table.where("a.x > 1000")) == (files, 4)
