"""Tables of several upstreams, and tables above them: exact after every drain, whatever came in which order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable
from pyspark.sql.types import StructType

from kappa_assets import Pipeline
from kappa_assets.errors import ReplayError
from kappa_assets.kinds.joined.several_query import WholeOfSeveralQuery
from kappa_assets.replay import plan_replay, rollback, run_replay
from kappa_assets_tests.kinds.joined.priced_shop import TABLES, PricedShop, doubled, pipeline, priced_sales, sales

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kappa_assets.names import TableName
    from kappa_assets.replay import ReplayResult

PROJECT = Path(__file__).parents[3]
ABOVE_THE_JOINS = TABLES[:5]


def first_day(shop: PricedShop) -> None:
    shop.change(("ann", "gold", 1), ("bob", "iron", 1), (None, "lost", 1))
    shop.sell(("s1", "ann", 10, 5), ("s2", "bob", 20, 5), ("s3", "eve", 30, 5), ("s4", None, 40, 5))
    shop.sell(("s5", "ann", 7, 9))
    shop.refund(("s1", "ann", 10), ("s9", "zoe", 3), ("s4", None, 40))


def second_day(shop: PricedShop) -> None:
    shop.change(("ann", "iron", 4))  # comes late: the sale at 5 and that at 9 were made after it
    shop.sell(("s6", "bob", 1, 0))  # before anything was known of bob
    shop.change(("eve", "gold", 2), ("bob", "gold", 7))


@pytest.mark.slow
def test_joined_tables_and_those_above_are_exact_after_every_drain(spark: SparkSession, tmp_path: Path) -> None:
    shop = PricedShop(tmp_path)
    first_day(shop)
    shop.drain(spark)
    assert shop.held() == shop.told.expected()
    second_day(shop)
    shop.drain(spark)
    assert shop.held() == shop.told.expected()
    shop.drain(spark)
    assert shop.held() == shop.told.expected()


@pytest.mark.slow
def test_replay_rollback_and_validation_go_down_all_of_it(spark: SparkSession, tmp_path: Path) -> None:
    shop = PricedShop(tmp_path)
    first_day(shop)
    shop.drain(spark)
    as_it_was = shop.held()

    result = replayed(shop, spark, sales.name, from_version=2)
    assert result.state == "promoted", result.comparison.faults
    below = [sales.name, *pipeline.downstream(sales.name)]
    assert [one.table for one in result.comparison.tables] == below
    assert [one.not_comparable for one in result.comparison.tables] == [None] * len(below)
    shop.told.doubled_from = 1
    assert shop.held() == shop.told.expected() != as_it_was

    second_day(shop)
    shop.drain(spark, doubled)
    assert shop.held() == shop.told.expected()
    rollback(shop.lake)
    shop.told.doubled_from = None
    shop.drain(spark)
    assert shop.held() == shop.told.expected()

    checked = replayed(shop, spark, sales.name, to_version=2)
    assert checked.state == "validated"
    with pytest.raises(ReplayError, match=r"priced_sales stands on bronze\.orders and bronze\.people"):
        plan_replay(shop.lake, pipeline, [priced_sales.name], from_version=1)


def replayed(shop: PricedShop, spark: SparkSession, table: TableName, **part: int) -> ReplayResult:
    """Replay a table, whose sales are doubled now, and all below it."""
    plan = plan_replay(
        shop.lake, doubled, [table], from_version=part.get("from_version"), to_version=part.get("to_version")
    )
    return run_replay(shop.setting(spark), doubled, plan, progress=lambda _: None)


@pytest.mark.slow
def test_deaths_lost_checkpoints_and_cleaned_logs_lose_nothing(spark: SparkSession, tmp_path: Path) -> None:
    shop = PricedShop(tmp_path)
    first_day(shop)
    dies(shop, "fence_seen", priced_sales.name)
    second_day(shop)
    dies(shop, "after_commit", priced_sales.name)
    shop.drain(spark)
    assert shop.held() == shop.told.expected()

    # A checkpoint that is gone: it numbers tries, and the newest note says what is in.
    shutil.rmtree(shop.lake.checkpoint(priced_sales.name))
    shop.sell(("s7", "ann", 3, 9))
    # The changes that the joined tables have not read are not told any more.
    shop.drain(spark, Pipeline.from_tables("priced", ABOVE_THE_JOINS))
    log = shop.lake.folder(sales.name) / "_delta_log"
    DeltaTable(log.parent).create_checkpoint()
    for entry in sorted(log.glob("*.json"))[:-1]:
        entry.unlink()
    shop.drain(spark)
    assert shop.held() == shop.told.expected()


@pytest.mark.slow
def test_a_column_that_comes_between_the_start_of_a_query_and_its_batch_is_taken_in(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = PricedShop(tmp_path)
    first_day(shop)
    shop.drain(spark, Pipeline.from_tables("priced", ABOVE_THE_JOINS), files=9)
    now, asked = WholeOfSeveralQuery._schemas_now, []

    def as_it_was(query: WholeOfSeveralQuery) -> tuple[StructType, ...]:
        asked.append(query.table)
        first = query.table not in asked[:-1]
        return tuple(StructType(schema.fields[:-1]) if first else schema for schema in now(query))

    monkeypatch.setattr(WholeOfSeveralQuery, "_schemas_now", as_it_was)
    shop.drain(spark, files=9)
    assert asked.count(priced_sales.name) == 4, "a start, its batch, and both once more"
    assert shop.held() == shop.told.expected()


def dies(shop: PricedShop, point: str, table: TableName) -> None:
    """Drain in a process that is killed at a point of the work on a table."""
    command = [sys.executable, "-m", "kappa_assets_tests.kinds.joined.priced_shop", str(shop.folder), point, str(table)]
    died = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-3000:]
