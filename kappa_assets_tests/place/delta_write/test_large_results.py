"""What a function makes of a small batch may be too large for the driver: Spark writes it, and it is counted once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import Observation
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, silver
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.place.local.delta_write.parquet_files import write_files
from kappa_assets.place.local.delta_write.small_files import ResultTooLarge
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.whole.verify import read

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LARGE = "repeat(sha2(CAST(id AS STRING), 512), 2) AS text"


@contextmanager
def largest_result(spark: SparkSession, size: str) -> Iterator[None]:
    """Set what the driver takes as a job's result; every job reads it from the context's own settings."""
    conf = spark.sparkContext._jsc.sc().conf()
    before = conf.get("spark.driver.maxResultSize", "1g")
    conf.set("spark.driver.maxResultSize", size)
    try:
        yield
    finally:
        conf.set("spark.driver.maxResultSize", before)


def test_a_result_too_large_for_the_driver_is_left_to_sparks_writer(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(40_000).selectExpr("id", LARGE)
    with largest_result(spark, "1m"):
        files = write_files(rows, tmp_path, small=True)
    assert files.rows == 40_000
    back = spark.read.parquet(*[str(tmp_path / a.path) for a in files.actions])
    assert back.exceptAll(rows).isEmpty()


def test_one_that_is_observed_is_left_to_the_caller_whose_observation_is_spent(
    spark: SparkSession, tmp_path: Path
) -> None:
    even = F.count_if(F.col("id") % 2 == 0).alias("even")
    rows = spark.range(40_000).selectExpr("id", LARGE)
    with largest_result(spark, "1m"):
        with pytest.raises(ResultTooLarge):
            write_files(rows.observe(Observation(), even), tmp_path, small=True, observed=True)
        again = Observation()
        files = write_files(rows.observe(again, even), tmp_path, small=False, observed=True)
    assert (files.rows, again.get) == (40_000, {"even": 20_000})


orders = bronze("orders", source=Files("orders", format="json"))


@silver(expect=[expect("is_even", "n % 2 = 0")])
def numbers(orders: DataFrame) -> DataFrame:
    """Ten thousand rows for each line, half of them rejected."""
    many = orders.select(F.explode(F.sequence(F.lit(1), F.lit(10_000))).alias("n"), *LINEAGE)
    return many.select("n", F.repeat(F.sha2(F.col("n").cast("string"), 512), F.lit(2)).alias("text"), *LINEAGE)


@pytest.mark.slow
def test_a_silver_counts_its_rejects_exactly_when_its_output_is_too_large(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "landing" / "orders").mkdir(parents=True)
    (tmp_path / "landing" / "orders" / "a.json").write_text("".join(json.dumps({"id": n}) + "\n" for n in range(4)))
    pipeline, lake = Pipeline.from_tables("shop", [orders, numbers]), Lake.at(tmp_path / "lake")
    with largest_result(spark, "1m"):
        Host(Setting(spark, lake, tmp_path / "landing"), pipeline).drain()
    (note,) = [c.note for c in commits(lake.folder(numbers.name, 1)) if c.note]
    assert (note.rows, dict(note.rejected)) == (20_000, {"is_even": 20_000})
    assert sorted(set(read(lake.folder(numbers.name, 1), "n").column("n").to_pylist())) == list(range(2, 10_001, 2))
    assert read(lake.rejects(numbers.name), "batch").num_rows == 20_000
