"""Which Golds can be merged or recomputed by key, and why the others are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from kappa_assets_tests.logic.declared_logic import KEYS, check, gold_of, refusal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from kappa_assets_tests.logic.declared_logic import Logic


MERGED: dict[str, Logic] = {
    "plain": lambda s: s.groupBy(*KEYS).agg(F.sum("price").alias("total"), F.count("*").alias("lines")),
    "computed key": lambda s: s.groupBy(F.to_date("_arrived_at").alias("day"), "country").agg(
        F.sum("price").alias("total"), F.count("value").alias("lines")
    ),
    "filtered and computed below": lambda s: (
        s.filter("price > 0")
        .withColumn("amount", F.col("price") * F.col("units"))
        .groupBy(*KEYS)
        .agg(F.sum("amount").alias("total"), F.count(F.lit(1)).alias("lines"))
    ),
    "exploded below": lambda s: (
        s.withColumn("country", F.explode(F.split("country", ",")))
        .groupBy(*KEYS)
        .agg(F.sum("units").alias("total"), F.count("*").alias("lines"))
    ),
    "renamed and reordered above": lambda s: (
        s.groupBy(*KEYS)
        .agg(F.sum("price").alias("t"), F.count("*").alias("lines"))
        .withColumnRenamed("t", "total")
        .select("lines", "total", *KEYS)
    ),
    "renamed key": lambda s: s.groupBy(F.col("kind").alias("country"), "day").agg(
        F.sum("price").alias("total"), F.count("*").alias("lines")
    ),
    "sql": lambda s: s.sparkSession.sql(
        "select day, country, sum(price) total, count(*) lines from {s} group by day, country", s=s
    ),
}


@pytest.mark.parametrize("logic", MERGED.values(), ids=MERGED)
def test_an_aggregate_by_its_keys_can_be_merged(logic: Logic, sales: DataFrame) -> None:
    check(gold_of(logic, keys=KEYS, combine={"total": "sum", "lines": "count"}), sales)


def test_a_window_of_time_is_a_key_like_any_other(sales: DataFrame) -> None:
    def hourly(s: DataFrame) -> DataFrame:
        return s.groupBy(F.window("_arrived_at", "1 hour", "10 minutes").alias("hours")).agg(
            F.min("price").alias("low"), F.max("weight").alias("high")
        )

    check(gold_of(hourly, keys=["hours"], combine={"low": "min", "high": "max"}), sales)


def agg(*columns: str) -> Logic:
    """Return a logic that aggregates by the keys; in SQL, for a Column needs a session when it is made."""
    return lambda s: s.groupBy(*KEYS).agg(*map(F.expr, columns))


NOT_MERGEABLE: dict[str, tuple[Logic, dict[str, str], str]] = {
    "a sum of double": (agg("sum(weight) t"), {"t": "sum"}, "sums 't' as double"),
    "a sum of text": (agg("sum(value) t"), {"t": "sum"}, "sums 't' as double"),
    "a distinct count": (agg("count(distinct kind) n"), {"n": "count"}, "from distinct values"),
    "an average": (agg("avg(price) a"), {"a": "sum"}, "makes 'a' with Average"),
    "a set": (agg("collect_set(kind) k"), {"k": "max"}, "makes 'k' with CollectSet"),
    "a count said to be a sum": (agg("count(*) n"), {"n": "sum"}, "combines it as 'sum'"),
    "a sum said to be a max": (agg("sum(units) n"), {"n": "max"}, "with sum, and combines it"),
    "a cast sum": (agg("cast(sum(price) as int) t"), {"t": "sum"}, "more than a plain sum"),
    "two sums": (agg("sum(units) + sum(price) t"), {"t": "sum"}, "more than a plain sum"),
    "an undeclared column": (
        agg("sum(units) t", "max(day) last"),
        {"t": "sum"},
        "column 'last' that is neither in keys nor in combine",
    ),
    "a missing column": (agg("sum(units) t"), {"t": "sum", "n": "count"}, "leaves out n"),
    "a group filtered after": (
        lambda s: s.groupBy(*KEYS).agg(F.sum("units").alias("t")).filter("t > 1"),
        {"t": "sum"},
        "filters its groups",
    ),
    "having": (
        lambda s: s.sparkSession.sql(
            "select day, country, sum(units) t from {s} group by day, country having sum(units) > 1", s=s
        ),
        {"t": "sum"},
        "filters its groups",
    ),
    "an order": (
        lambda s: s.groupBy(*KEYS).agg(F.sum("units").alias("t")).orderBy("t"),
        {"t": "sum"},
        "orders rows after aggregating",
    ),
    "a ratio": (
        lambda s: s.groupBy(*KEYS).agg(F.sum("units").alias("t")).withColumn("t", F.col("t") / 2),
        {"t": "sum"},
        "computes 't' from aggregates",
    ),
    "two aggregations": (
        lambda s: s.groupBy(*KEYS, "kind").agg(F.sum("units").alias("t")).groupBy(*KEYS).agg(F.sum("t").alias("t")),
        {"t": "sum"},
        "has 2 aggregations",
    ),
    "no aggregation": (
        lambda s: s.select(*KEYS, F.col("units").alias("t")),
        {"t": "sum"},
        "has no aggregations",
    ),
    "fewer groups than keys": (
        lambda s: s.groupBy("day").agg(F.sum("units").alias("t"), F.max("country").alias("country")),
        {"t": "sum"},
        "does not group by its key 'country'",
    ),
    "more groups than keys": (
        lambda s: s.groupBy(*KEYS, "kind").agg(F.sum("units").alias("t")).drop("kind"),
        {"t": "sum"},
        "groups by 3 columns",
    ),
    "a cube": (lambda s: s.cube(*KEYS).agg(F.sum("units").alias("t")), {"t": "sum"}, "groups by 3 columns"),
    "a join below": (
        lambda s: s.join(s.select("kind"), "kind").groupBy(*KEYS).agg(F.sum("units").alias("t")),
        {"t": "sum"},
        "joins",
    ),
    "duplicates removed below": (
        lambda s: s.distinct().groupBy(*KEYS).agg(F.sum("units").alias("t")),
        {"t": "sum"},
        "removes duplicates",
    ),
    "dice below": (
        lambda s: s.filter(F.rand() > 0).groupBy(*KEYS).agg(F.sum("units").alias("t")),
        {"t": "sum"},
        "uses rand()",
    ),
}


@pytest.mark.parametrize(("logic", "combine", "reason"), NOT_MERGEABLE.values(), ids=NOT_MERGEABLE)
def test_what_cannot_be_merged_is_refused(logic: Logic, combine: dict[str, str], reason: str, sales: DataFrame) -> None:
    assert reason in refusal(gold_of(logic, keys=KEYS, combine=combine), sales)


def test_a_sum_of_decimals_is_ten_digits_wider_and_of_integers_a_bigint(sales: DataFrame) -> None:
    table = gold_of(
        agg("sum(price) p", "sum(units) u", "count(*) n"),
        keys=KEYS,
        combine={"p": "sum", "u": "sum", "n": "count"},
    )
    types = {f.name: f.dataType.simpleString() for f in check(table, sales).schema}
    assert types == {"day": "date", "country": "string", "p": "decimal(20,2)", "u": "bigint", "n": "bigint"}


def test_the_keys_of_a_recomputed_gold_are_columns_of_it(sales: DataFrame) -> None:
    def best(s: DataFrame) -> DataFrame:
        return s.groupBy("country").agg(F.collect_set("kind").alias("kinds"))

    check(gold_of(best, keys=["country"]), sales)
    assert "leaves out day" in refusal(gold_of(best, keys=KEYS), sales)


def test_a_recomputed_gold_may_order_limit_and_join_its_upstream(sales: DataFrame) -> None:
    def top(s: DataFrame) -> DataFrame:
        totals = s.groupBy("kind").agg(F.sum("weight").alias("weight"))
        return s.select("kind").distinct().join(totals, "kind").orderBy("weight").limit(10)

    check(gold_of(top), sales)
