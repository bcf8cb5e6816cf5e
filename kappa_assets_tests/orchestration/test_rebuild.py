"""Materialize with `resources.replay.config`: slices repaired, refused, or replayed since the logic changed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from deltalake import DeltaTable

from kappa_assets import Pipeline, silver
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.names import TableName
from kappa_assets.orchestration.build import build_definitions
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.jobs.replay_config import LimitsConfig
from kappa_assets.orchestration.lineage.lineage_cursor import LineageCursor
from kappa_assets.orchestration.lineage.provenance import CODE_VERSION, DATA_VERSION
from kappa_assets.orchestration.replay_options import ReplayOptions
from kappa_assets.orchestration.sensors.lineage_sensor import Lineage
from kappa_assets.orchestration.sensors.replay_sensor import changed_tables
from kappa_assets.pipelines.retail import silver as retail
from kappa_assets.pipelines.retail.bronze import invoices
from kappa_assets.place.registry import Registry
from kappa_assets_tests.orchestration.given_spark import GivenSpark, messages
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.corrected_retail import CORRECTED
from kappa_assets_tests.whole.verify import read, verify

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SALES, REVENUE = dg.AssetKey(["silver", "sales"]), dg.AssetKey(["gold", "daily_revenue"])
SILVER = TableName.parse("silver.sales")
DAYS = ("2026-01-05", "2026-01-06", "2026-01-07")


@pytest.fixture
def folders(three_days: Path) -> Folders:
    """A lake with three slices, drained one after the other."""
    return Folders(three_days / "lake", three_days / "landing")


def materialize(
    folders: Folders,
    instance: dg.DagsterInstance,
    days: tuple[str, ...],
    options: ReplayOptions | None = None,
    *,
    of: Pipeline = pipeline,
) -> dg.ExecuteInProcessResult:
    """Press Materialize on silver/sales for a range of slices, as a backfill does with one run."""
    definitions = build_definitions(of, lake=folders.root, landing=folders.landing)
    return dg.materialize(
        [a for a in definitions.assets or () if isinstance(a, dg.AssetsDefinition)],
        selection=[SALES],
        instance=instance,
        resources={"spark": GivenSpark(spark_config={}), "replay": options or ReplayOptions()},
        tags={"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]},
        raise_on_error=False,
    )


def by_slice(folders: Folders) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {day: Counter() for day in DAYS}
    for row in read(folders.lake().link(SILVER)).to_pylist():
        found[str(row["_arrival_date"])][repr(sorted(row.items()))] += 1
    return found


def newest(instance: dg.DagsterInstance, day: str) -> dg.AssetMaterialization:
    record = instance.get_latest_data_version_record(SALES, False, day)
    assert record is not None
    assert record.asset_materialization is not None
    return record.asset_materialization


def number(event: dg.AssetMaterialization, name: str) -> int:
    return int(str(event.metadata[name].value))


def test_chosen_slices_are_repaired_and_each_gets_its_own_event(folders: Folders, instance: dg.DagsterInstance) -> None:
    before = by_slice(folders)
    DeltaTable(folders.lake().folder(SILVER)).delete("quantity > 3")
    damaged = by_slice(folders)
    assert all(damaged[day] != before[day] for day in DAYS)

    result = materialize(folders, instance, DAYS[:2])

    assert result.success, messages(instance, result.run_id)
    assert by_slice(folders) == before | {DAYS[2]: damaged[DAYS[2]]}
    events = {day: newest(instance, day) for day in DAYS[:2]}
    assert {day: number(e, "rows") for day, e in events.items()} == {d: before[d].total() for d in DAYS[:2]}
    assert {day: number(e, "replaced") for day, e in events.items()} == {d: damaged[d].total() for d in DAYS[:2]}
    versions = [str((e.tags or {})[DATA_VERSION]) for e in events.values()]
    assert len(set(versions)) == 2
    assert all(v.startswith("g1.v") for v in versions)
    live = Registry(folders.lake()).state().live(SILVER)
    assert live is not None
    assert {(e.tags or {})[CODE_VERSION] for e in events.values()} == {live.code_version}
    assert all(number(e, "tape_version") > 0 for e in events.values())


def test_a_repair_with_other_logic_is_refused_and_auto_replays_from_the_first_slice(
    folders: Folders, instance: dg.DagsterInstance
) -> None:
    refused = materialize(folders, instance, DAYS[1:], ReplayOptions(mode="repair"), of=CORRECTED)
    assert not refused.success
    assert "would mix two" in messages(instance, refused.run_id)

    held = materialize(folders, instance, DAYS[1:], ReplayOptions(promote="hold"), of=CORRECTED)

    assert held.success, messages(instance, held.run_id)
    assert "is replayed from slice 2026-01-06 to the head of the tape" in messages(instance, held.run_id)
    state = Registry(folders.lake()).state()
    waiting = state.open_replay()
    assert waiting is not None
    assert state.generations[SILVER, 2].from_batch == 1
    assert state.generations[SILVER, 2].kept_from == 1
    assert state.live(SILVER) == state.generations[SILVER, 1]


def test_mode_replay_rebuilds_with_the_same_logic_and_promotes(folders: Folders, instance: dg.DagsterInstance) -> None:
    before = by_slice(folders)
    none_changed = LimitsConfig(lost_keys=0, changed_share=0.0)
    result = materialize(folders, instance, DAYS, ReplayOptions(mode="replay", limits=none_changed))
    assert result.success, messages(instance, result.run_id)
    live = Registry(folders.lake()).state().live(SILVER)
    assert live is not None
    assert live.number == 2
    assert by_slice(folders) == before
    verify(folders.lake(), sorted((folders.landing / "invoices").iterdir()))


@silver(unique=["invoice_no", "stock_code"], unique_within="7 days")
def sales(invoices: DataFrame) -> DataFrame:
    """Lines of invoices, each product of one once."""
    return retail.sales(invoices)


def test_rows_that_are_unique_are_replayed_and_never_repaired(
    three_days: Path, spark: SparkSession, instance: dg.DagsterInstance
) -> None:
    once, folders = (
        Pipeline.from_tables("retail", [invoices, sales]),
        Folders(three_days / "new", three_days / "landing"),
    )
    Host(Setting(spark, folders.lake(), folders.landing), once).drain()
    before = by_slice(folders)

    def live() -> tuple[int, int | None]:
        found = Registry(folders.lake()).state().live(SILVER)
        assert found is not None
        return found.number, found.kept_from

    refused = materialize(folders, instance, DAYS[1:], ReplayOptions(mode="repair"), of=once)
    assert not refused.success
    assert "silver.sales has no slices to repair" in messages(instance, refused.run_id)
    assert live() == (1, None)

    result = materialize(folders, instance, DAYS[1:], of=once)
    told = messages(instance, result.run_id)
    assert result.success, told
    assert (
        "is replayed from slice 2026-01-06 to the head of the tape, not repaired: no slice of a table that is " in told
    )
    assert live()[0] == 2
    assert by_slice(folders) == before


def test_a_repair_as_of_a_bronze_version_is_told_with_that_version(
    folders: Folders, instance: dg.DagsterInstance
) -> None:
    version = DeltaTable(folders.root / "bronze" / "invoices").version() - 1
    result = materialize(folders, instance, DAYS[:1], ReplayOptions(mode="repair", bronze_version=version))
    assert result.success, messages(instance, result.run_id)
    assert number(newest(instance, DAYS[0]), "tape_version") == version


def test_the_lineage_sensor_reports_what_a_repair_wrote(folders: Folders, instance: dg.DagsterInstance) -> None:
    lineage = Lineage(folders, pipeline)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    DeltaTable(folders.lake().folder(SILVER)).delete("_arrival_date = '2026-01-06'")
    materialize(folders, instance, DAYS[1:2])

    tick = lineage.tick(instance, cursor)

    assert "silver.sales g1" in tick.said
    event = newest(instance, DAYS[1])
    rows = sum(1 for row in read(folders.lake().link(SILVER)).to_pylist() if str(row["_arrival_date"]) == DAYS[1])
    assert number(event, "dagster/row_count") == rows > 0
    assert f"repaired, {rows} rows" in str(event.description)


def test_the_sensor_names_the_highest_tables_whose_logic_changed(folders: Folders) -> None:
    state = Registry(folders.lake()).state()
    assert changed_tables(pipeline, state) == {}
    assert [str(t) for t in changed_tables(CORRECTED, state)] == ["silver.sales"]


def run_of(folders: Folders, of: Pipeline, instance: dg.DagsterInstance) -> Any:
    definitions = build_definitions(of, lake=folders.root, landing=folders.landing)
    sensor = next(s for s in definitions.sensors or () if s.name == "retail_replay")
    assert isinstance(sensor, dg.SensorDefinition)
    with dg.build_sensor_context(instance=instance) as context:
        return sensor.evaluate_tick(context)


def test_the_replay_sensor_asks_once_for_each_logic_and_holds(folders: Folders, instance: dg.DagsterInstance) -> None:
    assert run_of(folders, pipeline, instance).run_requests == []
    first, again = run_of(folders, CORRECTED, instance), run_of(folders, CORRECTED, instance)
    assert first.run_requests is not None
    config = first.run_requests[0].run_config["ops"]["replay_tables"]["config"]
    assert config == {"tables": ["silver.sales"], "promote": "hold"}
    assert [r.run_key for r in first.run_requests] == [r.run_key for r in again.run_requests]
