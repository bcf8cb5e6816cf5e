"""Which functions of several upstreams mix groups: refused, with the operator and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets import gold
from kappa_assets.errors import LogicError
from kappa_assets.logic.logic_check import check_joined, check_whole
from kappa_assets_tests.logic.joined_logic import (
    CUSTOMERS,
    gold_joined,
    newest_of,
    silver_joined,
    spent,
    value,
    with_segment,
)

if TYPE_CHECKING:
    from typing import Any

    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.declare.tables import Gold, Silver
    from kappa_assets_tests.logic.joined_logic import Joined


def refused(table: Silver | Gold, upstreams: tuple[DataFrame, DataFrame], what: str, hint: str) -> None:
    """See that a table is refused at the place of its declaration."""
    with pytest.raises(LogicError) as error:
        check_joined(table, *upstreams)
    assert error.value.what.startswith(f"{table.origin}: {table.name} ")
    assert what in error.value.what
    assert hint in str(error.value.hint)


def of(window: str) -> Joined:
    return lambda s, c: s.join(newest_of(c), "customer_id").selectExpr(
        "customer_id", "sale_id", f"count(*) over ({window}) as n"
    )


def asked_for(s: DataFrame, c: DataFrame) -> DataFrame:
    query = "select * from {s} where customer_id in (select customer_id from {c})"
    return s.sparkSession.sql(query, s=s, c=c)


def asked_beside_the_code(s: DataFrame, c: DataFrame) -> DataFrame:
    """Join with a row that stands in the code, but for what a subquery makes of all sales."""
    query = "select s.customer_id, sale_id, most from {s} s join {c} c on s.customer_id = c.customer_id"
    return s.sparkSession.sql(query + " join (select (select max(price) from {s}) as most)", s=s, c=c)


REFUSED: dict[str, tuple[Joined, str, str]] = {
    "on another column": (
        lambda s, c: s.join(c.select("store", "segment"), "store"),
        "joins on nothing of its upstream, which leaves out 'customer_id': groups by 'customer_id' are mixed",
        "Let both sides be equal in 'customer_id', or declare a Gold without keys and by",
    ),
    "on a column of the other that is called alike": (
        lambda s, c: s.join(c.select(F.col("segment").alias("customer_id"), "at"), "customer_id").drop("at"),
        "joins on nothing of its upstream, which leaves out 'customer_id'",
        "both sides be equal",
    ),
    "on the group of one and a computed one": (
        lambda s, c: s.join(c.select(F.upper("customer_id").alias("u"), "segment"), F.expr("customer_id = u")),
        "joins on nothing of its upstream",
        "both sides be equal",
    ),
    "all with all": (
        lambda s, c: s.crossJoin(c.select("segment")),
        "joins on nothing of its upstream",
        "both sides be equal",
    ),
    "where they are equal or not": (
        lambda s, c: s.join(
            c.select(F.col("customer_id").alias("c"), "segment"), F.expr("customer_id = c or segment = 'a'")
        ),
        "joins on nothing of its upstream",
        "both sides be equal",
    ),
    "with the mean of all": (
        lambda s, c: with_segment(s, c).crossJoin(s.agg(F.max("price").alias("most"))),
        "joins on nothing of its upstream",
        "both sides be equal",
    ),
    "a window that leaves the group out": (of("partition by segment"), "a window over nothing", "Let it hold"),
    "a window over all": (of(""), "a window over nothing", "Let it hold"),
    "an aggregate by another column": (
        lambda s, c: s.drop("store").join(
            c.groupBy("store").agg(F.max("customer_id").alias("customer_id")), "customer_id"
        ),
        "joins on nothing of its upstream",
        "both sides be equal",
    ),
    "a limit": (lambda s, c: with_segment(s, c).limit(3), "limits the number of rows", "row_number"),
    "a sample": (lambda s, c: with_segment(s, c.sample(0.5, 1)), "samples rows", "filter by a column"),
    "a subquery": (asked_for, "reads rows in a subquery", "Join with what it reads, on 'customer_id'"),
    "a subquery beside what stands in the code": (
        asked_beside_the_code,
        "reads rows in a subquery",
        "Join with what it reads, on 'customer_id'",
    ),
    "duplicates by another": (
        lambda s, c: s.join(c.dropDuplicates(["_batch_id", "_row"]).select("customer_id"), "customer_id"),
        "removes duplicates by customers._batch_id, customers._row, which leaves out 'customer_id'",
        "Let it hold",
    ),
    "rows that stand in the code": (
        lambda s, c: (
            s.select("customer_id", "sale_id")
            .unionAll(c.select("customer_id", "_row"))
            .unionAll(s.sparkSession.sql("select 'x', 1L"))
        ),
        "does not give 'customer_id', which names its groups",
        "Select it unchanged",
    ),
    "a union where the group changes place": (
        lambda s, c: s.select("customer_id", "sale_id", F.lit("x").alias("what")).unionAll(
            c.select("segment", "_row", "customer_id")
        ),
        "does not give 'customer_id', which names its groups, in any column as it is",
        "Select it unchanged",
    ),
    "the side that does not stay": (
        lambda s, c: s.join(c, s.customer_id == c.customer_id, "left").select("sale_id", c.customer_id),
        "does not give 'customer_id'",
        "coalesce(left, right)",
    ),
    "the group left out": (
        lambda s, c: with_segment(s, c).drop("customer_id"),
        "does not give 'customer_id'",
        "Select it",
    ),
    "the group computed": (
        lambda s, c: with_segment(s, c).withColumn("customer_id", F.upper("customer_id")),
        "does not give 'customer_id'",
        "Select it",
    ),
    "first": (
        lambda s, c: s.join(c.groupBy("customer_id").agg(F.first("segment").alias("x")), "customer_id"),
        "makes 'x' with first, which takes rows as they lie",
        "row_number",
    ),
    "as of, with ties": (
        lambda s, c: s.join(c.select("customer_id", "segment"), "customer_id").withColumn(
            "n", F.row_number().over(Window.partitionBy("customer_id", "_batch_id", "_row").orderBy("segment"))
        ),
        "makes 'n' with row_number, and rows may share a place in its order",
        "no two rows share",
    ),
    "pandas by another": (
        lambda s, c: (
            s.join(c.select("customer_id"), "customer_id")
            .select("store", "customer_id", "sale_id")
            .groupBy("store")
            .applyInPandas(lambda rows: rows, "store int, customer_id string, sale_id long")
        ),
        "does not give 'customer_id'",
        "Select it",
    ),
    "a checkpoint": (
        lambda s, c: with_segment(s.localCheckpoint(), c),
        "computes rows of its upstream outside of its plan",
        "localCheckpoint",
    ),
    "the clock": (
        lambda s, c: with_segment(s, c).withColumn("now", F.current_timestamp()),
        "uses current_timestamp()",
        "replay",
    ),
    "no key": (lambda s, c: with_segment(s, c).drop("sale_id"), "leaves out sale_id", "It has"),
    "a name of the change feed": (
        lambda s, c: with_segment(s, c).withColumnRenamed("segment", "_change_type"),
        "a name of the change feed",
        "alias()",
    ),
    "one that is not read": (
        lambda s, c: s.select("customer_id", "sale_id"),
        "does not read its upstream 'customers'",
        "Leave the parameter out",
    ),
    "a name that both have": (
        lambda s, c: s.join(c, s.customer_id == c.customer_id).select("customer_id", "sale_id"),
        "does not fit its upstreams",
        "sales has ['_batch_id',",
    ),
}


@pytest.mark.parametrize(("logic", "what", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_function_that_mixes_groups_of_several_upstreams_is_refused(
    logic: Joined, what: str, hint: str, upstreams: tuple[DataFrame, DataFrame]
) -> None:
    refused(silver_joined(logic), upstreams, what, hint)


def test_a_join_on_some_columns_of_the_group_is_told_which_to_name(upstreams: tuple[DataFrame, DataFrame]) -> None:
    by = {"sales": ["store", "customer_id"], "customers": ["store", "customer_id"]}
    what = "joins on customer_id, which leaves out 'store': groups by 'store', 'customer_id' are mixed"

    def logic(s: DataFrame, c: DataFrame) -> DataFrame:
        return s.join(newest_of(c), "customer_id").select("store", "customer_id", "sale_id")

    refused(silver_joined(logic, by=by), upstreams, what, "Let by name ['customer_id'] alone")


def test_columns_that_change_places_between_upstreams_are_no_group(upstreams: tuple[DataFrame, DataFrame]) -> None:
    by = {"sales": ["customer_id", "at"], "customers": ["segment", "at"]}
    what = "joins on at, which leaves out 'customer_id'"
    logic: Joined = lambda s, c: s.join(c.select("customer_id", "at"), ["customer_id", "at"])  # noqa: E731
    refused(silver_joined(logic, by=by), upstreams, what, "['at'] alone")


def test_a_gold_has_its_groups_among_its_keys(upstreams: tuple[DataFrame, DataFrame]) -> None:
    table = gold_joined(value, ["spent"])
    refused(table, upstreams, "has 'customer_id', which names its groups, beside its keys", "Add 'customer_id' to keys")


@pytest.mark.parametrize(
    ("by", "what", "hint"),
    [
        ({"sales": "customer_id", "customers": "buyer"}, "by 'buyer' of customers, which has no such column", "It has"),
        ({"sales": "Customer_id", "customers": "customer_id"}, "by 'Customer_id' of sales, which has no", "It has"),
        (
            {"sales": "sale_id", "customers": "store"},
            "by columns of two types: sales.sale_id is bigint, customers.store is int",
            "Cast one of them in the table that it is read from",
        ),
        (
            {"sales": "price", "customers": "store"},
            "sales.price is decimal(10,2), customers.store is int",
            "Cast one of them",
        ),
    ],
)
def test_what_names_a_group_is_there_and_of_one_type(
    by: dict[str, Any], what: str, hint: str, upstreams: tuple[DataFrame, DataFrame]
) -> None:
    refused(silver_joined(with_segment, by=by), upstreams, what, hint)


def test_a_group_is_named_by_no_map(spark: SparkSession) -> None:
    frames = spark.createDataFrame([], "customer_id map<string,int>"), spark.createDataFrame([], CUSTOMERS)
    refused(silver_joined(with_segment), frames, "which is a map<string,int>", "plain type")


def test_what_is_recomputed_whole_may_read_an_upstream_in_a_subquery(upstreams: tuple[DataFrame, DataFrame]) -> None:
    assert check_whole(gold(overview_of(asked_for)), *upstreams).rows.columns[3] == "sale_id"


def overview_of(logic: Joined) -> Joined:
    def overview(sales: DataFrame, customers: DataFrame) -> DataFrame:
        return logic(sales, customers)

    return overview


def test_a_table_recomputed_whole_reads_each_of_its_upstreams(upstreams: tuple[DataFrame, DataFrame]) -> None:
    def overview(sales: DataFrame, customers: DataFrame) -> DataFrame:
        return spent(sales)

    with pytest.raises(LogicError, match=r"gold\.overview does not read its upstream 'customers'"):
        check_whole(gold(overview), *upstreams)
