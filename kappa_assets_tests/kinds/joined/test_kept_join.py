"""A joined table that keeps its inputs is exact whatever happens to them, and reads its upstreams no more."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import Pipeline, silver
from kappa_assets.errors import LogicError
from kappa_assets.kinds import kept_rows
from kappa_assets.kinds.joined.several_query import WholeOfSeveralQuery
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.log.delta_log import last_note
from kappa_assets.place.change import Scan
from kappa_assets_tests.conftest import WALKED
from kappa_assets_tests.kinds.joined.priced_shop import PricedShop, balances, orders, refunds, sales
from kappa_assets_tests.kinds.test_kept_inputs import files_opened, in_proportion

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from kappa_assets.declare.tables import Silver

NAME = str(balances.name)
MANY = [(f"s{n}", f"c{n:03}", n, 1) for n in range(100)]
TROUBLES = (
    *("none", "state lost", "state older", "state of another table", "state changed by hand"),
    "death between the two commits",
)


@silver(keys=["customer"], by={"sales": "customer", "refunds": "customer"}, keep_inputs=True)
def others(sales: DataFrame, refunds: DataFrame) -> DataFrame:
    """Which keeps the same columns."""
    return balances(sales, refunds)


pipeline = Pipeline.from_tables("kept", [orders, sales, refunds, balances, others])


def inputs(shop: PricedShop, of: Silver = balances) -> Path:
    return shop.lake.state(of.name, 1)


def is_exact(shop: PricedShop) -> None:
    """Assert that the table holds what its function gives, and that what it keeps is what its upstreams hold."""
    assert Counter(shop.rows(balances.name)) == shop.told.expected()[NAME]
    kept = DeltaTable(inputs(shop)).to_pyarrow_table().to_pylist()
    sold = Counter((row["_kappa_0"]["customer"], row["_kappa_0"]["amount"]) for row in kept if row["_kappa_0"])
    back = Counter((row["_kappa_1"]["customer"], row["_kappa_1"]["refunded"]) for row in kept if row["_kappa_1"])
    assert sold == Counter((customer, amount) for _, customer, amount, _ in shop.told.sales())
    assert back == Counter((customer, amount) for _, customer, amount in shop.told.refunded)


def test_a_batch_of_few_groups_reads_and_replaces_few_files_and_no_upstream_is_read(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_proportion(monkeypatch)
    shop = PricedShop(tmp_path)
    shop.sell(*MANY)
    shop.drain(spark, pipeline)
    shop.refund(("s1", "c001", 1))
    shop.drain(spark, pipeline)
    is_exact(shop)

    def read(*_: object) -> None:
        raise AssertionError("all of an upstream is read")

    monkeypatch.setattr(WholeOfSeveralQuery, "_read", read)
    opened = files_opened(monkeypatch)
    files = len(DeltaTable(inputs(shop)).file_uris())
    assert files > 8
    shop.sell(("s101", "c003", 7, 1), ("s102", None, 7, 1), ("s103", "new", 7, 1))
    shop.refund(("s5", "c005", 5))
    shop.drain(spark, pipeline)
    is_exact(shop)
    assert opened
    assert max(opened) <= files // 2


def test_what_keeps_no_inputs_reads_the_files_of_its_upstreams_that_may_hold_a_touched_group(
    spark: SparkSession, tmp_path: Path
) -> None:
    plain = Pipeline.from_tables("plain", [orders, sales, refunds, replace(balances, keep_inputs=False)])
    shop = PricedShop(tmp_path)
    for letter in "abcd":  # each a file of its own, of customers next to each other
        shop.sell(*[(f"{letter}{n}", f"{letter}{n}", n, 1) for n in range(10)])
    shop.refund(("b1", "b1", 1), ("d1", "d1", 1))
    shop.drain(spark, plain)
    shop.sell(("z1", "b7", 5, 1), ("z2", None, 5, 1))
    shop.drain(spark, plain)
    assert Counter(shop.rows(balances.name)) == shop.told.expected()[NAME]
    found = last_note(shop.lake.table(balances.name))
    assert found is not None
    note = found[1]
    assert note.scanned is not None
    own = Scan.of(shop.lake.table(balances.name).files(found[0] - 1))
    # Of the sales the file of the letter b and the new one; of the refunds theirs, which goes from b to d.
    assert (note.scanned.files - own.files, note.scanned.rows) == (3, 10 + 2 + 2 + (own.rows or 0))
    assert note.landed == 2


@pytest.mark.slow
@settings(max_examples=3, phases=WALKED)
@given(
    large=st.booleans(),
    steps=st.lists(
        st.tuples(st.sampled_from(["sell", "refund"]), st.integers(1, 3), st.sampled_from(TROUBLES)),
        min_size=3,
        max_size=5,
    ),
)
@example(
    large=True,
    steps=[
        ("sell", 1, "state older"),
        ("refund", 2, "death between the two commits"),
        ("sell", 3, "state lost"),
        ("sell", 1, "state changed by hand"),
        ("refund", 1, "state of another table"),
    ],
)
def test_inputs_that_are_lost_older_or_another_table_s_are_kept_anew(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, *, large: bool, steps: Sequence[tuple[str, int, str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if large:
            in_proportion(patch)
        shop = PricedShop(tmp_path_factory.mktemp("kept"))
        shop.sell(*MANY)
        shop.refund(("s1", "c001", 1))
        shop.drain(spark, pipeline)
        for number, (how, files, trouble) in enumerate(steps):
            older = inputs(shop).with_name("older")
            shutil.copytree(inputs(shop), older)
            happens(shop, how, number)
            if trouble == "death between the two commits":
                dies_between(shop, spark, files)
            else:
                shop.drain(spark, pipeline, files)
            befalls(trouble, shop, older)
            shutil.rmtree(older)
            happens(shop, how, number)
            shop.drain(spark, pipeline, files)
            is_exact(shop)


def happens(shop: PricedShop, how: str, number: int) -> None:
    if how == "sell":
        shop.sell((f"n{number}", f"c{number:03}", 5, 1), (f"m{number}", None, 6, 1))
    else:
        shop.refund((f"n{number}", "c050", number))


def befalls(trouble: str, shop: PricedShop, older: Path) -> None:
    if trouble in ("state lost", "state older", "state of another table"):
        shutil.rmtree(inputs(shop))
    if trouble == "state changed by hand":
        DeltaTable(inputs(shop)).delete("customer = 'c001'")
    if trouble == "state older":
        shutil.copytree(older, inputs(shop))
    if trouble == "state of another table":
        shutil.copytree(inputs(shop, others), inputs(shop))


def dies_between(shop: PricedShop, spark: SparkSession, files: int) -> None:
    """Let the inputs be at the end of the next batch, and the table not."""

    class Died(Exception):
        pass

    def dies(point: str, table: str) -> None:
        if point == "after_commit" and NAME in table:
            raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_rows, "fault_point", dies)
        with pytest.raises(Died):
            shop.drain(spark, pipeline, files)


@pytest.mark.slow
def test_a_function_that_goes_forward_with_other_columns_keeps_these(spark: SparkSession, tmp_path: Path) -> None:
    shop = PricedShop(tmp_path)

    def with_columns(*columns: str) -> Pipeline:
        def newest(sales: DataFrame, refunds: DataFrame) -> DataFrame:
            told = [F.max(column).alias("told") for column in columns]
            return sales.join(refunds, "customer", "left").groupBy("customer").agg(*told)

        declared = silver(
            keys=["customer"],
            by={"sales": "customer", "refunds": "customer"},
            keep_inputs=True,
            on_change="forward",
            version=columns[0],
        )(newest)
        return Pipeline.from_tables("forward", [orders, sales, refunds, declared])

    shop.sell(("s1", "ann", 10, 5))
    shop.refund(("s1", "ann", 3))
    shop.drain(spark, with_columns("refunded"))
    shop.sell(("s2", "bob", 20, 6))
    shop.drain(spark, with_columns("at"))
    shop.sell(("s3", "ann", 1, 7))
    shop.drain(spark, with_columns("at"))
    (newest,) = [name for name in with_columns("at").tables if name.name == "newest"]
    assert set(shop.rows(newest)) == {("ann", 7), ("bob", 6)}


def test_what_tells_no_rows_apart_is_not_kept(spark: SparkSession) -> None:
    @silver(keys=["customer"], by={"sales": "customer", "refunds": "customer"}, keep_inputs=True)
    def mapped(sales: DataFrame, refunds: DataFrame) -> DataFrame:
        both = sales.join(refunds.select("customer"), "customer", "left_semi")
        return both.groupBy("customer").agg(F.count("tags").alias("tags"))

    sold = spark.createDataFrame([], "customer string, tags map<string,string>")
    back = spark.createDataFrame([], "customer string")
    with pytest.raises(LogicError, match=r"cannot tell rows of sales apart by tags \(map<string,string>\)"):
        kind_of(mapped).check(mapped, sold, back)
    plain = replace(mapped, keep_inputs=False)
    assert kind_of(plain).check(plain, sold, back).groups
