"""Whatever comes to two tapes, in any order, through deaths and upkeep: live and replayed it is what Python says."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets import Pipeline
from kappa_assets.faults import Point
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.replay import plan_replay, rollback, run_replay
from kappa_assets_tests.conftest import WALKED
from kappa_assets_tests.kinds.joined.priced_shop import TABLES, PricedShop, doubled, pipeline, sales

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Step = tuple[Any, ...]
POINTS: tuple[Point, ...] = ("before_offsets", "fence_seen", "after_commit")
WRITTEN = [str(table.name) for table in TABLES]

_customers = st.sampled_from(["ann", "bob", "eve", None])
_amounts, _times = st.integers(1, 50), st.integers(0, 9)


def _rows(*columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    return st.lists(st.tuples(*columns), min_size=1, max_size=3)


SALES = st.tuples(st.just("sell"), _rows(_customers, _amounts, _times))
CHANGES = st.tuples(st.just("change"), _rows(_customers, st.sampled_from(["gold", "iron"]), _times))
STEPS: st.SearchStrategy[Step] = st.one_of(
    SALES,
    CHANGES,
    st.tuples(st.just("refund"), _rows(_customers, _amounts)),
    st.tuples(st.just("drain"), st.integers(1, 3)),
    st.tuples(st.just("drain some"), st.integers(3, len(TABLES) - 1)),
    st.tuples(st.just("die"), st.sampled_from(POINTS), st.sampled_from(WRITTEN)),
    st.tuples(st.just("lose checkpoint"), st.sampled_from(WRITTEN)),
    st.tuples(st.just("upkeep")),
)
FIRST: tuple[Step, ...] = (
    ("sell", [("ann", 10, 5), (None, 40, 5)]),
    ("change", [("ann", "gold", 1), (None, "iron", 1)]),
    ("refund", [("ann", 10)]),
)


class Died(Exception):
    """Raised where a process would end: nothing that this process would still do is done."""


# Two tapes that are read apart: once one is ahead of the other, once a table is ahead of what it is joined with. Deaths
# before and after commits of both upstreams and of what stands on them; a late change; what is small is merged between.
@pytest.mark.slow
@settings(max_examples=3, phases=WALKED)
@given(steps=st.lists(STEPS, min_size=2, max_size=8))
@example(
    steps=[
        ("die", "after_commit", "silver.sales"),
        ("change", [("bob", "iron", 3), ("ann", "iron", 4)]),
        ("drain some", 5),
        ("sell", [("bob", 7, 2), ("bob", 8, 3), ("eve", 9, 0)]),
        ("die", "fence_seen", "silver.priced_sales"),
        ("upkeep",),
        ("change", [("bob", "gold", 2)]),
        ("die", "after_commit", "silver.priced_sales"),
        ("lose checkpoint", "silver.priced_sales"),
        ("refund", [("eve", 9), ("bob", 1)]),
        ("drain some", 6),
        ("die", "before_offsets", "gold.segment_revenue"),
        ("change", [("eve", "iron", 0)]),
        ("die", "after_commit", "silver.customers"),
        ("upkeep",),
        ("refund", [("ann", 3)]),
        ("die", "fence_seen", "silver.balances"),
        ("sell", [("bob", 5, 5)]),
    ]
)
def test_any_history_of_two_tapes_is_live_and_replayed_what_the_functions_give_of_everything(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: Sequence[Step]
) -> None:
    past = _Past(PricedShop(Path(tempfile.mkdtemp(dir=tmp_path))), spark, monkeypatch)
    for step in (*FIRST, *steps):
        past.do(*step)
    shop = past.shop
    shop.drain(spark)
    assert shop.held() == shop.told.expected()

    plan = plan_replay(shop.lake, doubled, [sales.name])
    assert run_replay(shop.setting(spark, files=9), doubled, plan, progress=lambda _: None).state == "promoted"
    shop.told.doubled_from = 0
    assert shop.held() == shop.told.expected()
    rollback(shop.lake)
    shop.told.doubled_from = None
    assert shop.held() == shop.told.expected()


class _Past:
    """A shop to which things happen."""

    def __init__(self, shop: PricedShop, spark: SparkSession, patch: pytest.MonkeyPatch) -> None:
        self.shop = shop
        self._spark, self._patch = spark, patch
        self._numbered = self._days = 0

    def do(self, what: str, *told: Any) -> None:
        match what:
            case "sell":
                self.shop.sell(*[(self._sale(), *row) for row in told[0]])
            case "refund":
                self.shop.refund(*[(self._sale(), *row) for row in told[0]])
            case "change":
                self.shop.change(*told[0])
            case "drain":
                self.shop.drain(self._spark, files=told[0])
            case "drain some":
                self.shop.drain(self._spark, Pipeline.from_tables("priced", TABLES[: told[0]]))
            case "die":
                self._die(*told)
            case "lose checkpoint":
                (table,) = (table for table in TABLES if str(table.name) == told[0])
                shutil.rmtree(self.shop.lake.checkpoint(table.name), ignore_errors=True)
            case "upkeep":
                self._days += 1
                maintain(self.shop.lake, pipeline, now=dt.datetime.now(dt.UTC) + dt.timedelta(days=self._days))

    def _sale(self) -> str:
        self._numbered += 1
        return f"s{self._numbered}"

    def _die(self, point: Point, table: str) -> None:
        """Drain, and end in the midst of it where the work comes by that point."""

        def dies(at: Point, what: str) -> None:
            if (at, what) == (point, table):
                raise Died

        with self._patch.context() as patch, suppress(Died):
            patch.setattr("kappa_assets.faults._hooks", [dies])
            self.shop.drain(self._spark)
