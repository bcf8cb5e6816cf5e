"""Which columns of its upstream a Gold reads: those that its function needs, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from kappa_assets.logic.analysed import columns_used
from kappa_assets_tests.logic.test_logic_check_gold import MERGED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets_tests.logic.declared_logic import Logic

USED: dict[str, tuple[Logic, set[str]]] = {
    "an aggregate": (MERGED["plain"], {"day", "country", "price"}),
    "columns passed on and not used": (
        lambda s: s.withColumn("kind", F.upper("kind")).groupBy("day").agg(F.sum("price")),
        {"day", "price"},
    ),
    "a filter": (lambda s: s.where("units > 0").groupBy("day").agg(F.count("*")), {"day", "units"}),
    "both sides of a join": (
        lambda s: s.groupBy("day").agg(F.sum("price")).join(s.groupBy("day").agg(F.max("units")), "day"),
        {"day", "price", "units"},
    ),
    "a count of all rows": (lambda s: s.agg(F.count("*").alias("rows")), set()),
    "a window": (
        lambda s: s.selectExpr("day", "row_number() over (partition by country order by price) n").where("n = 1"),
        {"day", "country", "price"},
    ),
}


@pytest.mark.parametrize("name", USED)
def test_what_a_function_needs_is_known(name: str, sales: DataFrame) -> None:
    logic, used = USED[name]
    assert columns_used(logic(sales)) == frozenset(used)


@pytest.mark.parametrize("logic", [lambda s: s, lambda s: s.distinct(), lambda s: s.where("price > 0")])
def test_a_function_that_passes_all_on_needs_all(logic: Logic, sales: DataFrame) -> None:
    assert columns_used(logic(sales)) == frozenset(sales.columns)


def test_a_plan_that_was_folded_away_tells_nothing(sales: DataFrame) -> None:
    assert columns_used(sales.where("false").groupBy("day").count()) is None


def test_a_column_without_nulls_stays_what_it_is_where_its_values_are_counted(spark: SparkSession) -> None:
    whole = spark.createDataFrame([], "day date, line string not null, country string")
    assert columns_used(whole.groupBy("day").agg(F.count("line"))) == frozenset({"day", "line"})


def test_a_function_in_python_is_asked_what_it_takes(sales: DataFrame) -> None:
    longer = F.udf(lambda text: text + text)
    counted = sales.select("day", longer("country").alias("c")).groupBy("c").count()
    assert columns_used(counted) == frozenset({"country"})
