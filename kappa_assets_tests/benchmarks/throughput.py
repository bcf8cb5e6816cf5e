"""Draining a tape into Silver, and replaying it, against plain Spark and against one batch per live commit."""

from __future__ import annotations

import statistics
from pathlib import Path

from pyspark.sql import SparkSession

from kappa_assets.declare.tables import Silver
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets_tests.benchmarks.rounds import Result, median_ratio, say, side_by_side
from kappa_assets_tests.benchmarks.scene import (
    DAILY_REVENUE,
    INVOICES,
    SALES,
    beside,
    build,
    expected_columns,
    lay_tape,
    numbered,
    table_answer,
)
from kappa_assets_tests.retail_sales import pipeline

_COLUMNS = expected_columns()


def drain_against_plain_spark(spark: SparkSession, root: Path, *, rows: int, rounds: int) -> Result:
    """The Silver query over the whole tape / the same function and expectations as one Spark batch into Delta."""
    say(f"drain: laying a tape of {rows:,} rows")
    lake = lay_tape(spark, root / "drain", files=40, lines=rows // 40, per_batch=8)
    sales = pipeline.derived_table(SALES)
    assert isinstance(sales, Silver)
    ours, plain = numbered(root, "drained"), numbered(root, "plain")

    def through_the_query(_: int) -> tuple[int, str]:
        setting = Setting(spark, beside(lake, next(ours)), root)
        build(setting, SALES)
        return table_answer(spark, setting.lake.folder(SALES), _COLUMNS[SALES])

    def plain_spark(_: int) -> tuple[int, str]:
        out = next(plain)
        rows_ = sales(spark.read.format("delta").load(str(lake.folder(INVOICES.name))))
        for expectation in sales.expectations:
            rows_ = rows_.where(f"coalesce({expectation.condition}, false)")
        rows_.write.format("delta").partitionBy("_arrival_date").save(str(out))
        return table_answer(spark, out, _COLUMNS[SALES])

    a, b = side_by_side(through_the_query, plain_spark, rounds=rounds)
    return Result(
        f"drain of {rows / 1e6:.1f} M rows into Silver / the same function as plain Spark batch",
        f"{rows / statistics.median(a):,.0f} rows/s",
        f"{rows / statistics.median(b):,.0f} rows/s",
        median_ratio(b, a),
        ">= 0.95",
    )


def replay_against_live_commits(spark: SparkSession, root: Path, *, commits: int, rounds: int) -> list[Result]:
    """A replay in large batches / the same queries with one batch per original live commit; default triggers beside."""
    say(f"replay: laying a tape of {commits} commits")
    lake = lay_tape(spark, root / "replay", files=commits, lines=200, per_batch=1)
    folders = numbered(root, "replayed")

    def replayed(pace: Pace) -> tuple[int, str]:
        setting = Setting(spark, beside(lake, next(folders)), root, pace)
        build(setting, SALES, DAILY_REVENUE)
        return table_answer(spark, setting.lake.folder(DAILY_REVENUE), _COLUMNS[DAILY_REVENUE])

    large, default = Pace(), Pace(table_files=1000, table_bytes="8g")
    a, b = side_by_side(
        lambda _: replayed(large), lambda _: replayed(Pace(table_files=1)), rounds=rounds, warm_up=False
    )
    c, d = side_by_side(lambda _: replayed(large), lambda _: replayed(default), rounds=rounds, warm_up=False)
    what = f"replay of {commits} live commits, Silver and Gold"
    return [
        Result(
            f"{what} / one batch per live commit",
            f"{statistics.median(a):.1f} s",
            f"{statistics.median(b):.1f} s",
            median_ratio(b, a),
            ">= 5",
        ),
        Result(
            f"{what} / Delta's default trigger (1000 files a batch)",
            f"{statistics.median(c):.1f} s",
            f"{statistics.median(d):.1f} s",
            median_ratio(d, c),
            "reported",
        ),
    ]
