"""A small batch on a large Silver whose rows are unique, against MERGE on the key: it reads near slices alone."""

from __future__ import annotations

import datetime as dt
import statistics
import time
from dataclasses import replace
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, silver
from kappa_assets.host.assemble import query_of, register, tapes_of
from kappa_assets.host.host import Host
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import HOST, lease
from kappa_assets.place.registry import Generation, Registry
from kappa_assets_tests.benchmarks.rounds import Result, median_ratio, say, side_by_side

_SLICES = 200
_BATCH = 1_000
_FIRST_DAY = dt.date(2025, 1, 1)

events = bronze("events", source=Files("events", format="parquet", arrived="column:came"))


@silver(unique=["event_id"], unique_within="7 days")
def clicks(events: DataFrame) -> DataFrame:
    """Clicks, each once."""
    return events.select("event_id", "page", *LINEAGE)


TAPE, SHOP = Pipeline.from_tables("tape", [events]), Pipeline.from_tables("shop", [events, clicks])


def unique_rows(spark: SparkSession, root: Path, *, rows: int, rounds: int) -> Result:
    """Seconds of a batch of 1,000 keys, half of them sent before, on a Silver of 200 slices / of a MERGE on the key."""
    folder, lake = root / "unique" / "events", Lake.at(root / "unique" / "lake")
    setting, copy = Setting(spark, lake, folder.parent), root / "unique" / "merged"
    say(f"unique rows: {rows:,} rows in {_SLICES} slices")
    _clicks(spark, 0, rows, rows).coalesce(4).write.parquet(str(folder / "first"))
    for left in folder.rglob("_SUCCESS"):
        left.unlink()
    Host(setting, SHOP).drain()
    stored = lake.folder(clicks.name)
    spark.read.format("delta").load(str(stored)).write.format("delta").partitionBy("_arrival_date").save(str(copy))
    took: list[float] = []

    def land(number: int) -> Path:
        """Land what is half sent before, and half new: all of the last day."""
        begin = rows + number * _BATCH // 2
        batch = folder / f"batch-{number}"
        if not batch.exists():
            _clicks(spark, begin - _BATCH // 2, begin + _BATCH // 2, rows).coalesce(1).write.parquet(str(batch))
            (batch / "_SUCCESS").unlink(missing_ok=True)
            Host(setting, TAPE).drain()
        return batch

    def ours(number: int) -> int:
        land(number)
        before = len(took)
        _drained(setting, took)
        if len(took) != before + 1:
            raise AssertionError(f"{len(took) - before} batches were measured, not one: their times mean nothing")
        return _rows_in(stored)

    def merged(number: int) -> int:
        land(number)
        began = time.perf_counter()
        of_day = F.col("came").cast("date").alias("_arrival_date")
        fresh = spark.read.parquet(str(land(number))).select(
            "event_id", "page", of_day, F.col("came").alias("_arrived_at")
        )
        fresh.dropDuplicates(["event_id"]).createOrReplaceTempView("fresh")
        columns = "event_id, page, _arrival_date, _arrived_at"
        spark.sql(
            f"MERGE INTO delta.`{copy}` t USING fresh s ON t.event_id = s.event_id WHEN NOT MATCHED THEN "
            f"INSERT ({columns}) VALUES ({columns})"
        ).collect()
        merges.append(time.perf_counter() - began)
        return _rows_in(copy)

    merges: list[float] = []
    side_by_side(lambda n: ours(n + 2), lambda n: merged(n + 2), rounds=rounds)
    a, b = took[-rounds:], merges[-rounds:]
    return Result(
        f"a batch of {_BATCH:,} keys on unique rows, {rows / 1e6:.0f} M in {_SLICES} slices / `MERGE ON key`",
        f"{statistics.median(a):.2f} s",
        f"{statistics.median(b):.2f} s",
        median_ratio(b, a),
        ">= 8",
    )


def _clicks(spark: SparkSession, first: int, end: int, rows: int) -> DataFrame:
    """Return clicks with these numbers: those of `rows` in the slices by their order, and later ones in the last."""
    day = F.least((F.col("id") * _SLICES / rows).cast("int"), F.lit(_SLICES - 1))
    came = F.date_add(F.lit(_FIRST_DAY), day).cast("timestamp")
    page = F.concat(F.lit("/page/"), (F.col("id") % 1000).cast("string"))
    return spark.range(first, end).select(
        F.md5(F.col("id").cast("string")).alias("event_id"), page.alias("page"), came.alias("came")
    )


def _drained(setting: Setting, took: list[float]) -> None:
    """Have Silver take in what is on the tape, and note the seconds of each of its batches."""
    state = register(Registry(setting.lake), SHOP)
    generation = state.live(clicks.name)
    assert generation is not None
    with lease(setting.lake, HOST, "benchmark") as held:
        _drained_under(replace(setting, fence=held.fence), generation, took)


def _drained_under(setting: Setting, generation: Generation, took: list[float]) -> None:
    query = query_of(setting, SHOP, generation, tapes_of(setting, SHOP))
    apply = query.apply

    def timed(batch: DataFrame, number: int) -> None:
        began = time.perf_counter()
        apply(batch, number)
        took.append(time.perf_counter() - began)

    query.apply = timed  # type: ignore[method-assign]
    Runner(query).drain(lambda: None)


def _rows_in(folder: Path) -> int:
    """Return the rows of a table, as its log counts them."""
    return int(sum(DeltaTable(folder).get_add_actions(flatten=True)["num_records"].to_pylist()))
