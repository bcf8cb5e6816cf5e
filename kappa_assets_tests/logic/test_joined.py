"""Functions of several upstreams that keep the groups apart which their declaration names in each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets import gold, silver
from kappa_assets.errors import LogicError
from kappa_assets.logic.logic_check import check_groups, check_joined, check_whole
from kappa_assets_tests.logic.joined_logic import (
    SALES,
    as_of,
    counted,
    gold_joined,
    newest_of,
    silver_joined,
    spent,
    value,
    with_segment,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.declare.tables import Gold, Silver
    from kappa_assets.logic.verdict import Verdict
    from kappa_assets_tests.logic.joined_logic import Joined


def verdict_of(table: Silver | Gold, *upstreams: DataFrame) -> Verdict:
    verdict = check_joined(table, *upstreams).groups
    assert verdict is not None
    return verdict


def in_python(sales: DataFrame, customers: DataFrame) -> DataFrame:
    left, right = sales.select("customer_id", "sale_id"), customers.select("customer_id", "store")
    both = left.groupBy("customer_id").cogroup(right.groupBy("customer_id"))
    return both.applyInPandas(lambda a, _: a, "customer_id string, sale_id long")


def in_sql(sales: DataFrame, customers: DataFrame) -> DataFrame:
    return sales.sparkSession.sql(
        "with c as (select distinct customer_id, store from {customers}) "
        "select s.customer_id, sale_id, c.store, d.store again from {sales} s "
        "join c on s.customer_id <=> c.customer_id join c d on s.customer_id = d.customer_id",
        sales=sales,
        customers=customers,
    )


ACCEPTED: dict[str, Joined] = {
    "each with the newest": with_segment,
    "as of": as_of,
    "in full, by USING": lambda s, c: value(s, c).withColumn("sale_id", F.lit(1)),
    "in full, by its own Coalesce": lambda s, c: s.join(c, s.customer_id == c.customer_id, "full").select(
        F.coalesce(s.customer_id, c.customer_id).alias("customer_id"), "sale_id", "segment"
    ),
    "of the right side": lambda s, c: s.join(c, s.customer_id == c.customer_id, "right").select(
        c.customer_id, "sale_id"
    ),
    "those that have some": lambda s, c: s.join(c.where("segment = 'a'"), "customer_id", "left_semi"),
    "those that have none": lambda s, c: s.join(c, s.customer_id.eqNullSafe(c.customer_id), "left_anti"),
    "united": lambda s, c: counted(s, c).withColumn("sale_id", F.lit(1)),
    "in common": lambda s, c: (
        s.select("customer_id").intersect(c.select("customer_id")).withColumn("sale_id", F.lit(1))
    ),
    "one side with itself": lambda s, c: s.join(spent(s), "customer_id").join(c.select("customer_id"), "customer_id"),
    "on more than the group": lambda s, c: s.join(c.drop("at"), ["customer_id", "store"]).select(
        "customer_id", "sale_id", "segment"
    ),
    "with what stands in the code": lambda s, c: s.join(c.select("customer_id", "segment"), "customer_id").join(
        s.sparkSession.createDataFrame([("a", 2)], "segment string, rate int"), "segment"
    ),
    "renamed": lambda s, c: with_segment(s, c).withColumnRenamed("customer_id", "buyer"),
    "in Python": in_python,
    "in SQL": in_sql,
}


@pytest.mark.parametrize("logic", ACCEPTED.values(), ids=ACCEPTED)
def test_a_function_that_keeps_groups_of_both_apart_is_taken(
    logic: Joined, upstreams: tuple[DataFrame, DataFrame]
) -> None:
    verdict = verdict_of(silver_joined(logic), *upstreams)
    assert verdict.by == (("buyer",) if logic is ACCEPTED["renamed"] else ("customer_id",))
    assert verdict.plain_of == (("customer_id",), ("customer_id",))
    assert verdict.groups == ("customer_id",)
    assert verdict.believed == (logic is in_python)
    assert hash(verdict) == hash(verdict)


def test_groups_of_two_columns_under_other_names_go_together_by_their_place(spark: SparkSession) -> None:
    sales = spark.createDataFrame([], "store int, buyer string, price int")
    people = spark.createDataFrame([], "id string, shop int, name string")

    def logic(s: DataFrame, c: DataFrame) -> DataFrame:
        both = s.join(c, (s.store == c.shop) & (s.buyer == c.id))
        return both.groupBy("shop", "buyer").agg(F.sum("price").alias("spent"))

    by = {"sales": ["buyer", "store"], "customers": ["id", "shop"]}
    verdict = verdict_of(gold_joined(logic, ["buyer", "shop"], by), sales, people)
    assert verdict.by == ("buyer", "shop")
    assert verdict.plain_of == (("buyer", "store"), ("id", "shop"))
    assert verdict.keys_are_unique


def test_of_several_columns_that_are_the_group_a_gold_takes_one_of_its_keys(
    upstreams: tuple[DataFrame, DataFrame],
) -> None:
    def logic(s: DataFrame, c: DataFrame) -> DataFrame:
        return value(s, c).select("customer_id", F.col("customer_id").alias("buyer"), "spent")

    assert verdict_of(gold_joined(logic, ["buyer"]), *upstreams).by == ("buyer",)
    assert verdict_of(silver_joined(logic, ["spent"]), *upstreams).by == ("customer_id",)


def test_the_plan_proves_that_no_key_comes_twice_in_its_group_where_it_does(
    upstreams: tuple[DataFrame, DataFrame],
) -> None:
    def by_address(s: DataFrame, c: DataFrame) -> DataFrame:
        return s.join(newest_of(c), "customer_id", "left")

    assert verdict_of(gold_joined(lambda s, c: spent(s).join(newest_of(c), "customer_id")), *upstreams).keys_are_unique
    assert verdict_of(silver_joined(by_address, ["_batch_id", "_row"]), *upstreams).keys_are_unique
    assert not verdict_of(silver_joined(by_address, ["sale_id"]), *upstreams).keys_are_unique


def test_an_order_may_end_in_what_is_known_to_be_unique_of_an_upstream(spark: SparkSession) -> None:
    sales = spark.createDataFrame([], "sale_id long, customer_id string, price int, _batch_id long, _row long")
    people = spark.createDataFrame([], "customer_id string, segment string")

    def best_by(*order: str) -> Joined:
        place = F.row_number().over(Window.partitionBy("customer_id").orderBy(F.desc("price"), *order))
        return lambda s, c: (
            s.join(c, "customer_id").withColumn("place", place).select("customer_id", "place", "segment")
        )

    known = {"unique": [("sale_id",), ("customer_id",)]}
    table = gold_joined(best_by("sale_id"), ["customer_id", "place"])
    verdict = check_joined(table, sales, people, **known).groups
    assert verdict is not None
    assert verdict.keys_are_unique
    with pytest.raises(LogicError, match="'place' with row_number") as refused:
        check_joined(table, sales, people)
    assert str(refused.value.hint).endswith("such as _batch_id, _row.")
    with pytest.raises(LogicError, match="'place' with row_number") as refused:  # the address is no key of it
        check_joined(gold_joined(best_by("_batch_id", "_row")), sales, people, **known)
    assert str(refused.value.hint).endswith("such as sale_id, customer_id.")


def test_a_gold_over_a_gold_orders_by_its_keys(spark: SparkSession) -> None:
    values = spark.createDataFrame([], "country string, customer_id string, spent long")
    place = F.row_number().over(Window.partitionBy("country").orderBy(F.desc("spent"), "customer_id"))

    def best(sales: DataFrame) -> DataFrame:
        return sales.withColumn("place", place).where("place <= 3").select("country", "place", "customer_id")

    table = gold(keys=["country", "place"], by=["country"])(best)
    assert check_groups(table, values, unique=[("country", "customer_id")]).groups is not None
    for none in ([()], [("country", "gone")]):
        with pytest.raises(LogicError, match="'place' with row_number"):
            check_groups(table, values, unique=none)


def test_one_dataframe_given_twice_is_two_upstreams(spark: SparkSession) -> None:
    sales = spark.createDataFrame([], SALES)
    table = gold_joined(lambda s, c: spent(s).join(spent(c).select("customer_id"), "customer_id"))
    assert verdict_of(table, sales, sales).by == ("customer_id",)


def test_a_silver_of_one_upstream_has_its_groups_checked_alike(upstreams: tuple[DataFrame, DataFrame]) -> None:
    def sessions(sales: DataFrame) -> DataFrame:
        found = sales.groupBy("customer_id", F.session_window("at", "30 minutes").alias("w")).agg(
            F.count("*").alias("n")
        )
        return found.select("customer_id", F.col("w.start").alias("began"), "n")

    verdict = verdict_of(silver(keys=["began"], by=["customer_id"])(sessions), upstreams[0])
    assert (verdict.by, verdict.plain_of) == (("customer_id",), (("customer_id",),))
    assert not verdict.keys_are_unique  # a session grows: that no two begin at once, no plan says


def test_what_is_recomputed_whole_may_join_as_it_likes(upstreams: tuple[DataFrame, DataFrame]) -> None:
    def overview(sales: DataFrame, customers: DataFrame) -> DataFrame:
        return sales.join(customers, "store").agg(F.count("*").alias("n"))

    answer = check_whole(gold(overview), *upstreams)
    assert (answer.rows.columns, answer.groups) == (["n"], None)
