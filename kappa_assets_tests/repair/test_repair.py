"""Repair: chosen slices done over in place, one commit each; what the stream wrote meanwhile stays."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import Layer, Pipeline, TableName
from kappa_assets.errors import LogicChanged, ReplayError
from kappa_assets.health import HealthChecks
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.place.local import local_table
from kappa_assets.place.local.lake import Lake
from kappa_assets.repair import RepairPlan, plan_repair, run_repair
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.corrected_retail import CORRECTED
from kappa_assets_tests.whole.verify import INVOICES, SILVER, read, verify

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

DAILY = TableName(Layer.GOLD, "daily_revenue")


@pytest.fixture
def setting(spark: SparkSession, three_days: Path) -> Setting:
    """A lake with three slices, drained."""
    return Setting(spark, Lake.at(three_days / "lake"), three_days / "landing", Pace(landed_files=1, table_files=1))


def landed(setting: Setting) -> list[Path]:
    return sorted((setting.landing / "invoices").iterdir())


def slices(setting: Setting) -> list[dt.date]:
    return sorted({row["_arrival_date"] for row in read(setting.lake.link(SILVER)).to_pylist()})


def rows_of(setting: Setting, table: TableName = SILVER) -> list[dict[str, object]]:
    return sorted(read(setting.lake.link(table)).to_pylist(), key=repr)


def damage(setting: Setting, condition: str) -> None:
    """Delete rows of Silver by hand, as somebody might who knows no better."""
    DeltaTable(setting.lake.folder(SILVER)).delete(condition)


def run(setting: Setting, plan: RepairPlan) -> list[int]:
    return [done.rows for done in run_repair(setting, pipeline, plan, progress=lambda _: None)]


def test_a_repair_brings_back_what_was_deleted_and_gold_follows_through_the_change_feed(setting: Setting) -> None:
    before, gold, days = rows_of(setting), rows_of(setting, DAILY), slices(setting)
    damage(setting, "quantity > 3")
    Host(setting, pipeline).drain()
    assert rows_of(setting, DAILY) != gold

    plan = plan_repair(setting.lake, pipeline, SILVER, days)
    done = list(run_repair(setting, pipeline, plan, progress=lambda _: None))

    assert rows_of(setting) == before
    assert [d.slice for d in done] == days
    assert sum(d.rows for d in done) == len(before)
    assert sum(d.replaced for d in done) < len(before)
    Host(setting, pipeline).drain()
    assert rows_of(setting, DAILY) == gold
    verify(setting.lake, landed(setting))


def test_readers_of_the_change_feed_see_only_the_rows_that_a_repair_changed(setting: Setting) -> None:
    folder = setting.lake.folder(SILVER)
    lost = [row for row in rows_of(setting) if row["quantity"] == 3]
    plan = plan_repair(setting.lake, pipeline, SILVER, slices(setting))
    assert lost
    damage(setting, "quantity = 3")
    damaged = DeltaTable(folder).version()
    run(setting, plan)
    repaired = DeltaTable(folder).version()
    run(setting, plan)

    def feed(first: int) -> list[Row]:
        reader = setting.spark.read.format("delta").option("readChangeFeed", "true")
        return reader.option("startingVersion", first).load(str(folder)).collect()

    assert {row["_change_type"] for row in feed(damaged + 1)} == {"insert"}
    ours = [(row["_batch_id"], row["_row"], row["_arrival_date"], row["_commit_version"]) for row in feed(damaged + 1)]
    assert sorted(a[:3] for a in ours) == sorted((r["_batch_id"], r["_row"], r["_arrival_date"]) for r in lost)
    assert max(version for *_, version in ours) <= repaired, "the second time it was the same rows in other files"
    assert not any(commit.removes_data or commit.adds_data for commit in commits(folder, after=repaired))
    Host(setting, pipeline).drain()
    verify(setting.lake, landed(setting))


def test_each_slice_is_one_commit_that_moves_no_position_and_is_not_taken_for_a_stranger_s(setting: Setting) -> None:
    folder = setting.lake.folder(SILVER)
    version, note = last_note(folder) or pytest.fail("no commit")
    days = slices(setting)

    run(setting, plan_repair(setting.lake, pipeline, SILVER, days[1:]))

    fresh = list(commits(folder, after=version))
    assert [c.note.repair.slice for c in fresh if c.note and c.note.repair] == [d.isoformat() for d in days[1:]]
    assert all(c.note and (c.note.reads, c.note.position) == (note.reads, note.position) for c in fresh)
    assert all(set(c.rows_by_slice) == {d.isoformat()} for c, d in zip(fresh, days[1:], strict=True))
    outcomes = HealthChecks(setting.lake, pipeline, landing=setting.landing).run()
    assert [o.check for o in outcomes if o.table == SILVER and not o.passed] == ["stream_healthy"]  # no host runs


def test_the_stream_goes_on_after_a_repair_and_a_slice_that_still_grows_keeps_its_new_rows(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = make_files(setting.lake.root / "more", 6, files=1, lines=40)[0]
    grown = setting.landing / "invoices" / f"{slices(setting)[-1]}-more{''.join(more.suffixes)}"
    plan = plan_repair(setting.lake, pipeline, SILVER, slices(setting))

    def stream_first(point: str, what: str) -> None:
        if point == "slice_written" and what == str(SILVER) and not grown.exists():
            more.rename(grown)
            Host(setting, pipeline).drain()

    monkeypatch.setattr(local_table, "fault_point", stream_first)
    run(setting, plan)
    Host(setting, pipeline).drain()

    assert grown.exists()
    verify(setting.lake, landed(setting))


def test_a_slice_rewritten_meanwhile_is_computed_again(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    day = slices(setting)[0]
    optimized: list[object] = []
    damage(setting, "quantity > 3")

    def optimize_first(point: str, _: str) -> None:
        if point == "slice_written" and not optimized:
            optimized.append(DeltaTable(setting.lake.folder(SILVER)).optimize.compact(target_size=1 << 30))
            DeltaTable(setting.lake.folder(SILVER)).delete(f"_arrival_date = '{day}' AND quantity > 2")

    monkeypatch.setattr(local_table, "fault_point", optimize_first)
    run(setting, plan_repair(setting.lake, pipeline, SILVER, slices(setting)))

    Host(setting, pipeline).drain()
    verify(setting.lake, landed(setting))


def test_a_repair_as_of_a_bronze_version_leaves_the_rows_after_it_alone(setting: Setting) -> None:
    day = slices(setting)[-1]
    more = make_files(setting.lake.root / "more", 7, files=1, lines=40)[0]
    more.rename(setting.landing / "invoices" / f"{day}-more{''.join(more.suffixes)}")
    version = DeltaTable(setting.lake.folder(INVOICES)).version()
    Host(setting, pipeline).drain()
    before = rows_of(setting)
    damage(setting, f"_arrival_date = '{day}'")

    plan = plan_repair(setting.lake, pipeline, SILVER, [day], bronze_version=version)
    run(setting, plan)

    expected = [r for r in before if r["_arrival_date"] != day or int(str(r["_batch_id"])) <= plan.upto.batch]
    assert rows_of(setting) == expected
    run(setting, plan_repair(setting.lake, pipeline, SILVER, [day]))
    assert rows_of(setting) == before


def test_rows_kept_by_a_replay_from_a_later_start_are_left_as_they_are(setting: Setting) -> None:
    days = slices(setting)
    start = DeltaTable(setting.lake.folder(INVOICES)).version()
    plan = plan_replay(setting.lake, CORRECTED, [SILVER], from_version=start)
    run_replay(setting, CORRECTED, plan, progress=lambda _: None)
    before = rows_of(setting)
    assert {r["logic"] for r in before} == {None, "new"}

    plan_of_all = plan_repair(setting.lake, CORRECTED, SILVER, days)
    list(run_repair(setting, CORRECTED, plan_of_all, progress=lambda _: None))

    assert rows_of(setting) == before


def test_what_cannot_be_repaired_is_refused(setting: Setting, tmp_path: Path) -> None:
    day = slices(setting)[0]
    with pytest.raises(ReplayError, match=r"gold.daily_revenue has no slices"):
        plan_repair(setting.lake, pipeline, DAILY, [day])
    with pytest.raises(ReplayError, match="at least one slice"):
        plan_repair(setting.lake, pipeline, SILVER, [])
    with pytest.raises(LogicChanged, match=r"\.py:\d+: silver\.sales g1 .*would mix two logics"):
        plan_repair(setting.lake, CORRECTED, SILVER, [day])
    with pytest.raises(ReplayError, match="has no version 99"):
        plan_repair(setting.lake, pipeline, SILVER, [day], bronze_version=99)
    with pytest.raises(ReplayError, match="not read the tape"):
        plan_repair(Lake.at(tmp_path / "empty"), pipeline, SILVER, [day])


def test_a_slice_without_rows_and_an_interrupted_repair(setting: Setting) -> None:
    before, days = rows_of(setting), slices(setting)
    empty = days[0] - dt.timedelta(days=30)
    plan = plan_repair(setting.lake, pipeline, SILVER, [empty, *days])
    asked: list[int] = []

    def after_two() -> str | None:
        asked.append(1)
        return "asked to stop" if len(asked) > 2 else None

    with pytest.raises(ReplayError, match=f"stopped before slice {days[1]}"):
        list(run_repair(setting, pipeline, plan, progress=lambda _: None, wanted=after_two))
    assert rows_of(setting) == before
    assert run(setting, plan)[0] == 0
    assert rows_of(setting) == before


def test_the_pipeline_without_a_silver_of_that_name_is_refused(setting: Setting) -> None:
    alone = Pipeline.from_tables("alone", [pipeline[INVOICES]])
    with pytest.raises(Exception, match=r"no table silver.sales"):
        plan_repair(setting.lake, alone, SILVER, slices(setting))
