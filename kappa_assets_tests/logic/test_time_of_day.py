"""A time without a date is on the day of arrival, whenever it is computed, where only casts read it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from kappa_assets import LINEAGE
from kappa_assets.kinds.judging.verdicts import judged_rows
from kappa_assets.logic.logic_check import text_casts
from kappa_assets.logic.time_of_day import with_days
from kappa_assets_tests.logic.declared_logic import check, gold_of, refusal, silver_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets_tests.logic.declared_logic import Logic

NAMES = ["value", "kind"]
ONLY_CAST: dict[str, Logic] = {
    "cast": lambda t: t.select(F.col("value").cast("timestamp").alias("value"), *LINEAGE),
    "try_cast": lambda t: t.select(F.col("value").try_cast("timestamp").alias("at"), *LINEAGE),
    "to_timestamp": lambda t: t.select(F.to_timestamp("value").alias("at"), *LINEAGE),
    "try_to_timestamp": lambda t: t.select(F.try_to_timestamp("value").alias("at"), *LINEAGE),
    "sql": lambda t: t.selectExpr("hour(value) AS hour", "date(try_cast(value AS timestamp)) AS day", *LINEAGE),
    "renamed": lambda t: (
        t.withColumnRenamed("value", "v").select("v", *LINEAGE).select(F.col("v").try_cast("timestamp"), *LINEAGE)
    ),
    "in place": lambda t: t.select("value", *LINEAGE).withColumn("value", F.col("value").cast("timestamp")),
    "in a condition": lambda t: (
        t.where("value IS NOT NULL")
        .where("try_cast(value AS timestamp) IS NOT NULL")
        .select(F.col("value").try_cast("timestamp").alias("at"), *LINEAGE)
    ),
}
ALSO_READ: dict[str, Logic] = {
    "kept as it is": lambda t: t.select("value", F.col("value").try_cast("timestamp").alias("at"), *LINEAGE),
    "kept by another name": lambda t: t.withColumn("v", F.col("value")).withColumn(
        "value", F.col("value").try_cast("timestamp")
    ),
    "measured": lambda t: t.select(F.length("value"), F.col("value").try_cast("timestamp").alias("at"), *LINEAGE),
    "with a format": lambda t: t.select(F.try_to_timestamp("value", F.lit("HH:mm")).alias("at"), *LINEAGE),
    "compared": lambda t: t.where("value <> ''").select(F.col("value").try_cast("timestamp").alias("at"), *LINEAGE),
    "as a date": lambda t: t.select(F.col("value").try_cast("date").alias("day"), *LINEAGE),
    "changed first": lambda t: t.select(F.trim("value").try_cast("timestamp").alias("at"), *LINEAGE),
    "exploded": lambda t: t.select(F.explode(F.split("value", ",")).alias("v"), *LINEAGE).select(
        F.col("v").try_cast("timestamp").alias("at"), *LINEAGE
    ),
    "by a Python function": lambda t: t.select(F.udf(str.strip, "string")("value").try_cast("timestamp"), *LINEAGE),
}


@pytest.mark.parametrize("logic", ONLY_CAST.values(), ids=ONLY_CAST)
def test_a_column_that_is_only_cast_is_known(logic: Logic, tape: DataFrame) -> None:
    assert text_casts(silver_of(logic), tape) == {"value"}  # type: ignore[arg-type]


@pytest.mark.parametrize("logic", ALSO_READ.values(), ids=ALSO_READ)
def test_a_column_that_is_read_otherwise_too_is_left_as_it_is(logic: Logic, tape: DataFrame) -> None:
    assert text_casts(silver_of(logic), tape) == set()  # type: ignore[arg-type]


OF_TODAY = ["CAST('today' AS DATE)", "CAST(' Now' AS TIMESTAMP)", "TRY_CAST('tomorrow' AS TIMESTAMP_NTZ)"]
OF_TODAY += ["CAST('09:15' AS TIMESTAMP)", "coalesce(try_cast(value AS TIMESTAMP), CAST('T9:15' AS TIMESTAMP))"]


@pytest.mark.parametrize("column", OF_TODAY)
def test_a_constant_text_that_is_read_as_of_today_is_refused(column: str, tape: DataFrame) -> None:
    found = refusal(silver_of(lambda t: t.select(F.expr(column).alias("x"), *LINEAGE)), tape)
    assert "which is one of the day on which it is computed" in found
    found = refusal(gold_of(lambda t: t.groupBy("kind").agg(F.max(F.expr(column)).alias("x")), keys=["kind"]), tape)
    assert "which is one of the day on which it is computed" in found


@pytest.mark.parametrize("column", ["CAST('2026-01-05' AS DATE)", "CAST('9999-12-31 09:15' AS TIMESTAMP)", "'today'"])
def test_a_constant_text_with_its_date_is_taken(column: str, tape: DataFrame) -> None:
    check(silver_of(lambda t: t.select(F.expr(column).alias("x"), *LINEAGE)), tape)


def arrivals(spark: SparkSession, texts: Sequence[str | None], arrived: str) -> DataFrame:
    rows = spark.createDataFrame([(n, text) for n, text in enumerate(texts)], "_row long, value string")
    return rows.selectExpr(
        "0L AS _batch_id",
        "_row",
        f"{arrived} AS _arrived_at",
        f"CAST({arrived} AS DATE) AS _arrival_date",
        "value",
    )


def test_it_gets_the_day_on_which_its_row_arrived(spark: SparkSession) -> None:
    read = {
        "09:15": "2026-01-05 09:15:00",
        "T9:15:30.5": "2026-01-05 09:15:30.5",
        " 23:59 ": "2026-01-05 23:59:00",
        "2020-02-03 09:15": "2020-02-03 09:15:00",
        "2020-02-03": "2020-02-03 00:00:00",
        "noon": None,
        None: None,
    }
    rows = arrivals(spark, list(read), "TIMESTAMP'2026-01-05 23:30:00'")
    silver = silver_of(ONLY_CAST["try_cast"])
    found = judged_rows(silver, rows).orderBy("_row").select(F.col("at").cast("string"))  # type: ignore[arg-type]
    assert [r.at for r in found.collect()] == list(read.values())


PARTS = [
    "T",
    ":",
    ":",
    " ",
    "9",
    "09",
    "15",
    "24",
    "60",
    "2026-01-05",
    "1",
    ".5",
    "Z",
    "+00:00",
    "x",
    "\t",
    "\x01",
]


def test_a_text_that_arrives_today_is_read_as_spark_reads_it(spark: SparkSession) -> None:
    """Whatever it is, of thousands that may be times, in one job."""
    draw = random.Random(7)
    texts = sorted({"".join(draw.choices(PARTS, k=draw.randint(1, 7))) for _ in range(20_000)})
    rows = arrivals(spark, texts, "current_timestamp()")
    completed = with_days(rows, frozenset(["value"])).withColumnRenamed("value", "completed")
    both = rows.join(completed, "_row").select(
        "value",
        "completed",
        F.col("value").try_cast("timestamp").cast("string").alias("before"),
        F.col("completed").try_cast("timestamp").cast("string").alias("after"),
    )
    read = both.collect()
    assert [r for r in read if r.before != r.after] == []
    assert sum(r.value != r.completed and r.before is not None for r in read) > 20
