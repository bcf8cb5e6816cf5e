"""Statistics as Delta itself writes them, and commits that land once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable

from kappa_assets.errors import CommitOvertaken
from kappa_assets.log.delta_log import read_commit
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.file_stats import file_stats
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, write_files
from kappa_assets_tests.place.delta_write.by_hand import log_file

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EVERY_TYPE = """
    SELECT * FROM VALUES
      (1, 2L, 1.5D, 2.5F, 1.2500BD, CAST(-99999999.9999 AS DECIMAL(12,4)), 'b', 'é', DATE'2026-01-05',
       TIMESTAMP'2026-01-05 10:15:30.123456', true, X'00', named_struct('x', 1, 'y', 'in'), array(1, null), map('k', 1),
       CAST(NULL AS INT), CAST(NULL AS STRING), 1Y, 2S),
      (-7, NULL, -0.0D, NULL, NULL, CAST(0.0001 AS DECIMAL(12,4)), repeat('x', 40), repeat('ü', 33), DATE'1969-12-31',
       TIMESTAMP'1969-12-31 23:59:59.999999', NULL, NULL, named_struct('x', NULL, 'y', 'out'), array(), NULL,
       NULL, 'only', NULL, 5S)
    AS t(i, l, d, f, dec, small, s, u, day, at, b, bin, st, arr, m, nothing, one, byte, short)
"""

CUT = ("s", "u", "at")
"""Columns whose greatest value is cut: to 32 characters, and to milliseconds."""


def written(rows: DataFrame, folder: Path) -> dict[str, Any]:
    rows.coalesce(1).write.format("delta").save(str(folder))
    line = next(x for x in log_file(folder, 0).read_text().splitlines() if '"add"' in x)
    add = json.loads(line)["add"]
    return {"path": add["path"], "stats": json.loads(add["stats"])}


def test_statistics_are_what_delta_writes_for_the_same_file(spark: SparkSession, tmp_path: Path) -> None:
    theirs = written(spark.sql(EVERY_TYPE), tmp_path / "t")
    rows, text = file_stats(tmp_path / "t" / theirs["path"])
    ours = json.loads(text)
    expected = {k: v for k, v in theirs["stats"].items() if k != "tightBounds"}
    assert rows == expected["numRecords"] == 2
    for bound in ("minValues", "maxValues"):
        assert set(ours[bound]) <= set(expected[bound])
        for column, value in ours[bound].items():
            if column in CUT and bound == "maxValues":  # Delta's readers know that its bound may lie too low
                assert expected[bound][column] <= value
                assert value[:22] == expected[bound][column][:22]
            else:
                assert value == expected[bound][column], (bound, column)
    for column, value in ours["nullCount"].items():
        assert value == expected["nullCount"][column], column
    assert {"i", "dec", "s", "u", "day", "at", "st"} <= set(ours["minValues"]), "the columns that prune files"


def test_bounds_hold_every_value_to_the_last_digit(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.sql(
        "SELECT TIMESTAMP'2026-01-05 10:15:30.123456' at, 12345678901234567890.123456BD d, repeat('z', 99) s"
    )
    rows.coalesce(1).write.parquet(str(tmp_path / "p"))
    (file,) = (tmp_path / "p").glob("*.parquet")
    text = file_stats(file)[1]
    assert "12345678901234567890.123456" in text, "a float would cut it"
    stats = json.loads(text)
    assert stats["minValues"]["at"] == "2026-01-05T10:15:30.123Z"
    assert stats["maxValues"]["at"] == "2026-01-05T10:15:30.124Z"
    assert stats["minValues"]["s"] <= "z" * 99 < stats["maxValues"]["s"]


def test_a_batch_is_committed_once_however_often_it_is_tried(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(5).toDF("id")
    writer = DeltaWriter("silver.t", tmp_path / "t")
    writer.prepare(rows.schema)
    assert not writer.is_committed("app", 0)
    version = writer.commit(write_files(rows, writer.folder), Once("app", 0), "note")
    assert version == 1
    for again in (writer, DeltaWriter("silver.t", tmp_path / "t")):
        assert again.is_committed("app", 0)
        assert again.commit(write_files(rows, writer.folder), Once("app", 0), "note") is None
    assert writer.commit(NOTHING, Once("other app", 0), "note") == 2
    assert DeltaTable(writer.folder).to_pyarrow_table().num_rows == 5


def test_of_two_writers_the_second_is_refused_and_nothing_of_it_is_visible(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = spark.range(5).toDF("id")
    one, two = (DeltaWriter("silver.t", tmp_path / "t") for _ in range(2))
    one.prepare(rows.schema)
    assert two.exists()
    files = write_files(rows, two.folder)
    stale = DeltaTable(tmp_path / "t")
    one.commit(write_files(rows, one.folder), Once("app", 0), "")
    monkeypatch.setattr(two, "_opened", lambda: stale)  # as it saw it before it was stopped
    with pytest.raises(CommitOvertaken, match=r"somebody else committed to silver\.t"):
        two.commit(files, Once("app", 1), "")
    assert DeltaTable(tmp_path / "t").to_pyarrow_table().num_rows == 5


def test_replacing_leaves_only_the_new_rows_and_reads_as_one_commit(spark: SparkSession, tmp_path: Path) -> None:
    writer = DeltaWriter("gold.t", tmp_path / "t")
    rows = spark.range(5).toDF("id")
    writer.prepare(rows.schema)
    writer.commit(write_files(rows, writer.folder), Once("app", 0), "")
    writer.commit(write_files(spark.range(2).toDF("id"), writer.folder), Once("app", 1), "", replace=True)
    assert DeltaTable(writer.folder).to_pyarrow_table().num_rows == 2
    assert spark.read.format("delta").load(str(writer.folder)).count() == 2
    commit = read_commit(writer.folder, 2)
    assert (commit.adds_data, commit.removes_data) == (True, True)


def test_spark_and_delta_rs_read_the_same_over_many_commits_and_checkpoints(
    spark: SparkSession, tmp_path: Path
) -> None:
    writer = DeltaWriter("silver.t", tmp_path / "t")
    rows = spark.range(3).toDF("id")
    writer.prepare(rows.schema)
    files = write_files(rows.coalesce(1), writer.folder)
    for batch in range(45):
        writer.commit(files if batch == 0 else NOTHING, Once("app", batch), "")
    writer.commit(write_files(rows, writer.folder), Once("app", 45), "")
    assert list((writer.folder / "_delta_log").glob("*.checkpoint.parquet")), "readers would read every commit file"
    assert spark.read.format("delta").load(str(writer.folder)).count() == 6
    assert DeltaWriter("silver.t", tmp_path / "t").is_committed("app", 45)


def test_files_that_were_written_and_never_committed_are_invisible_and_vacuumed(
    spark: SparkSession, tmp_path: Path
) -> None:
    writer = DeltaWriter("silver.t", tmp_path / "t")
    rows = spark.range(5).toDF("id")
    writer.prepare(rows.schema)
    writer.commit(write_files(rows, writer.folder), Once("app", 0), "")
    leftovers = write_files(rows, writer.folder)  # and here the host dies
    assert leftovers.rows == 5
    assert spark.read.format("delta").load(str(writer.folder)).count() == 5
    table = DeltaTable(writer.folder)
    doomed = table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=True, full=True)
    assert {action.path for action in leftovers.actions} <= {str(Path(p)) for p in doomed}
