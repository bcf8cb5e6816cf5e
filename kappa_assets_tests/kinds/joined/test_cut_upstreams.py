"""A commit of an upstream that holds batches on both sides of the cut: what is read of it is in the joined table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import Pipeline
from kappa_assets.columns import ADDRESS
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.kind import Standing
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.tape import Tape
from kappa_assets.place.registry import Generation
from kappa_assets_tests.kinds.joined.priced_shop import PricedShop, balances, orders, refunds, sales

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kappa_assets.declare.tables import Silver, Table


@pytest.mark.parametrize("keeps", ["nothing", "its inputs"])
def test_rows_of_a_commit_that_is_cut_are_in_every_group_that_the_position_promises(
    spark: SparkSession, tmp_path: Path, keeps: str
) -> None:
    table = replace(balances, keep_inputs=keeps == "its inputs")
    shop = PricedShop(tmp_path)
    shop.sell(("s0", "ann", 1, 1))  # batch 0 of the tape
    shop.refund(("s0", "ann", 1))
    drains(shop, spark, orders, sales, refunds)
    joins(shop, spark, table)
    assert position_and_rows(shop) == (1, {("ann", 1, 1)})

    shop.sell(("s1", "bob", 20, 1))
    shop.refund(("s0", "ann", 2))
    drains(shop, spark, orders, refunds)
    shop.sell(("s2", "eve", 300, 1))
    drains(shop, spark, orders, sales, files=9)  # one commit, of the batches 2 to 4
    joins(shop, spark, table)
    assert position_and_rows(shop) == (3, {("ann", 1, 3), ("bob", 20, None)})
    shop.refund(("s2", "eve", 4))

    drains(shop, spark, orders, refunds)
    joins(shop, spark, table)
    assert position_and_rows(shop) == (4, {("ann", 1, 3), ("bob", 20, None), ("eve", 300, None)})
    drains(shop, spark, orders, sales)
    joins(shop, spark, table)
    assert position_and_rows(shop) == (5, {("ann", 1, 3), ("bob", 20, None), ("eve", 300, 4)})


def drains(shop: PricedShop, spark: SparkSession, *tables: Table, files: int = 1) -> None:
    shop.drain(spark, Pipeline.from_tables("part", tables), files=files)


def joins(shop: PricedShop, spark: SparkSession, table: Silver) -> None:
    """Bring the joined table alone to the newest vector of its upstreams."""
    names = (sales.name, refunds.name)
    generation = Generation(balances.name, 1, "", 1, 0, None, None, "2026-01-05T00:00:00+00:00")
    standing = Standing(names, (Tape(shop.lake, orders.name),), "", frozenset(names), (ADDRESS, ADDRESS))
    Runner(kind_of(table).query(shop.setting(spark), table, generation, standing)).drain(lambda: None)


def position_and_rows(shop: PricedShop) -> tuple[int, set[tuple[str, int | None, int | None]]]:
    """Return up to which batch of the tape the joined table says that it goes, and its rows."""
    stored = shop.lake.table(balances.name)
    found = last_note(stored)
    assert found is not None
    rows = Counter(tuple(row.values()) for row in DeltaTable(stored.location).to_pyarrow_table().to_pylist())
    assert set(rows.values()) == {1}
    return found[1].position[str(orders.name)].batch, set(rows)
