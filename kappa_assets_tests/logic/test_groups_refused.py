"""Which functions mix the groups of a Gold: refused, with the operator, the column and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets.errors import LogicError
from kappa_assets.logic.logic_check import check_groups
from kappa_assets_tests.logic.declared_logic import gold_of
from kappa_assets_tests.logic.grouped_logic import by_country, scd2, sessions, share

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from kappa_assets_tests.logic.declared_logic import Logic


def top_of_all(s: DataFrame) -> DataFrame:
    return by_country(s).orderBy("total").limit(3)


def asked_for(s: DataFrame) -> DataFrame:
    return s.sparkSession.sql(
        "select country, sum(price) total from {s} where price > (select avg(price) from {s}) group by country", s=s
    )


def asked_beside_the_code(s: DataFrame) -> DataFrame:
    """Join with a row that stands in the code, but for what a subquery makes of all rows."""
    query = "select s.country, s.total, most from {t} s join (select (select max(price) from {s}) as most)"
    return s.sparkSession.sql(query, s=s, t=by_country(s))


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
    "a subquery beside what stands in the code": (
        asked_beside_the_code,
        ["country"],
        [],
        "reads rows in a subquery",
        "Join",
    ),
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
        check_groups(gold_of(logic, keys=keys, by=by), sales)  # type: ignore[arg-type]
    assert what in refused.value.what
    assert instead in str(refused.value.hint)
