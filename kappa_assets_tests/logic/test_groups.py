"""Which groups of a Gold may be recomputed alone, and why others are refused, with the operator and what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets.errors import LogicError
from kappa_assets.logic.logic_check import check_combined, check_groups
from kappa_assets_tests.logic.declared_logic import gold_of
from kappa_assets_tests.logic.grouped_logic import (
    by_country,
    cogrouped,
    full_outer,
    named_by_udf,
    of_pandas,
    priced,
    scd2,
    sessions,
    share,
    top_three,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from kappa_assets.logic.verdict import Verdict
    from kappa_assets_tests.logic.declared_logic import Logic


def verdict_of(logic: Logic, upstream: DataFrame, keys: Sequence[str], by: Sequence[str] = ()) -> Verdict:
    verdict = check_groups(gold_of(logic, keys=keys, by=by), upstream).groups  # type: ignore[arg-type]
    assert verdict is not None
    return verdict


ACCEPTED: dict[str, tuple[Logic, list[str], list[str], tuple[str, ...], tuple[str, ...]]] = {
    # keys, by, the groups that are found, what of the upstream they are if all are plain
    "an aggregate": (by_country, ["country"], [], ("country",), ("country",)),
    "sessions": (sessions, ["country", "began"], ["country"], ("country",), ("country",)),
    "sessions, by left out": (sessions, ["country", "began"], [], ("country",), ("country",)),
    "the history of a value": (scd2, ["country", "day"], ["country"], ("country",), ("country",)),
    "the best of each": (top_three, ["country", "rank"], [], ("country",), ("country",)),
    "a share": (share, ["country", "kind"], ["country"], ("country",), ("country",)),
    "having": (lambda s: by_country(s).where("total > 10"), ["country"], [], ("country",), ("country",)),
    "computed": (lambda s: s.groupBy(F.upper("country").alias("c")).count(), ["c"], [], ("c",), ()),
    "overwritten": (
        lambda s: by_country(s.withColumn("country", F.upper("country"))),
        ["country"],
        [],
        ("country",),
        (),
    ),
    "renamed": (lambda s: by_country(s).withColumnRenamed("country", "c"), ["c"], [], ("c",), ("country",)),
    "swapped": (
        lambda s: by_country(s.select("price", F.col("kind").alias("country"), F.col("country").alias("kind"))),
        ["country"],
        [],
        ("country",),
        ("kind",),
    ),
    "a field of a window of time": (
        lambda s: (
            s.groupBy(F.window("_arrived_at", "1 day").alias("w")).count().select(F.col("w.start").alias("d"), "count")
        ),
        ["d"],
        [],
        ("d",),
        (),
    ),
    "sliding windows": (
        lambda s: s.groupBy(F.window("_arrived_at", "1 day", "6 hours").alias("w")).count(),
        ["w"],
        [],
        ("w",),
        (),
    ),
    "coarser than what it groups by": (
        lambda s: s.groupBy("day").count().withColumn("month", F.trunc("day", "month")),
        ["month", "day"],
        ["day"],
        ("day",),
        ("day",),
    ),
    "exploded": (
        lambda s: s.select(F.explode(F.split("country", ",")).alias("c")).groupBy("c").count(),
        ["c"],
        [],
        ("c",),
        (),
    ),
    "a cube": (lambda s: s.cube("country", "kind").count(), ["country", "kind"], [], ("country", "kind"), ()),
    "united": (lambda s: by_country(s.where("units > 1").unionAll(s)), ["country"], [], ("country",), ("country",)),
    "joined with itself": (
        lambda s: by_country(s).join(s.groupBy("country").count(), "country"),
        ["country"],
        [],
        ("country",),
        ("country",),
    ),
    "joined with itself in full": (full_outer, ["country"], [], ("country",), ("country",)),
    "joined where null is null": (
        lambda s: by_country(s).join(
            s.select(F.col("country").alias("other")).distinct(), F.expr("country <=> other"), "left"
        ),
        ["country"],
        [],
        ("country",),
        ("country",),
    ),
    "those that it lacks": (
        lambda s: by_country(s).join(s.where("units > 3"), "country", "left_anti"),
        ["country"],
        [],
        ("country",),
        ("country",),
    ),
    "in common": (
        lambda s: s.select("country").intersect(s.where("units > 1").select("country")),
        ["country"],
        [],
        ("country",),
        ("country",),
    ),
    "joined with what stands in the code": (priced, ["country"], [], ("country",), ("country",)),
    "what WITH names, twice": (
        lambda s: s.sparkSession.sql(
            "with t as (select country, sum(price) total from {s} group by country) "
            "select t.country, t.total, u.total other from t join t u on t.country = u.country",
            s=s,
        ),
        ["country"],
        [],
        ("country",),
        ("country",),
    ),
    "a function in Python": (named_by_udf, ["place"], [], ("place",), ()),
    "pandas": (of_pandas, ["country"], [], ("country",), ("country",)),
    "pandas twice": (cogrouped, ["country"], [], ("country",), ("country",)),
    "a sorted list": (
        lambda s: s.groupBy("country").agg(F.sort_array(F.collect_list("kind")).alias("kinds")),
        ["country"],
        [],
        ("country",),
        ("country",),
    ),
    "the kind of the greatest": (
        lambda s: s.groupBy("country").agg(F.max_by("kind", F.struct("price", "_batch_id", "_row")).alias("best")),
        ["country"],
        [],
        ("country",),
        ("country",),
    ),
    "an average of integers": (
        lambda s: s.groupBy("country").agg(F.avg("units")).toDF("country", "a"),
        ["country"],
        [],
        ("country",),
        ("country",),
    ),
    "ordered by the keys of an aggregate": (
        lambda s: (
            s.groupBy("country", "day")
            .count()
            .withColumn("before", F.lag("count").over(Window.partitionBy("country").orderBy("day")))
        ),
        ["country", "day"],
        ["country"],
        ("country",),
        ("country",),
    ),
}


@pytest.mark.parametrize(("logic", "keys", "by", "found", "plain"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_function_that_keeps_groups_apart_is_taken(
    logic: Logic, keys: list[str], by: list[str], found: tuple[str, ...], plain: tuple[str, ...], sales: DataFrame
) -> None:
    verdict = verdict_of(logic, sales, keys, by)
    assert (verdict.by, verdict.plain) == (found, plain)
    assert bool(verdict.feeds) == (not plain)
    assert hash(verdict) == hash(verdict_of(logic, sales, keys, by))


def test_a_merged_gold_cannot_follow_sessions(sales: DataFrame) -> None:
    def counted(s: DataFrame) -> DataFrame:
        return s.groupBy("country", F.session_window("_arrived_at", "1 hour").alias("w")).agg(F.count("*").alias("n"))

    with pytest.raises(LogicError, match="'w', which is no column of its upstream"):
        check_combined(gold_of(counted, keys=["country", "w"], combine={"n": "count"}), sales)  # type: ignore[arg-type]


def test_the_plan_proves_that_no_key_comes_twice_where_it_does(sales: DataFrame) -> None:
    assert verdict_of(by_country, sales, ["country"]).keys_are_unique
    assert verdict_of(share, sales, ["country", "kind"], ["country"]).keys_are_unique
    assert verdict_of(top_three, sales, ["country", "rank"]).keys_are_unique
    assert verdict_of(full_outer, sales, ["country"]).keys_are_unique is False
    assert verdict_of(scd2, sales, ["country", "day"], ["country"]).keys_are_unique is False
