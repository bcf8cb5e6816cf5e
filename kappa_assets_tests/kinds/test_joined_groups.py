"""What a table of several upstreams recomputes: the groups that came in any of them, checked as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from kappa_assets import gold, silver
from kappa_assets.kinds.touched import all_of_joined, recomputed_joined, row_keys, what_is_mixed
from kappa_assets.logic.logic_check import check_joined
from kappa_assets.place.change import Groups

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.declare.tables import Gold, Silver
    from kappa_assets.logic.verdict import Verdict

SALES = "sale_id long, customer_id string, price long"
PEOPLE = "id string, segment string"
BY = {"sales": "customer_id", "people": "id"}
BOUGHT = [(1, "a", 5), (2, "a", 6), (3, "b", 7), (4, None, 8)]
KNOWN = [("a", "gold"), ("b", "tin"), ("c", "tin"), (None, "none")]


@silver(keys=["sale_id"], by=BY)
def priced_sales(sales: DataFrame, people: DataFrame) -> DataFrame:
    """Join each sale with who bought it, also where that is not known."""
    same = sales.customer_id.eqNullSafe(people.id)
    return sales.join(people, same, "left").select("sale_id", "customer_id", "price", "segment")


@gold(keys=["customer_id"], by=BY)
def named_by_python(sales: DataFrame, people: DataFrame) -> DataFrame:
    """Give rows of customer `b` beside those of the customer that is asked for."""
    left, right = sales.select("customer_id", "price"), people.select(F.col("id").alias("customer_id"))
    both = left.groupBy("customer_id").cogroup(right.groupBy("customer_id"))
    return both.applyInPandas(lambda a, _: a.assign(customer_id="b"), "customer_id string, price long")


def frames(spark: SparkSession, bought: list[Any], known: list[Any]) -> list[DataFrame]:
    return [spark.createDataFrame(bought, SALES).coalesce(1), spark.createDataFrame(known, PEOPLE).coalesce(1)]


def verdict_of(spark: SparkSession, table: Silver | Gold) -> Verdict:
    verdict = check_joined(table, *frames(spark, [], [])).groups
    assert verdict is not None
    return verdict


def recomputed(
    spark: SparkSession, table: Silver | Gold, came: list[list[Any] | None], bought: Any = BOUGHT, known: Any = KNOWN
) -> tuple[list[tuple[Any, ...]], set[Any]]:
    """Return the rows that are given of the groups that are touched, and these."""
    images = [
        None if rows is None else spark.createDataFrame(rows, schema)
        for rows, schema in zip(came, (SALES, PEOPLE), strict=True)
    ]
    verdict = verdict_of(spark, table)
    answer, touched, _ = recomputed_joined(
        table, verdict, images, frames(spark, bought, known), small=False, few=lambda _: None
    )
    return sorted(map(tuple, answer.collect())), {row[0] for row in touched.collect()}


def test_what_came_of_either_upstream_is_recomputed_from_both(spark: SparkSession) -> None:
    rows, touched = recomputed(spark, priced_sales, [[(3, "b", 7)], [("a", "tin"), ("c", "tin")]])
    assert touched == {"a", "b", "c"}
    assert rows == [(1, "a", 5, "gold"), (2, "a", 6, "gold"), (3, "b", 7, "tin")]


def test_null_is_a_group_and_one_upstream_may_bring_nothing(spark: SparkSession) -> None:
    assert recomputed(spark, priced_sales, [None, [(None, "none")]]) == ([(4, None, 8, "none")], {None})
    with pytest.raises(ValueError, match=r"nothing came for silver\.priced_sales"):
        recomputed(spark, priced_sales, [None, None])


def test_few_groups_are_told_as_values_and_joined_with_as_such(spark: SparkSession) -> None:
    images = [spark.createDataFrame([(4, None, 8), (3, "b", 7)], SALES), None]

    def few(touched: DataFrame) -> Groups:
        return Groups(("customer_id",), touched.distinct().toArrow())

    verdict, rows = verdict_of(spark, priced_sales), frames(spark, BOUGHT, KNOWN)
    answer, _, groups = recomputed_joined(priced_sales, verdict, images, rows, small=True, few=few)
    assert groups is not None
    assert set(groups.values["customer_id"].to_pylist()) == {None, "b"}
    assert {row.sale_id for row in answer.collect()} == {3, 4}


def test_a_key_that_comes_twice_in_a_group_fails_and_in_two_groups_it_does_not(spark: SparkSession) -> None:
    assert row_keys(priced_sales, verdict_of(spark, priced_sales)) == ("customer_id", "sale_id")
    twice = [(1, "a", 5), (1, "b", 6)]
    assert len(recomputed(spark, priced_sales, [twice, None], twice)[0]) == 2
    with pytest.raises(PySparkException) as error:
        recomputed(spark, priced_sales, [twice, None], known=[("a", "gold"), ("a", "tin")])
    assert what_is_mixed(error.value) == 'a key that comes twice: {"customer_id":"a","sale_id":1}'


def test_a_row_of_a_group_that_was_not_touched_fails(spark: SparkSession) -> None:
    assert verdict_of(spark, named_by_python).believed
    assert recomputed(spark, named_by_python, [[(3, "b", 7)], None])[0] == [("b", 7)]
    with pytest.raises(PySparkException) as error:
        recomputed(spark, named_by_python, [[(1, "a", 5)], None], bought=[(1, "a", 5)])
    assert what_is_mixed(error.value) == 'a row of a group that no row read is in: {"customer_id":"b"}'


def test_all_groups_are_checked_alike(spark: SparkSession) -> None:
    rows = frames(spark, BOUGHT, KNOWN)
    assert all_of_joined(priced_sales, verdict_of(spark, priced_sales), rows).count() == 4
    alone = frames(spark, [(1, "a", 5)], [("a", "gold")])
    with pytest.raises(PySparkException) as error:
        all_of_joined(named_by_python, verdict_of(spark, named_by_python), alone).collect()
    assert what_is_mixed(error.value) == 'a row of a group that no row read is in: {"customer_id":"b"}'
