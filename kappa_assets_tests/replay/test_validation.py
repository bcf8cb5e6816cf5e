"""A replay with an end on the tape: the past built again, compared with the live tables as of then, never promoted."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from deltalake import DeltaTable

from kappa_assets import Pipeline, TableName
from kappa_assets.compare import TableComparison
from kappa_assets.declare.tables import Gold
from kappa_assets.errors import PromotionRefused, ReplayError
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.replay import ReplayResult, discard_replay, plan_replay, promote_replay, run_replay
from kappa_assets_tests.copied_shop import Shop
from kappa_assets_tests.oracle import CUSTOMER_VALUE, DAILY_REVENUE, SALES, oracle, rows_of
from kappa_assets_tests.whole.corrected_retail import AS_IT_WAS, CORRECTED
from kappa_assets_tests.whole.verify import INVOICES, SILVER, read

pytestmark = pytest.mark.slow

DAILY, CUSTOMERS = TableName.parse("gold.daily_revenue"), TableName.parse("gold.customer_value")


def validate(shop: Shop, pipeline: Pipeline, table: TableName, **asked: int | str) -> ReplayResult:
    plan = plan_replay(shop.lake, pipeline, [table], **asked)  # type: ignore[arg-type]  # a test's own table of arguments
    return run_replay(shop.setting, pipeline, plan, progress=lambda _: None)


def compared(result: ReplayResult, table: TableName) -> TableComparison:
    (found,) = [t for t in result.comparison.tables if t.table == table]
    return found


def candidates_hold(lake: Lake, files: tuple[Path, ...]) -> None:
    """Assert that the second generations hold what the oracle computes from `files`, and say so."""
    expected = oracle(files)
    sales = read(lake.folder(SILVER, 2)).select(list(SALES))
    assert Counter(rows_of(sales, SALES)) == expected.sales
    for table, columns, rows in (
        (DAILY, DAILY_REVENUE, expected.daily_revenue),
        (CUSTOMERS, CUSTOMER_VALUE, expected.customer_value),
    ):
        assert rows_of(read(lake.folder(table, 2)), columns) == rows, table
    end = Tape(lake, INVOICES).commits()[len(files) - 1].position
    for table in (SILVER, DAILY, CUSTOMERS):
        notes = [c.note for c in commits(lake.folder(table, 2)) if c.note]
        assert max(n.position[str(INVOICES)] for n in notes) == end, "a commit claims no more than the end"


def test_the_past_is_built_again_and_equals_the_live_tables_as_of_then(shop: Shop) -> None:
    end = Tape(shop.lake, INVOICES).commits()[1]
    result = validate(shop, AS_IT_WAS, SILVER, to_version=end.version)
    assert (result.state, result.release, result.comparison.faults) == ("validated", None, ())
    candidates_hold(shop.lake, shop.files[:2])
    for table in result.comparison.tables:
        assert (table.batch, table.only_live, table.only_candidate, table.changed) == (end.batch, 0, 0, 0)
        assert table.live_rows == table.candidate_rows > 0
        assert table.columns == {}
        assert table.sample == ()
    state = Registry(shop.lake).state()
    replay = state.replays[result.id]
    assert (replay.state, replay.plan["asked"]) == ("validated", {"to_version": end.version})
    assert {state.generations[t, 2].to_batch for t in replay.candidates} == {end.batch}
    assert state.open_replay() is None
    assert plan_replay(shop.lake, AS_IT_WAS, [DAILY]).steps[0].generation == 3, "it blocks no other replay"


def test_a_validation_never_goes_live_and_is_discarded_with_all_it_wrote(shop: Shop) -> None:
    result = validate(shop, AS_IT_WAS, SILVER, to_time="2026-01-05")
    candidates_hold(shop.lake, shop.files[:1])
    for force in (False, True):
        with pytest.raises(
            PromotionRefused, match=r"is a validation and never goes live: it ends with to_time 2026-01-05"
        ):
            promote_replay(shop.setting, AS_IT_WAS, result.id, force=force)
    rejects = DeltaTable(shop.lake.rejects(SILVER)).to_pyarrow_table()
    assert set(rejects.column("generation").to_pylist()) == {1, 2}
    discard_replay(shop.lake, result.id)
    assert Registry(shop.lake).state().replays[result.id].state == "discarded"
    for table in (SILVER, DAILY, CUSTOMERS):
        assert not shop.lake.folder(table, 2).exists()
        assert not shop.lake.checkpoint(table, 2).exists()
        assert shop.lake.folder(table, 1).exists()
    left = DeltaTable(shop.lake.rejects(SILVER)).to_pyarrow_table()
    assert left.num_rows == sum(g == 1 for g in rejects.column("generation").to_pylist())
    discard_replay(shop.lake, result.id)


def test_new_logic_is_compared_with_the_old_as_of_the_end_value_by_value(shop: Shop) -> None:
    end = Tape(shop.lake, INVOICES).commits()[1]
    result = validate(shop, CORRECTED, SILVER, to_version=end.version)
    expected = oracle(shop.files[:2])
    amounts = Counter({row: n for row, n in expected.sales.items() if row[SALES.index("amount")]})
    sales = compared(result, SILVER)
    assert sales.new_columns == ("logic",)
    assert sales.columns == {"amount": amounts.total()}
    assert sales.changed == amounts.total()
    revenue = sum(row[DAILY_REVENUE.index("revenue")] for row in expected.daily_revenue)
    daily = compared(result, DAILY)
    totals = {a.measure: (a.live, a.candidate) for a in daily.aggregates}
    assert {k: v for k, v in totals.items() if k in ("rows", "lines")} == {
        "rows": (str(len(expected.daily_revenue)),) * 2,
        "lines": (str(expected.sales.total()),) * 2,
    }
    assert [Decimal(x or "") for x in totals["revenue"]] == [revenue, 2 * revenue]
    assert daily.columns == {"revenue": sum(1 for r in expected.daily_revenue if r[DAILY_REVENUE.index("revenue")])}
    for difference in daily.sample:
        assert difference.column == "revenue"
        assert 2 * Decimal(difference.live or "") == Decimal(difference.candidate or "")
    stored = Registry(shop.lake).state().replays[result.id].comparison
    assert stored is not None
    assert stored["tables"] == result.comparison.rows()
    assert len(stored["sample"]) == sum(len(t.sample) for t in result.comparison.tables) > 0


def test_a_gold_alone_is_bounded_though_its_silver_goes_on(shop: Shop) -> None:
    end = Tape(shop.lake, INVOICES).commits()[0]
    result = validate(shop, AS_IT_WAS, DAILY, to_version=end.version)
    found = rows_of(read(shop.lake.folder(DAILY, 2)), DAILY_REVENUE)
    assert found == oracle(shop.files[:1]).daily_revenue
    note = last_note(shop.lake.folder(DAILY, 2))
    assert note is not None
    assert note[1].position[str(INVOICES)] == end.position
    daily = compared(result, DAILY)
    assert (daily.batch, daily.live_rows, daily.changed, daily.only_live) == (0, len(found), 0, 0)


def test_a_gold_of_other_logic_without_a_commit_so_far_back_is_not_comparable(shop: Shop) -> None:
    changed = Pipeline.from_tables("retail", [*[t for t in AS_IT_WAS if t.name != DAILY], daily_with_other_units()])
    end = Tape(shop.lake, INVOICES).commits()[0]
    result = validate(shop, changed, DAILY, to_version=end.version)
    (fault,) = result.comparison.faults
    assert "gold.daily_revenue is not comparable: g1 was written by other logic, and has no commit left" in fault
    whole = run_replay(
        shop.setting, changed, plan_replay(shop.lake, changed, [DAILY]), promote="never", progress=lambda _: None
    )
    assert (whole.state, set(compared(whole, DAILY).columns)) == ("validated", {"units"})
    with pytest.raises(PromotionRefused, match="it was launched with promote never"):
        promote_replay(shop.setting, changed, whole.id)


def daily_with_other_units() -> Gold:
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as sf

    from kappa_assets import gold
    from kappa_assets.pipelines.retail import gold as retail

    @gold(keys=["day", "country"], combine={"revenue": "sum", "units": "sum", "lines": "count"})
    def daily_revenue(sales: DataFrame) -> DataFrame:
        """One row per day and country, units counted tenfold."""
        return retail.daily_revenue(sales.withColumn("quantity", sf.col("quantity") * 10))

    return daily_revenue


@pytest.mark.parametrize("asked", [{"from_version": 3, "to_version": 1}, {"to_version": 99}, {"to_time": "2025-01-01"}])
def test_a_range_that_cannot_be_leaves_nothing_behind(shop: Shop, asked: dict[str, int | str]) -> None:
    before = sorted(shop.lake.root.rglob("*"))
    with pytest.raises(ReplayError):
        validate(shop, AS_IT_WAS, SILVER, **asked)
    assert sorted(shop.lake.root.rglob("*")) == before
