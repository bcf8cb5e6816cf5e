"""Small batches written through Arrow are, for every reader, what Spark's own writer would have written."""

from __future__ import annotations

import datetime as dt
import glob
import json
import math
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql.pandas.types import from_arrow_schema

from kappa_assets.place.local.delta_write.file_stats import file_stats
from kappa_assets.place.local.delta_write.parquet_files import write_apart, write_files
from kappa_assets.place.local.delta_write.small_files import fetch_small
from kappa_assets.place.local.upkeep.merge_files import merge_files
from kappa_assets_tests.place.delta_write.both_writers import (
    EVERY_TYPE,
    ROWS,
    Sides,
    counted,
    same_for_every_reader,
    table_of,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_folders = count()


@settings(max_examples=15, phases=[Phase.generate])  # to shrink what fails takes minutes
@given(st.lists(ROWS, max_size=6))
def test_rows_of_every_type_read_back_as_they_were_and_as_spark_writes_them(
    spark: SparkSession, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    source = table_of(rows)
    frame = spark.createDataFrame(source, from_arrow_schema(EVERY_TYPE, prefer_timestamp_ntz=True))
    sides = Sides(spark, tmp_path / str(next(_folders)), frame, "part")
    same_for_every_reader(sides, counted(source, source.column_names))
    merged_value_for_value(sides)


def merged_value_for_value(sides: Sides) -> None:
    """Assert that our file and Spark's of each partition, merged, hold the rows of both, with the bounds of each."""
    for ours in sides.ours.rglob("part=*/*.parquet"):
        (theirs,) = sides.theirs.rglob(f"{glob.escape(ours.parent.name)}/*.parquet")
        into = ours.with_name("merged.parquet")
        assert merge_files([ours, theirs], into) == 2 * file_stats(ours)[0]
        once, merged = (json.loads(file_stats(path)[1]) for path in (ours, into))
        assert all(merged[bound] == once[bound] for bound in ("minValues", "maxValues"))
        assert merged["nullCount"] == doubled(once["nullCount"])
        rows, both = (pq.ParquetFile(path).read() for path in (ours, into))
        assert counted(both, both.column_names) == counted(rows, rows.column_names) + counted(rows, rows.column_names)


def doubled(counts: Any) -> Any:
    return {k: doubled(v) for k, v in counts.items()} if isinstance(counts, dict) else 2 * counts


SPECIAL = ["a b", "50%", "%20", "a=b", "a/b", "x:y", "ü茶", "#?*", "it's", 'a"b', "a+b", "a\\b", "{x}[1]", ".", None]


def test_partition_values_with_any_character_and_null_read_back_as_they_were(
    spark: SparkSession, tmp_path: Path
) -> None:
    source = pa.table({"n": pa.array(range(len(SPECIAL)), pa.int64()), "part": pa.array(SPECIAL, pa.string())})
    sides = Sides(spark, tmp_path, spark.createDataFrame(source), "part")
    same_for_every_reader(sides, counted(source, ["n", "part"]))
    read = spark.read.format("delta").load(str(sides.ours))
    for number, value in enumerate(SPECIAL):
        condition = read.part.isNull() if value is None else read.part == value
        assert [r.n for r in read.where(condition).collect()] == [number], value


@pytest.mark.parametrize("parts", [(), ("part",), ("day", "part"), ("flag", "day", "part")])
def test_rows_go_to_the_same_partitions_as_spark_puts_them(
    spark: SparkSession, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    days = [dt.date(2026, 1, 1), None, dt.date(1969, 12, 31)]
    values = [(n, days[n % 3], "ab"[n % 2], (True, False, None)[n // 2 % 3]) for n in range(12)]
    columns = zip(*values, strict=True)
    source = pa.table(dict(zip(("n", "day", "part", "flag"), (pa.array(c) for c in columns), strict=True)))
    sides = Sides(spark, tmp_path, spark.createDataFrame(source), *parts)
    same_for_every_reader(sides, counted(source, source.column_names))


def test_no_rows_are_no_files(spark: SparkSession, tmp_path: Path) -> None:
    for parts in ((), ("part",)):
        sides = Sides(spark, tmp_path / str(len(parts)), spark.createDataFrame([], "n long, part string"), *parts)
        same_for_every_reader(sides, Counter())
        assert DeltaTable(sides.ours).file_uris() == []


def test_spark_finds_the_rows_that_have_no_number(spark: SparkSession, tmp_path: Path) -> None:
    """For Spark nan is greater than any number: a greatest value that leaves it out would hide the file."""
    source = pa.table({"n": [1, 2, 3], "x": [0.5, math.nan, -1.5], "in": [{"x": math.nan}, {"x": 1.0}, None]})
    sides = Sides(spark, tmp_path, spark.createDataFrame(source))
    for folder in (sides.ours, sides.theirs):
        read = spark.read.format("delta").load(str(folder))
        assert [r.n for r in read.where("x > 100").collect()] == [2], folder
        assert [r.n for r in read.where("in.x > 100").collect()] == [1], folder


@pytest.mark.parametrize(
    "column",
    [
        "parse_json('{\"a\": 1}')",
        "array(parse_json('1'))",
        "INTERVAL '1' DAY",
        "named_struct('x', INTERVAL '2' MONTH)",
        "map('k', INTERVAL '2' HOUR)",
    ],
)
def test_a_type_that_arrow_has_no_equal_of_is_left_to_sparks_writer(
    spark: SparkSession, tmp_path: Path, column: str
) -> None:
    rows = spark.sql(f"SELECT id, {column} AS v FROM range(3)")
    assert fetch_small(rows) is None
    files = write_files(rows.coalesce(1), tmp_path, small=True)
    assert files.rows == 3
    assert spark.read.parquet(str(tmp_path / "data" / "*")).schema.simpleString() == rows.schema.simpleString()


def test_a_batch_that_fails_for_another_reason_fails(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(3).selectExpr("id", "IF(id = 2, raise_error('no such customer'), 'x') AS v")
    with pytest.raises(Exception, match="no such customer"):
        write_files(rows, tmp_path, small=True)


@pytest.mark.parametrize("small", [True, False])
def test_flagged_rows_are_kept_apart_and_counted(spark: SparkSession, tmp_path: Path, small: bool) -> None:  # noqa: FBT001
    rows = spark.sql("SELECT id, id % 3 = 0 AS bad, DATE'2026-01-01' + CAST(id % 2 AS INT) AS day FROM range(10)")
    files, apart = write_apart(rows, tmp_path, "bad", ("day",), small=small)
    good = [r.id for r in spark.read.parquet(*[str(tmp_path / a.path) for a in files.actions]).collect()]
    bad = [r.id for r in spark.read.parquet(*map(str, apart)).collect()]
    assert (sorted(good), sorted(bad)) == ([1, 2, 4, 5, 7, 8], [0, 3, 6, 9])
    assert files.rows == 6
    assert {tuple(a.partition_values) for a in files.actions} == {("day",)}
