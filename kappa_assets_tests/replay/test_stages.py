"""A replay stopped, gone on with, limited, forced, refused: what the registry and the disk hold after each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as sf

from kappa_assets import LINEAGE, Pipeline, TableName, silver
from kappa_assets.compare import Limits
from kappa_assets.errors import LogicError, PromotionRefused, RegistryConflict, ReplayError, ReplayRunning
from kappa_assets.log.delta_log import commits
from kappa_assets.log.tape import Tape
from kappa_assets.pipelines.retail import silver as retail
from kappa_assets.pipelines.retail.bronze import invoices
from kappa_assets.place.local.leases.lease import REPLAYS
from kappa_assets.place.local.leases.lock import exclusive
from kappa_assets.place.registry import Registry
from kappa_assets.replay import discard_replay, plan_replay, promote_replay, rollback, run_replay, tape_progress
from kappa_assets_tests.copied_shop import Shop
from kappa_assets_tests.oracle import SALES, oracle, rows_of
from kappa_assets_tests.whole.corrected_retail import AS_IT_WAS, CORRECTED
from kappa_assets_tests.whole.verify import INVOICES, SILVER, read

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

pytestmark = pytest.mark.slow

DAILY, CUSTOMERS = TableName.parse("gold.daily_revenue"), TableName.parse("gold.customer_value")


@silver
def sales(invoices: DataFrame) -> DataFrame:
    """Not row by row: refused when it is built."""
    return invoices.select("InvoiceNo", *LINEAGE).distinct()


GROUPING = Pipeline.from_tables("retail", [*[t for t in AS_IT_WAS if t.name != SILVER], sales])


def retyped() -> Pipeline:
    @silver(expect=retail.sales.expectations)
    def sales(invoices: DataFrame) -> DataFrame:
        """The amount as text."""
        return retail.sales(invoices).withColumn("amount", sf.col("amount").cast("string"))

    return Pipeline.from_tables("retail", [invoices, sales])


def stop_once_built(shop: Shop, table: TableName, number: int = 2) -> Callable[[], str | None]:
    """Ask to stop as soon as a candidate has a commit."""
    folder = shop.lake.folder(table, number)
    return lambda: "enough" if any(c.note and c.note.reads for c in commits(folder)) else None


def live_sales_are(shop: Shop, number: int) -> None:
    assert shop.lake.link(SILVER).resolve() == shop.lake.folder(SILVER, number)
    found = read(shop.lake.link(SILVER)).select(list(SALES))
    assert Counter(rows_of(found, SALES)) == oracle(shop.files).sales


def test_a_stopped_replay_goes_on_under_its_name_when_the_same_is_launched_again(shop: Shop, said: list[str]) -> None:
    plan = plan_replay(shop.lake, AS_IT_WAS, [SILVER])
    with pytest.raises(ReplayError, match="was stopped: enough\nHint: Launch the same again"):
        run_replay(shop.setting, AS_IT_WAS, plan, progress=said.append, wanted=stop_once_built(shop, SILVER))
    dead = Registry(shop.lake).state().open_replay()
    assert dead is not None
    assert (dead.state, dead.comparison) == ("building", None)
    built = commits(shop.lake.folder(SILVER, 2))
    versions = [c.version for c in built]

    with pytest.raises(ReplayError, match=rf"replay {dead.id} died while it was built"):
        plan_replay(shop.lake, AS_IT_WAS, [DAILY])
    again = plan_replay(shop.lake, AS_IT_WAS, [SILVER])
    assert (again.resumes, [s.generation for s in again.steps]) == (dead.id, [2, 2, 2])
    result = run_replay(shop.setting, AS_IT_WAS, again, progress=said.append)
    assert (result.id, result.state) == (dead.id, "promoted")
    assert any(line.startswith(f"{dead.id}: {dead.id} goes on") for line in said)
    assert [c.version for c in commits(shop.lake.folder(SILVER, 2))] == versions, "Silver was built, and is not again"
    live_sales_are(shop, 2)
    assert [r.state for r in Registry(shop.lake).state().replays.values()] == ["promoted"]


def test_a_dead_replay_of_older_code_is_removed_by_the_next(shop: Shop, said: list[str]) -> None:
    with pytest.raises(ReplayError):
        run_replay(
            shop.setting,
            AS_IT_WAS,
            plan_replay(shop.lake, AS_IT_WAS, [SILVER]),
            progress=said.append,
            wanted=stop_once_built(shop, SILVER),
        )
    plan = plan_replay(shop.lake, CORRECTED, [SILVER])
    (dead,) = Registry(shop.lake).state().replays
    assert (plan.resumes, plan.discards, plan.steps[0].generation) == (None, dead, 3)
    assert run_replay(shop.setting, CORRECTED, plan, progress=said.append).state == "promoted"
    assert f"{dead} is discarded, with all it wrote" in said
    assert not shop.lake.folder(SILVER, 2).exists()
    assert set(read(shop.lake.rejects(SILVER), "generation").column("generation").to_pylist()) == {1, 3}
    assert [r.state for r in Registry(shop.lake).state().replays.values()] == ["discarded", "promoted"]


@pytest.mark.parametrize("start", [0, 2])
def test_logic_that_cannot_be_built_is_discarded_at_once(shop: Shop, start: int) -> None:
    of, error = (GROUPING, LogicError) if start == 0 else (retyped(), ReplayError)
    plan = plan_replay(shop.lake, of, [SILVER], from_version=start)
    with pytest.raises(error):
        run_replay(shop.setting, of, plan, progress=lambda _: None)
    state = Registry(shop.lake).state()
    assert [r.state for r in state.replays.values()] == ["discarded"]
    assert not shop.lake.folder(SILVER, 2).exists()
    live_sales_are(shop, 1)


def test_a_column_of_another_type_with_the_same_values_is_told_and_is_no_change(shop: Shop) -> None:
    of = retyped()
    plan = plan_replay(shop.lake, of, [SILVER])
    (found,) = run_replay(shop.setting, of, plan, promote="never", progress=lambda _: None).comparison.tables
    assert found.retyped_columns == ("amount: decimal(18,4) -> string",)
    assert (found.changed, found.only_live, found.only_candidate, found.columns) == (0, 0, 0, {})


def test_beyond_its_limits_a_replay_is_held_with_figures_and_only_force_promotes_it(shop: Shop) -> None:
    plan = plan_replay(shop.lake, CORRECTED, [SILVER])
    result = run_replay(
        shop.setting, CORRECTED, plan, limits=Limits(changed_share=0.001, lost_keys=0), progress=lambda _: None
    )
    assert result.state == "held"
    expected = oracle(shop.files).sales
    changed = sum(n for row, n in expected.items() if row[SALES.index("amount")])
    total = expected.total()
    assert result.comparison.faults[0] == (
        f"silver.sales: {changed:,} of {total:,} keys changed, {changed / total:.3%}; the limit is 0.100%"
    )
    assert not any("lost" in fault for fault in result.comparison.faults)
    with pytest.raises(PromotionRefused, match=rf"silver\.sales: {changed} of {total} keys changed"):
        promote_replay(shop.setting, CORRECTED, progress=lambda _: None)
    assert shop.lake.link(SILVER).resolve() == shop.lake.folder(SILVER, 1)
    release = promote_replay(shop.setting, CORRECTED, force=True, progress=lambda _: None)
    assert release.reason.startswith(f"replay {result.id}, forced although silver.sales: {changed} of {total} keys")
    assert shop.lake.link(SILVER).resolve() == shop.lake.folder(SILVER, 2)


def test_a_held_replay_whose_table_was_rolled_back_meanwhile_is_refused(shop: Shop) -> None:
    def replayed(promote: str) -> str:
        plan = plan_replay(shop.lake, AS_IT_WAS, [DAILY])
        kind = "auto" if promote == "auto" else "hold"
        return run_replay(shop.setting, AS_IT_WAS, plan, promote=kind, progress=lambda _: None).id  # type: ignore[arg-type]  # one of the two

    replayed("auto")
    held = replayed("hold")
    rollback(shop.lake)
    for force in (False, True):
        with pytest.raises(PromotionRefused, match=rf"rolled back gold\.daily_revenue since replay {held} started"):
            promote_replay(shop.setting, AS_IT_WAS, held, force=force, progress=lambda _: None)
    discard_replay(shop.lake, held)


def test_a_plan_that_was_overtaken_is_refused_and_writes_nothing(shop: Shop) -> None:
    stale = plan_replay(shop.lake, AS_IT_WAS, [CUSTOMERS])
    fresh = plan_replay(shop.lake, AS_IT_WAS, [CUSTOMERS])
    run_replay(shop.setting, AS_IT_WAS, fresh, promote="never", progress=lambda _: None)
    before = Registry(shop.lake).state().version
    with pytest.raises(RegistryConflict, match="changed since this replay was planned"):
        run_replay(shop.setting, AS_IT_WAS, stale, progress=lambda _: None)
    assert Registry(shop.lake).state().version == before


def test_of_two_replays_at_once_the_second_is_told_of_the_first(shop: Shop) -> None:
    plan = plan_replay(shop.lake, AS_IT_WAS, [DAILY])
    with (
        exclusive(REPLAYS.lock(shop.lake), "replay r20260101-000000-abcd"),
        pytest.raises(ReplayRunning, match="replay r20260101-000000-abcd since"),
    ):
        run_replay(shop.setting, AS_IT_WAS, plan, progress=lambda _: None)


def test_small_batches_give_the_same_and_what_they_took_is_known_to_the_next_plan(
    shop: Shop, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape_progress, "_EVERY", 0.0)
    assert plan_replay(shop.lake, AS_IT_WAS, [SILVER]).seconds is None
    plan = plan_replay(shop.lake, AS_IT_WAS, [SILVER])
    result = run_replay(shop.setting, AS_IT_WAS, plan, max_bytes_per_batch="1k", progress=said.append)
    assert all((t.changed, t.only_live, t.only_candidate) == (0, 0, 0) for t in result.comparison.tables)
    notes = [c.note for c in commits(shop.lake.folder(SILVER, 2)) if c.note and c.note.reads]
    assert len(notes) == 3, "each of the three files was a batch"
    live_sales_are(shop, 2)
    told = [re.match(r"silver\.sales g2: (\d+) % of ([\d,]+) rows", line) for line in said]
    shares = [int(m[1]) for m in told if m]
    rows = sum(c.rows for c in Tape(shop.lake, INVOICES).commits())
    assert {m[2] for m in told if m} == {f"{rows:,}"}
    assert shares == sorted(shares)
    assert shares
    assert max(shares) <= 100
    measured = Registry(shop.lake).state().replays[result.id].comparison
    assert measured is not None
    assert {t: b["rows"] for t, b in measured["built"].items()} == dict.fromkeys(
        map(str, (SILVER, CUSTOMERS, DAILY)), rows
    )
    seconds = sum(b["seconds"] for b in measured["built"].values())
    assert plan_replay(shop.lake, AS_IT_WAS, [SILVER]).seconds == pytest.approx(seconds)


def test_a_size_that_is_none_is_refused_before_anything_is_written(shop: Shop) -> None:
    plan = plan_replay(shop.lake, AS_IT_WAS, [DAILY])
    with pytest.raises(ReplayError, match="max_bytes_per_batch is 'plenty'"):
        run_replay(shop.setting, AS_IT_WAS, plan, max_bytes_per_batch="plenty")
    assert plan_replay(shop.lake, AS_IT_WAS, [DAILY]) == replace(plan)
