"""Candidates are compared with live tables that do not stand still."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets import TableName
from kappa_assets.compare import generations
from kappa_assets.compare.aggregates import Aggregates
from kappa_assets.declare.tables import Gold
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.oracle import DAILY_REVENUE, oracle
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.whole.corrected_retail import AS_IT_WAS, CORRECTED
from kappa_assets_tests.whole.verify import SILVER

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.slow

DAILY = TableName.parse("gold.daily_revenue")


def land_another(landing: Path, seed: int) -> None:
    """Land a file under a name, and with sales, of its own."""
    (made,) = make_files(landing.with_name("another"), seed, files=1, lines=40)
    made.rename(landing / f"2026-02-01{''.join(made.suffixes)}")


def test_all_of_a_comparison_is_of_one_moment_though_the_live_tables_go_on(
    spark: SparkSession, three_days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = three_days / "landing"
    setting = Setting(spark, Lake.at(three_days / "lake"), landing)
    files = sorted((landing / "invoices").iterdir())
    added_up = generations.aggregates  # type: ignore[attr-defined]  # the module's own import, which the test stands before

    gold = CORRECTED.derived_table(DAILY)
    assert isinstance(gold, Gold)
    moved = []

    def then_live_goes_on(
        live: DataFrame, candidate: DataFrame, keys: tuple[str, ...], column: str | None
    ) -> Aggregates:
        found: Aggregates = added_up(live, candidate, keys, column)
        if keys == gold.keys:
            before = latest_version(setting.lake.folder(DAILY, 1)) or 0
            land_another(landing / "invoices", seed=1_000)
            Host(setting, AS_IT_WAS).drain()
            moved.append(latest_version(setting.lake.folder(DAILY, 1)) != before)
        return found

    monkeypatch.setattr(generations, "aggregates", then_live_goes_on)
    plan = plan_replay(setting.lake, CORRECTED, [SILVER])
    result = run_replay(setting, CORRECTED, plan, promote="hold", progress=lambda _: None)
    assert moved == [True]
    expected = oracle(files)
    (sales,) = [t for t in result.comparison.tables if t.table == SILVER]
    (daily,) = [t for t in result.comparison.tables if t.table == DAILY]
    assert (sales.live_rows, sales.only_live, sales.only_candidate) == (expected.sales.total(), 0, 0)
    assert (daily.live_rows, daily.only_live, daily.only_candidate) == (len(expected.daily_revenue), 0, 0)
    revenue = DAILY_REVENUE.index("revenue")
    assert daily.columns == {"revenue": sum(1 for row in expected.daily_revenue if row[revenue])}
    for difference in daily.sample:
        assert difference.column == "revenue"
