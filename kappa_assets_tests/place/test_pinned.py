"""A table is read as it was at one version: from its files where they tell it whole, and through Delta where not."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from kappa_assets.place.local.pinned import read_pinned, scan_pinned

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = dt.date(2026, 1, 5)
Row = tuple[str | None, object, int]


def write(table: Path, rows: list[Row], kind: pa.DataType | None = None) -> None:
    """Append rows (a text, the partition, a number)."""
    note, part, units = zip(*rows, strict=True)
    columns = {"note": pa.array(note, pa.string()), "part_of": pa.array(part, kind), "units": pa.array(units)}
    write_deltalake(table, pa.table(columns), mode="append", partition_by=["part_of"])


def read(spark: SparkSession, table: Path, version: int) -> tuple[list[Row], bool]:
    """Return the rows of a version, in order, and whether they came without Delta."""
    rows, got = read_pinned(spark, table, version)
    assert got == version
    scan = scan_pinned(spark, table, version).scan
    assert scan is not None
    assert scan.files == len(rows.inputFiles())
    assert rows.columns == ["note", "part_of", "units"]
    plan = rows._jdf.queryExecution().analyzed().toString()
    return sorted((tuple(row) for row in rows.collect()), key=str), "regexp_extract" in plan


@pytest.mark.parametrize(
    ("parts", "kind", "how"),
    [
        ((DAY, DAY + dt.timedelta(1)), pa.date32(), "files"),
        ((7, -3), pa.int64(), "files"),
        (("north", "south"), pa.string(), "files"),
        ((DAY, None), pa.date32(), "delta"),
        (("a b", "50%/x=1"), pa.string(), "delta"),
        (("ä", ""), pa.string(), "delta"),
    ],
    ids=["dates", "numbers", "words", "null", "encoded", "odd"],
)
def test_a_version_is_read_whole_and_nothing_of_later_ones(
    spark: SparkSession, tmp_path: Path, parts: tuple[object, object], kind: pa.DataType, how: str
) -> None:
    table = tmp_path / "a lake" / "part_of=never" / "sales"
    one: list[Row] = [("a", parts[0], 1), (None, parts[1], 2)]
    two: list[Row] = [("c", parts[1], 3)]
    write(table, one, kind)
    write(table, two, kind)
    write(table, [("later", parts[0], 99)], kind)
    assert read(spark, table, 1) == (sorted([*one, *two], key=str), how == "files")
    assert read(spark, table, 0) == (sorted(one, key=str), how == "files")


def test_rows_that_were_deleted_inside_a_file_stay_away(spark: SparkSession, tmp_path: Path) -> None:
    table = tmp_path / "sales"
    write(table, [("a", DAY, 1), ("b", DAY, 2), ("c", DAY, 3)])
    spark.sql(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES (delta.enableDeletionVectors = true)")
    spark.sql(f"DELETE FROM delta.`{table}` WHERE units = 2")
    version = DeltaTable(table).version()
    assert read(spark, table, version) == ([("a", DAY, 1), ("c", DAY, 3)], False)


def test_a_column_that_was_renamed_keeps_its_rows(spark: SparkSession, tmp_path: Path) -> None:
    table = tmp_path / "sales"
    write(table, [("a", DAY, 1)])
    spark.sql(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES (delta.columnMapping.mode = 'name')")
    spark.sql(f"ALTER TABLE delta.`{table}` RENAME COLUMN note TO remark")
    spark.sql(f"ALTER TABLE delta.`{table}` RENAME COLUMN remark TO note")
    version = DeltaTable(table).version()
    assert read(spark, table, version)[0] == [("a", DAY, 1)]


def test_a_column_that_came_later_is_null_in_older_files(spark: SparkSession, tmp_path: Path) -> None:
    table = tmp_path / "sales"
    write_deltalake(table, pa.table({"part_of": [DAY], "units": [1]}), partition_by=["part_of"])
    more = pa.table({"note": ["b"], "part_of": [DAY], "units": [2]})
    write_deltalake(table, more, mode="append", schema_mode="merge", partition_by=["part_of"])
    rows, _ = read_pinned(spark, table, 1)
    assert sorted(map(tuple, rows.select("note", "units").collect()), key=str) == [("b", 2), (None, 1)]
