"""What a read opens is told by the files that it opens: of all rows, of some groups, of a version of an upstream."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pyarrow as pa
from pyspark.sql.types import StringType, StructField, StructType

from kappa_assets.place.change import Groups, Scan
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import describe_files
from kappa_assets.place.local.delta_write.small_files import write_part
from kappa_assets.place.local.key_order.extents import that_may_hold
from kappa_assets.place.local.key_order.key_order import KeyOrder
from kappa_assets.place.local.local_table import LocalTable
from kappa_assets.place.local.pinned import Pinned, scan_pinned

SCHEMA = StructType([StructField("k", StringType())])
FILES = {f"data/{name}.parquet": [f"{name}{n}" for n in range(10)] for name in "abcdef"}


def table_of(folder: Path) -> DeltaWriter:
    """Return a table of six files, of ten keys each."""
    writer = DeltaWriter("t", folder)
    writer.prepare(SCHEMA)
    (folder / "data").mkdir()
    for path, values in FILES.items():
        write_part(pa.table({"k": pa.array(values, pa.string())}), folder / path)
    writer.commit(describe_files(folder, FILES, ()), Once("a", 1), "")
    return writer


def bytes_of(folder: Path, *names: str) -> int:
    return sum((folder / "data" / f"{name}.parquet").stat().st_size for name in names)


def opened(spark: MagicMock) -> list[str]:
    """Return the files that Spark was asked to read, by their last name."""
    asked = [args for name, args, _ in spark.mock_calls if name.endswith(".parquet")]
    return [Path(path).stem for args in asked for path in args]


def test_scans_add_up_and_what_one_of_them_does_not_know_no_sum_does() -> None:
    assert Scan(1, 10, 100) + Scan(2, 20, 200) == Scan(3, 30, 300)
    assert Scan(1, None, 100) + Scan(2, 20, 200) == Scan(3, None, 300)
    assert Scan.all_of() == Scan(0, 0, 0)
    assert Scan.all_of(Scan(1, 10, 100), Scan(2, 20, 200)) == Scan(3, 30, 300)
    assert Scan.all_of(Scan(1, 10, 100), None) is None


def test_rows_are_known_where_the_log_tells_of_each_file() -> None:
    assert Scan.of(pa.table({"size_bytes": [5, 7], "num_records": [1, 2]})) == Scan(2, 3, 12)
    assert Scan.of(pa.table({"size_bytes": [5, 7], "num_records": [1, None]})) == Scan(2, None, 12)
    assert Scan.of(pa.table({"size_bytes": [5, 7]})) == Scan(2, None, 12)


def test_all_rows_open_all_files(tmp_path: Path) -> None:
    spark: Any = MagicMock()
    _, scan = LocalTable(table_of(tmp_path)).scan(spark, SCHEMA)
    assert sorted(opened(spark)) == list("abcdef")
    assert scan == Scan(6, 60, bytes_of(tmp_path, *"abcdef"))


def test_few_groups_open_the_files_that_may_hold_one(tmp_path: Path) -> None:
    spark: Any = MagicMock()
    order = KeyOrder(table_of(tmp_path), ("k",))
    part = order.part_of(Groups(("k",), pa.table({"k": ["b3", "e9"]})))
    order.rows_of(spark, part, SCHEMA)
    assert sorted(opened(spark)) == ["b", "e"]
    assert part.scan == Scan(2, 20, bytes_of(tmp_path, "b", "e"))


def test_a_version_of_an_upstream_opens_its_files_whatever_was_committed_since(tmp_path: Path) -> None:
    writer, spark = table_of(tmp_path), MagicMock()
    before = writer.version()
    write_part(pa.table({"k": ["g0"]}), tmp_path / "data/g.parquet")
    writer.commit(describe_files(tmp_path, ["data/g.parquet"], ()), Once("a", 2), "")
    found: Pinned = scan_pinned(spark, tmp_path, before)
    assert (found.version, found.scan) == (before, Scan(6, 60, bytes_of(tmp_path, *"abcdef")))
    assert sorted(opened(spark)) == list("abcdef")


def test_of_a_version_the_files_are_left_out_that_can_hold_no_group(tmp_path: Path) -> None:
    writer, spark = table_of(tmp_path), MagicMock()
    groups = Groups(("k",), pa.table({"k": ["b3", "e9", "zz"]}))
    found = scan_pinned(spark, tmp_path, writer.version(), groups)
    assert sorted(opened(spark)) == ["b", "e"]
    assert found.scan == Scan(2, 20, bytes_of(tmp_path, "b", "e"))
    none = scan_pinned(MagicMock(), tmp_path, writer.version(), Groups(("k",), pa.table({"k": ["zz"]})))
    assert none.scan is not None
    assert none.scan.files == 1, "one stays, to tell the columns"


def listed(**columns: Any) -> pa.Table:
    """Return files as a log tells them, one for each value."""
    count = len(next(iter(columns.values())))
    plain = {"path": [*"abcdefgh"[:count]], "size_bytes": [1] * count, "num_records": [5] * count}
    return pa.table({**plain, **{name.replace("_of_", "."): values for name, values in columns.items()}})


def holding(files: pa.Table, **groups: Any) -> list[str]:
    return that_may_hold(files, Groups(tuple(groups), pa.table(groups)))


def test_every_column_of_a_group_tells_and_what_is_not_told_may_be_anywhere() -> None:
    files = listed(min_of_k=[1, 5, None], max_of_k=[4, 9, None], null_count_of_k=[0, 1, None])
    assert holding(files, k=[4]) == ["a", "c"]
    assert holding(files, k=pa.array([None], pa.int64())) == ["b", "c"]
    assert holding(files, k=[10]) == ["c"]
    assert holding(files, k=[4, 5], other=["x", "y"]) == ["a", "b", "c"]
    assert holding(files, k=["4"]) == ["a", "b", "c"], "bounds of another type"
    assert holding(files, k=[4.0]) == ["a", "b", "c"], "nan is outside of all bounds"
    both = files.append_column("min.day", [["m", "m", "m"]]).append_column("max.day", [["n", "n", "n"]])
    assert holding(both, k=[4], day=["o"]) == []


def test_partitions_tell_as_bounds_do() -> None:
    days = pa.array([dt.date(2026, 1, 1), dt.date(2026, 1, 2), None])
    files = listed(partition_of_day=days)
    assert holding(files, day=[dt.date(2026, 1, 2)]) == ["b"]
    assert holding(files, day=pa.array([None], pa.date32())) == ["c"]


def test_bounds_of_times_that_are_cut_to_milliseconds_hide_nothing() -> None:
    at = dt.datetime(2026, 1, 1, 12, 0, 0, 5_000, dt.UTC)
    files = listed(min_of_at=[at], max_of_at=[at])
    assert holding(files, at=[at + dt.timedelta(microseconds=999)]) == ["a"]
    assert holding(files, at=[at + dt.timedelta(milliseconds=1)]) == []
