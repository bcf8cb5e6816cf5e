"""What a replay will do, decided from registry and logs alone: no Spark, and nothing is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from kappa_assets import TableName
from kappa_assets.errors import DeclarationError, ReplayError
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.log.note import CommitNote, Position
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import REPLAYS
from kappa_assets.place.local.leases.lock import exclusive
from kappa_assets.place.registry import Registry, events
from kappa_assets.replay import cost, plan_replay
from kappa_assets.replay.cost import in_words
from kappa_assets_tests.place.delta_write.by_hand import append, append_to_tape
from kappa_assets_tests.retail_sales import pipeline

INVOICES, SALES = TableName.parse("bronze.invoices"), TableName.parse("silver.sales")
DAILY, CUSTOMERS, TOP = (TableName.parse(f"gold.{n}") for n in ("daily_revenue", "customer_value", "top_products"))
GOLDS = [CUSTOMERS, DAILY, TOP]


@pytest.fixture
def lake(lake_path: Path) -> Lake:
    """Four batches of two rows on the tape, versions 0, 1, 3 and 4 (2 is an OPTIMIZE); all tables are live."""
    lake = Lake.at(lake_path)
    for batch in range(4):
        if batch == 2:
            append(lake.folder(INVOICES), [])
        append_to_tape(lake.folder(INVOICES), batch, ["2026-01-05"] * 2)
    registry = Registry(lake)
    made = [
        events.generation_created(t.name, 1, "old" if t.name == SALES else code_version(t)) for t in pipeline.derived
    ]
    registry.commit(registry.state(), [*made, events.release_created(1, {t.name: 1 for t in pipeline.derived}, "")])
    reflects(lake, Position(3, 4))
    return lake


def reflects(lake: Lake, position: Position) -> None:
    """Have the live Silver say that it is so far."""
    note = CommitNote(str(SALES), 1, 0, "old", position={str(INVOICES): position})
    append(lake.folder(SALES, 1), ["2026-01-05"], note)


def test_a_replay_of_silver_builds_all_that_is_below_it_upstream_first(lake: Lake) -> None:
    plan = plan_replay(lake, pipeline, [SALES])
    assert [s.table for s in plan.steps] == [SALES, *GOLDS]
    assert {(s.generation, s.live_generation) for s in plan.steps} == {(2, 1)}
    assert [number for s in plan.steps for number in s.reads.values()] == [1, 2, 2, 2]
    assert {(s.from_batch, s.kept_from, s.tape_rows) for s in plan.steps} == {(0, None, 8)}
    assert plan.head == {str(INVOICES): Position(3, 4)}
    assert [row["logic"] for row in plan.rows()] == ["changed", "same", "same", "same"]


def test_a_replay_of_one_gold_reads_the_live_silver_and_touches_no_neighbour(lake: Lake) -> None:
    (step,) = plan_replay(lake, pipeline, [DAILY]).steps
    assert (step.table, step.generation, step.reads) == (DAILY, 2, {SALES: 1})


def test_tables_named_twice_or_below_each_other_are_built_once(lake: Lake) -> None:
    plan = plan_replay(lake, pipeline, [DAILY, SALES, DAILY])
    assert [s.table for s in plan.steps] == [SALES, *GOLDS]
    assert [number for s in plan.steps for number in s.reads.values()] == [1, 2, 2, 2]


@pytest.mark.parametrize(("version", "batch"), [(1, 1), (2, 2), (3, 2), (4, 3)])
def test_a_later_start_keeps_silvers_earlier_rows_and_rebuilds_gold(lake: Lake, version: int, batch: int) -> None:
    sales, *golds = plan_replay(lake, pipeline, [SALES], from_version=version).steps
    assert (sales.from_batch, sales.kept_from, sales.tape_rows) == (batch, 1, 2 * (4 - batch))
    assert {(g.from_batch, g.kept_from, g.tape_rows) for g in golds} == {(0, None, 8)}
    assert plan_replay(lake, pipeline, [SALES], from_version=version).rows()[0]["keeps"] == (
        f"rows before batch {batch} of g1"
    )


def test_planning_changes_nothing_and_comes_to_the_same_again(lake: Lake) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in lake.root.rglob("*"))
    assert plan_replay(lake, pipeline, [SALES], from_version=3) == plan_replay(lake, pipeline, [SALES], from_version=3)
    assert sorted((p, p.stat().st_mtime_ns) for p in lake.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("version", "said"), [(5, "has no version 5; its newest is 4"), (-1, "-1 is no Bronze version")]
)
def test_a_version_that_is_not_there_is_refused(lake: Lake, version: int, said: str) -> None:
    with pytest.raises(ReplayError, match=said):
        plan_replay(lake, pipeline, [SALES], from_version=version)


def test_a_live_table_that_has_not_come_so_far_cannot_keep_its_rows(lake: Lake) -> None:
    reflects(lake, Position(1, 1))
    with pytest.raises(ReplayError, match=r"has reached batch 1, version 1; a replay from batch 3"):
        plan_replay(lake, pipeline, [SALES], from_version=4)
    assert plan_replay(lake, pipeline, [SALES], from_version=3).steps[0].from_batch == 2


def test_an_empty_tape_and_no_table_at_all_are_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="holds nothing yet"):
        plan_replay(Lake.at(tmp_path / "new"), pipeline, [SALES])
    with pytest.raises(ReplayError, match="at least one table"):
        plan_replay(lake, pipeline, [])
    with pytest.raises(DeclarationError, match=r"bronze\.invoices is a tape"):
        plan_replay(lake, pipeline, [INVOICES])


def started(lake: Lake, replay: str, *, logic: str | None = None, **asked: object) -> None:
    """Have a replay of daily revenue begin, as generation 2."""
    registry = Registry(lake)
    made = events.generation_created(DAILY, 2, logic or code_version(pipeline[DAILY]), replay=replay)
    registry.add(made, events.replay_started(replay, {DAILY: 2}, {"asked": asked}, live={DAILY: 1}))


def test_a_replay_that_waits_for_a_person_is_not_overtaken_by_another(lake: Lake) -> None:
    started(lake, "r1")
    registry = Registry(lake)
    registry.add(events.replay_held("r1"))
    with pytest.raises(ReplayError, match=r"replay r1 waits to be promoted\nHint: kappa promote r1"):
        plan_replay(lake, pipeline, [SALES])
    registry.add(events.replay_discarded("r1"))
    assert plan_replay(lake, pipeline, [DAILY]).steps[0].generation == 3


def test_the_same_request_goes_on_with_the_replay_that_died(lake: Lake) -> None:
    started(lake, "r1", from_version=3)
    plan = plan_replay(lake, pipeline, [DAILY], from_version=3)
    assert (plan.resumes, plan.discards, plan.steps[0].generation) == ("r1", None, 2)
    assert plan.summary.startswith("r1 goes on: replay from Bronze version 3")


@pytest.mark.parametrize(
    ("tables", "asked"), [([SALES], {}), ([DAILY], {"from_version": 1}), ([DAILY], {"to_version": 4})]
)
def test_another_request_is_refused_while_a_dead_replay_is_there(
    lake: Lake, tables: list[TableName], asked: dict[str, Any]
) -> None:
    started(lake, "r1")
    with pytest.raises(ReplayError, match=r"replay r1 died .* gold.daily_revenue, from inception\nHint: .* discard r1"):
        plan_replay(lake, pipeline, tables, **asked)


def test_a_dead_replay_whose_code_changed_is_discarded_by_the_same_request(lake: Lake) -> None:
    started(lake, "r1", logic="older")
    plan = plan_replay(lake, pipeline, [DAILY])
    assert (plan.resumes, plan.discards, plan.steps[0].generation) == (None, "r1", 3)
    assert "replay r1, which died while it was built: the logic of gold.daily_revenue changed since" in plan.text


def test_a_dead_replay_whose_table_was_rolled_back_is_discarded_by_the_same_request(lake: Lake) -> None:
    started(lake, "r1")
    made = events.generation_created(DAILY, 3, "x")
    Registry(lake).add(made, events.release_created(2, {SALES: 1, DAILY: 3}, "by somebody"))
    assert (
        plan_replay(lake, pipeline, [DAILY]).discards_because == "gold.daily_revenue was promoted or rolled back since"
    )


def test_a_replay_under_way_is_named(lake: Lake) -> None:
    started(lake, "r1")
    with (
        exclusive(REPLAYS.lock(lake), "replay r1"),
        pytest.raises(ReplayError, match=r"replay r1 is under way: process \d+ on .*, replay r1 since"),
    ):
        plan_replay(lake, pipeline, [DAILY])


def test_the_plan_counts_the_bytes_of_the_files_and_what_the_disk_has(lake: Lake) -> None:
    plan = plan_replay(lake, pipeline, [SALES])
    on_tape = sum(p.stat().st_size for p in lake.folder(INVOICES).rglob("*.parquet") if "_delta_log" not in p.parts)
    live = sum(p.stat().st_size for p in lake.folder(SALES).rglob("*.parquet") if "_delta_log" not in p.parts)
    assert [(s.bytes_to_read, s.bytes_to_write) for s in plan.steps] == [(on_tape, live), *[(live, 0)] * 3]
    assert plan.bytes_to_write == live
    assert plan.free_bytes > 0
    assert f"of {in_words(plan.free_bytes)} that are free" in plan.text
    assert "takes unknown, nothing was measured yet" in plan.text


def test_time_is_told_from_the_newest_measured_replay(lake: Lake) -> None:
    started(lake, "r1")
    built = {"gold.daily_revenue": {"rows": 100, "seconds": 50}}
    Registry(lake).add(events.replay_compared("r1", {"built": built}), events.replay_discarded("r1"))
    (step,) = plan_replay(lake, pipeline, [DAILY]).steps
    assert step.seconds == 8 / (100 / 50)
    assert "takes about 4 s" in plan_replay(lake, pipeline, [DAILY]).text
    assert plan_replay(lake, pipeline, [SALES]).seconds is None, "of three tables nothing is known"


def test_a_tape_whose_files_are_gone_cannot_be_played(lake: Lake) -> None:
    before = plan_replay(lake, pipeline, [SALES])
    file = next(p for p in sorted(lake.folder(INVOICES).rglob("*.parquet")) if "_delta_log" not in p.parts)
    file.rename(file.with_suffix(".away"))
    with pytest.raises(
        ReplayError, match=r"can no longer be played from batch 0: .* counts 8 rows there, but 1 of its"
    ):
        plan_replay(lake, pipeline, [SALES])
    file.with_suffix(".away").rename(file)
    assert plan_replay(lake, pipeline, [SALES]) == before
    DeltaTable(lake.folder(INVOICES)).delete("n = 0")
    with pytest.raises(ReplayError, match=r"counts 8 rows there, but it holds only 4 of them"):
        plan_replay(lake, pipeline, [SALES])


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "free_bytes", lambda lake: 100)
    with pytest.raises(ReplayError, match=r"does not hold it: the candidates need about .*, 100 bytes are free"):
        plan_replay(lake, pipeline, [SALES])


def test_an_end_on_the_tape_bounds_every_step_and_makes_it_a_validation(lake: Lake) -> None:
    plan = plan_replay(lake, pipeline, [SALES], from_version=1, to_version=3)
    assert plan.is_validation
    assert [(s.from_batch, s.to_batch, s.tape_rows) for s in plan.steps] == [(1, 2, 4), *[(0, 2, 6)] * 3]
    assert "up to Bronze version 3, to be validated" in plan.summary
    assert not plan_replay(lake, pipeline, [SALES]).is_validation


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2e6, "2.0 MB"), (3.2e13, "32.0 TB")]
)
def test_sizes_are_told_in_words(size: float, words: str) -> None:
    assert in_words(size) == words
