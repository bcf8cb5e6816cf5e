"""Columns with dots in their names, and lakes with brackets in their path, are read and written like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, gold, silver
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.stored_table import LocalStoredTable
from kappa_assets.place.sliced_rows import rows_in_files
from kappa_assets_tests.kinds.gold_scene import SCHEMA, Follower, scene_at

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

ODD = "la[prod] 1"


@gold(keys=["shop"])
def of_shops(sales: DataFrame) -> DataFrame:
    """Sums in columns that Spark takes for fields, if they are not quoted."""
    return sales.groupBy("shop").agg(F.sum("units").alias("units.all"), F.count("*").alias("`lines`"))


def test_a_gold_has_columns_with_dots_in_a_lake_with_brackets(spark: SparkSession, tmp_path: Path) -> None:
    scene = scene_at(spark, tmp_path / ODD)
    follower = Follower(scene, of_shops)
    scene.append([[("a", 1), ("b", 2)]])
    follower.drain()
    scene.append([[("a", 10)]])
    follower.drain()
    rows = DeltaTable(follower.folder).to_pyarrow_table().sort_by("shop").to_pylist()
    assert rows == [{"shop": "a", "units.all": 11, "`lines`": 2}, {"shop": "b", "units.all": 2, "`lines`": 1}]


def test_files_of_a_slice_are_read_below_brackets_with_their_dotted_columns(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / ODD / "part-0.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"shop": ["a"], "till.no": ["7"]}), path)
    (row,) = rows_in_files(spark, LocalStoredTable(path.parent), [path.name], SCHEMA).collect()
    assert (row["shop"], row["till.no"], row["units"]) == ("a", "7", None)


lines = bronze("lines", source=Files("lines", format="json"))


@silver(expect=[expect("sold", "units > 0")])
def sales(lines: DataFrame) -> DataFrame:
    """Sales by till; what was given back is rejected."""
    return lines.select(F.get_json_object("value", "$.till").alias("till.no"), units_of("$.units"), *LINEAGE)


def units_of(path: str) -> Column:
    return F.get_json_object("value", path).cast("long").alias("units")


@pytest.mark.slow
def test_rejected_rows_with_dotted_columns_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    landing = tmp_path / "landing" / "lines"
    landing.mkdir(parents=True)
    rows = [{"till": "7", "units": 3}, {"till": "8", "units": -3}]
    (landing / "a.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lake = Lake.at(tmp_path / "lake")
    Host(Setting(spark, lake, tmp_path / "landing"), Pipeline.from_tables("shop", [lines, sales])).drain()
    (reject,) = DeltaTable(lake.rejects(sales.name)).to_pyarrow_table().to_pylist()
    assert json.loads(reject["row"])["till.no"] == "8"
    assert reject["reasons"] == ["sold"]
