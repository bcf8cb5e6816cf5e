"""Tables that Spark wrote into by itself, as `UPDATE` by hand does, with bounds that Python has no equal of."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from kappa_assets.cli.table_rows import first_rows, python_rows
from kappa_assets.log.delta_log import commits
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.held_files import held_files
from kappa_assets.place.local.delta_write.parquet_files import describe_files
from kappa_assets.place.local.upkeep.compaction import compact, small_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ODD = """
    SELECT id AS n, DATE'+20226-01-05' - CAST(id AS INT) AS far, DATE'-0001-11-30' AS early,
      TIMESTAMP'9999-12-31 23:59:59.999999' AS forever, timestamp_micros(575000000000000000) AS at,
      'a\u2028b\u2029c\x85d' AS text, CAST(X'54F8' AS STRING) AS raw, double('nan') AS x,
      1 AS `in.n`, named_struct('n', 2, 'far', DATE'+20226-01-05') AS `in`, DATE'2026-01-05' AS day
    FROM range(0, 4, 1, 4)
"""


def test_what_spark_wrote_is_read_shown_merged_and_committed_to(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    spark.sql(ODD).write.format("delta").partitionBy("day").save(str(folder))
    spark.sql(f"DELETE FROM delta.`{folder}` WHERE n = 3")
    assert sum(c.rows for c in commits(folder)) >= 4
    files = held_files(DeltaTable(folder))
    assert sum(f["num_records"] for f in files) == 3
    assert {f["partition.day"] for f in files} == {dt.date(2026, 1, 5)}
    assert sorted(f["max.n"] for f in files) == [0, 1, 2]
    shown = sorted(python_rows(first_rows(folder, 9)), key=lambda row: row["n"])
    assert [row["far"] for row in shown] == ["+20226-01-05", "+20226-01-04", "+20226-01-03"]
    assert shown[0]["raw"] == "T\\xf8"
    assert shown[0]["in"] == {"n": 2, "far": "+20226-01-05"}
    assert shown[0]["day"] == dt.date(2026, 1, 5)
    assert len(python_rows(first_rows(folder, 2))) == 2

    writer = DeltaWriter("silver.t", folder, partition_by=("day",))
    inside = folder / "data" / "day=2026-01-05"
    inside.mkdir(parents=True)
    pq.write_table(pa.table({"n": pa.array([9], pa.int64())}), inside / "f.parquet")
    writer.commit(describe_files(folder, ["data/day=2026-01-05/f.parquet"], ("day",)), Once("app", 0), "{}")
    old = [f["path"] for f in held_files(DeltaTable(folder)) if f["min.n"] == 2]
    assert writer.exchange(old, describe_files(folder, [], ()), Once("exchange", 0), lambda: "{}") is not None
    assert sorted(r.n for r in spark.read.format("delta").load(str(folder)).select("n").collect()) == [0, 1, 9]


def test_files_that_spark_wrote_are_merged(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "t"
    spark.sql(ODD).drop("day").write.format("delta").save(str(folder))
    (together,) = small_files("silver.t", folder, before=dt.date(2026, 1, 1), few=2)
    assert compact(together)
    table = spark.read.format("delta").load(str(folder))
    assert table.where("n >= 0 AND far > DATE'9999-12-31' AND x > 5 AND early < DATE'0001-01-01'").count() == 4
