"""What it costs to judge rows while they are written: expectations and late data, counted exactly, in a whole drain."""

from __future__ import annotations

import statistics
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from kappa_assets import Pipeline, late, silver
from kappa_assets.declare.tables import Silver
from kappa_assets.host.assemble import query_of, tapes_of
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import Setting
from kappa_assets.pipelines.retail.silver import sales as retail_sales
from kappa_assets_tests.benchmarks.light import cpu_seconds
from kappa_assets_tests.benchmarks.rounds import Result, median_ratio, say, side_by_side
from kappa_assets_tests.benchmarks.scene import (
    INVOICES,
    SALES,
    beside,
    expected_columns,
    first_generation_of,
    lay_tape,
    numbered,
    table_answer,
)

_KEPT = " AND ".join(f"coalesce({e.condition}, false)" for e in retail_sales.expectations)


@silver(expect=[*retail_sales.expectations], late=late("sold_at", after="2 days", ahead="10 minutes"))
def judged(invoices: DataFrame) -> DataFrame:
    """The retail example's sales, with the days of their delay."""
    return retail_sales.function(invoices)


@silver
def unjudged(invoices: DataFrame) -> DataFrame:
    """The same rows, chosen by the function itself: what fails is nowhere kept, and nothing is counted."""
    return retail_sales.function(invoices).where(F.expr(_KEPT))


def judging(spark: SparkSession, root: Path, *, rows: int, rounds: int) -> Result:
    """CPU of a drain with six expectations and late data / of one whose function keeps the same rows by itself.

    Of CPU, since what is looked for is less than what two drains on a shared machine differ by.
    """
    say(f"judging: laying a tape of {rows:,} rows")
    lake = lay_tape(spark, root / "judging", files=40, lines=rows // 40, per_batch=8)
    folders = numbered(root, "judged")

    def drained(table: Silver, spent: list[float]) -> tuple[int, str]:
        setting = Setting(spark, beside(lake, next(folders)), root)
        shop = Pipeline.from_tables("shop", [INVOICES, table])
        before = cpu_seconds()
        Runner(query_of(setting, shop, first_generation_of(table), tapes_of(setting, shop))).drain(lambda: None)
        spent.append(cpu_seconds() - before)
        return table_answer(spark, setting.lake.folder(table.name), expected_columns()[SALES])

    with_, without = list[float](), list[float]()
    side_by_side(lambda _: drained(judged, with_), lambda _: drained(unjudged, without), rounds=rounds)
    a, b = with_[-rounds:], without[-rounds:]
    return Result(
        f"CPU of a drain of {rows / 1e6:.1f} M rows with six expectations and late data / without",
        f"{statistics.median(a):.1f} s",
        f"{statistics.median(b):.1f} s",
        median_ratio(a, b),
        "<= 1.05",
    )
