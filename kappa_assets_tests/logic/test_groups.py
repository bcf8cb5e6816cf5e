"""Which groups of a Gold may be recomputed alone, and why others are refused, with the operator and what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets.errors import LogicError
from kappa_assets.logic.logic_check import check_groups
from kappa_assets_tests.logic.declared_logic import gold_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from kappa_assets.logic.verdict import Verdict
    from kappa_assets_tests.logic.declared_logic import Logic


def verdict_of(logic: Logic, upstream: DataFrame, keys: Sequence[str], by: Sequence[str] = ()) -> Verdict:
    return check_groups(gold_of(logic, keys=keys, by=by), upstream)[1]  # type: ignore[arg-type]


def by_country(s: DataFrame) -> DataFrame:
    return s.groupBy("country").agg(F.sum("price").alias("total"))


def sessions(s: DataFrame) -> DataFrame:
    found = s.groupBy("country", F.session_window("_arrived_at", "30 minutes").alias("w")).agg(F.count("*").alias("n"))
    return found.select("country", F.col("w.start").alias("began"), "n")


def scd2(s: DataFrame) -> DataFrame:
    later = Window.partitionBy("country").orderBy("day", "_batch_id", "_row")
    return s.select("country", "day", F.lead("day").over(later).alias("until"), "kind")


def top_three(s: DataFrame) -> DataFrame:
    best = Window.partitionBy("country").orderBy(F.desc("price"), "_batch_id", "_row")
    return s.withColumn("rank", F.row_number().over(best)).where("rank <= 3").select("country", "rank", "price")


def share(s: DataFrame) -> DataFrame:
    per_kind = s.groupBy("country", "kind").agg(F.sum("price").alias("total"))
    return per_kind.withColumn("share", F.col("total") / F.sum("total").over(Window.partitionBy("country")))


def full_outer(s: DataFrame) -> DataFrame:
    return by_country(s).join(s.where("units > 1").groupBy("country").count(), "country", "full")


def named_by_udf(s: DataFrame) -> DataFrame:
    return s.groupBy(F.udf(lambda text: text, "string")("country").alias("place")).count()


def of_pandas(s: DataFrame) -> DataFrame:
    return s.select("country", "units").groupBy("country").applyInPandas(lambda rows: rows, "country string, units int")


def cogrouped(s: DataFrame) -> DataFrame:
    left, right = s.select("country", "units"), s.select("country", "price")
    both = left.groupBy("country").cogroup(right.groupBy("country"))
    return both.applyInPandas(lambda a, b: a, "country string, units int")


def priced(s: DataFrame) -> DataFrame:
    rates = s.sparkSession.createDataFrame([("pen", 2)], "kind string, rate int")
    return s.join(rates, "kind").groupBy("country").agg(F.sum("rate").alias("n"))


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


def top_of_all(s: DataFrame) -> DataFrame:
    return by_country(s).orderBy("total").limit(3)


def asked_for(s: DataFrame) -> DataFrame:
    return s.sparkSession.sql(
        "select country, sum(price) total from {s} where price > (select avg(price) from {s}) group by country", s=s
    )


def first_of(name: str) -> Logic:
    return lambda s: s.groupBy("country").agg(F.expr(f"{name}(kind)").alias("k"))


def over(order: str, what: str) -> Logic:
    return lambda s: s.selectExpr("country", "kind", f"{what} over (partition by country {order}) n")


REFUSED: dict[str, tuple[Logic, list[str], list[str], str, str]] = {
    # keys, by, what is said, what to write instead
    "sessions by what grows": (
        sessions,
        ["country", "began"],
        ["country", "began"],
        "'began', which is no column",
        "leave",
    ),
    "only a session": (
        lambda s: s.groupBy(F.session_window("_arrived_at", "1 hour").alias("w")).count(),
        ["w"],
        [],
        "no key that names a group",
        "whole",
    ),
    "a history by its rows": (
        scd2,
        ["country", "day"],
        [],
        "a window over country, which leaves out 'day'",
        "by=['country']",
    ),
    "a share by its rows": (share, ["country", "kind"], [], "which leaves out 'kind'", "by=['country']"),
    "a rank over all": (
        lambda s: by_country(s).withColumn("r", F.rank().over(Window.orderBy("total"))),
        ["country"],
        [],
        "a window over nothing of its upstream",
        "Let it hold 'country'",
    ),
    "a limit": (top_of_all, ["country"], [], "limits the number of rows", "row_number"),
    "an offset": (lambda s: by_country(s).offset(1), ["country"], [], "skips rows", "keys out"),
    "a subquery": (asked_for, ["country"], [], "reads rows in a subquery", "Join"),
    "a sum of all": (
        lambda s: s.crossJoin(s.agg(F.sum("price").alias("all"))).select("country", "_row", "all"),
        ["country"],
        [],
        "joins on nothing of its upstream",
        "Let it hold",
    ),
    "an aggregate of another column": (
        lambda s: by_country(s).join(s.groupBy("kind").count().withColumnRenamed("kind", "country"), "country"),
        ["country"],
        [],
        "joins on nothing of its upstream",
        "Let it hold",
    ),
    "a key of the right side of an outer join": (
        lambda s: s.select("country").join(
            s.select(F.col("country").alias("c"), "units"), F.expr("country = c"), "left"
        ),
        ["c"],
        [],
        "no key that names a group",
        "Add a column",
    ),
    "columns that change places in a union": (
        lambda s: by_country(s.select("country", "kind", "price").union(s.select("kind", "country", "price"))),
        ["country"],
        [],
        "no key that names a group",
        "Add a column",
    ),
    "pandas over all": (
        lambda s: s.select("country").mapInPandas(lambda rows: rows, "country string"),
        ["country"],
        ["country"],
        "no column of its upstream",
        "leave",
    ),
    "pandas over all, below": (
        lambda s: by_country(s).join(
            s.select("country").mapInPandas(lambda rows: rows, "c string"), F.expr("country = c"), "left"
        ),
        ["country"],
        [],
        "joins on nothing",
        "Let it hold",
    ),
    "pandas by less": (
        lambda s: (
            s.select("country", "kind").groupBy("kind").applyInPandas(lambda rows: rows, "country string, kind string")
        ),
        ["kind", "country"],
        ["kind", "country"],
        "'country', which is no column",
        "leave",
    ),
    "rows that stand in the code": (
        lambda s: by_country(s).union(s.sparkSession.sql("select 'all', 1bd")),
        ["country"],
        ["country"],
        "no column of its upstream",
        "leave",
    ),
    "a checkpoint": (
        lambda s: by_country(s.localCheckpoint()),
        ["country"],
        [],
        "outside of its plan",
        "localCheckpoint",
    ),
    "first": (first_of("first"), ["country"], [], "with first, which takes rows as they lie", "row_number"),
    "last": (first_of("last"), ["country"], [], "with last", "row_number"),
    "any": (first_of("any_value"), ["country"], [], "with any_value", "row_number"),
    "a list": (first_of("collect_list"), ["country"], [], "with collect_list", "sort_array"),
    "the kind of the greatest price": (
        lambda s: s.groupBy("country").agg(F.max_by("kind", "price").alias("k")),
        ["country"],
        [],
        "with max_by, where several rows may be first",
        "struct(order",
    ),
    "a number without an order": (
        over("order by price", "row_number()"),
        ["country"],
        [],
        "row_number, and rows may",
        "_batch_id",
    ),
    "one before": (over("order by price", "lag(price)"), ["country"], [], "with lag", "_batch_id"),
    "a frame of rows": (
        over("order by price rows unbounded preceding", "sum(price)"),
        ["country"],
        [],
        "with a frame of rows",
        "_batch_id",
    ),
    "the first of a window": (over("order by price", "first(kind)"), ["country"], [], "with first", "_batch_id"),
    "duplicates": (
        lambda s: s.dropDuplicates(["country"]),
        ["country"],
        [],
        "keeps which it meets first",
        "row_number",
    ),
    "a sum of floats": (
        lambda s: s.groupBy("country").agg((F.sum("weight") / 2).alias("w")),
        ["country"],
        [],
        "with sum of floats",
        "cast to a decimal",
    ),
    "a sum of floats in a window": (over("", "sum(weight)"), ["country"], [], "with sum of floats", "decimal"),
    "a deviation": (
        lambda s: s.groupBy("country").agg(F.stddev("units").alias("d")),
        ["country"],
        [],
        "floats",
        "decimal",
    ),
    "a map": (
        lambda s: s.groupBy(F.create_map("country", "kind").alias("m")).count(),
        ["m"],
        [],
        "holds a map",
        "entries",
    ),
}


@pytest.mark.parametrize(("logic", "keys", "by", "what", "instead"), REFUSED.values(), ids=REFUSED)
def test_a_function_that_mixes_groups_is_refused(
    logic: Logic, keys: list[str], by: list[str], what: str, instead: str, sales: DataFrame
) -> None:
    with pytest.raises(LogicError) as refused:
        verdict_of(logic, sales, keys, by)
    assert what in refused.value.what
    assert instead in str(refused.value.hint)


def test_a_merged_gold_cannot_follow_sessions(sales: DataFrame) -> None:
    def counted(s: DataFrame) -> DataFrame:
        return s.groupBy("country", F.session_window("_arrived_at", "1 hour").alias("w")).agg(F.count("*").alias("n"))

    with pytest.raises(LogicError, match="'w', which is no column of its upstream"):
        check_groups(gold_of(counted, keys=["country", "w"], combine={"n": "count"}), sales)  # type: ignore[arg-type]


def test_the_plan_proves_that_no_key_comes_twice_where_it_does(sales: DataFrame) -> None:
    assert verdict_of(by_country, sales, ["country"]).keys_are_unique
    assert verdict_of(share, sales, ["country", "kind"], ["country"]).keys_are_unique
    assert verdict_of(top_three, sales, ["country", "rank"]).keys_are_unique
    assert verdict_of(full_outer, sales, ["country"]).keys_are_unique is False
    assert verdict_of(scd2, sales, ["country", "day"], ["country"]).keys_are_unique is False
