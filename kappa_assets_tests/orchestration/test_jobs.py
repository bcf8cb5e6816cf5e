"""Ops and assets on a small real lake: one Spark session, the retail pipeline, Dagster in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from deltalake import DeltaTable

from kappa_assets.health import checks_of
from kappa_assets.host.host import Ended, Host
from kappa_assets.names import TableName
from kappa_assets.orchestration.build import build_definitions
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.lineage.lineage_cursor import LineageCursor
from kappa_assets.orchestration.lineage.provenance import DATA_VERSION, REPORTED
from kappa_assets.orchestration.replay_options import ReplayOptions
from kappa_assets.orchestration.sensors.lineage_sensor import Lineage
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import HOST
from kappa_assets.place.local.leases.lock import exclusive
from kappa_assets.place.registry import Registry, events
from kappa_assets_tests.orchestration.given_spark import GivenSpark, messages
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.retail_sales import pipeline

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SALES, REVENUE = dg.AssetKey(["silver", "sales"]), dg.AssetKey(["gold", "daily_revenue"])


@pytest.fixture
def folders(spark: SparkSession, tmp_path: Path) -> Folders:
    make_files(tmp_path / "landing" / "invoices", seed=3, files=2, lines=40)
    return Folders(tmp_path / "lake", tmp_path / "landing")


@pytest.fixture
def definitions(folders: Folders) -> dg.Definitions:
    return build_definitions(pipeline, lake=folders.root, landing=folders.landing)


@pytest.fixture
def drained(three_days: Path) -> Folders:
    """A lake that the job `drain` would find nothing to do in."""
    return Folders(three_days / "lake", three_days / "landing")


@pytest.fixture
def of_drained(drained: Folders) -> dg.Definitions:
    return build_definitions(pipeline, lake=drained.root, landing=drained.landing)


def job(definitions: dg.Definitions, name: str) -> dg.JobDefinition:
    return definitions.resolve_job_def(name)


def run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, name: str, config: dict[str, object] | None = None
) -> dg.ExecuteInProcessResult:
    settings = {"ops": {next(iter(job(definitions, name).graph.node_dict)): {"config": config}}} if config else {}
    return job(definitions, name).execute_in_process(
        settings, instance=instance, resources=RESOURCES, raise_on_error=False
    )


RESOURCES = {"spark": GivenSpark(spark_config={}), "replay": ReplayOptions()}


def materialize(
    definitions: dg.Definitions, instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None = None
) -> dg.ExecuteInProcessResult:
    assets = [a for a in definitions.assets or () if isinstance(a, dg.AssetsDefinition)]
    return dg.materialize(
        assets,
        selection=[key],
        instance=instance,
        resources=RESOURCES,
        partition_key=partition,
        raise_on_error=False,
    )


def test_draining_and_a_tick_make_every_table_show_what_it_was_made_from(
    definitions: dg.Definitions, instance: dg.DagsterInstance, folders: Folders
) -> None:
    assert run(definitions, instance, "drain").success
    tick = Lineage(folders, pipeline).tick(instance, LineageCursor())
    assert "reported" in tick.said
    for table in pipeline:
        record = instance.get_latest_data_version_record(dg.AssetKey(table.name.key), False)
        assert record is not None
        event = record.asset_materialization
        assert event is not None
        assert event.tags is not None
        assert event.tags[DATA_VERSION].startswith("g1.v")
        assert int(str(event.metadata["dagster/row_count"].value)) > 0
    told = lineage_events(instance, dg.AssetKey(["bronze", "invoices"]))
    assert sum(int(str(e.metadata["rows"].value)) for e in told) == len(
        DeltaTable(folders.root / "bronze" / "invoices").to_pyarrow_table()
    )


def lineage_events(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[dg.AssetMaterialization]:
    for record in instance.fetch_materializations(key, limit=1000, ascending=True).records:
        if record.asset_materialization is not None:
            yield record.asset_materialization


def test_pressing_materialize_drains_when_no_host_runs_and_repeats_the_known_provenance(
    definitions: dg.Definitions, instance: dg.DagsterInstance, folders: Folders
) -> None:
    assert materialize(definitions, instance, REVENUE).success
    lineage = Lineage(folders, pipeline)
    lineage.tick(instance, LineageCursor())
    found = materialize(definitions, instance, REVENUE)
    assert found.success
    (event,) = found.asset_materializations_for_node("gold_daily_revenue")
    (known,) = [e for e in lineage_events(instance, REVENUE) if REPORTED in (e.tags or {})]
    assert event.tags is not None
    assert known.tags is not None
    assert REPORTED not in event.tags
    assert event.tags == {k: v for k, v in known.tags.items() if k != REPORTED}
    assert "drained here" in str(event.metadata["what happened"].value)


def test_materializing_everything_in_one_run_leaves_nothing_out_and_nothing_stale(
    of_drained: dg.Definitions, instance: dg.DagsterInstance, drained: Folders
) -> None:
    Lineage(drained, pipeline).tick(instance, LineageCursor())
    assets = [a for a in of_drained.assets or () if isinstance(a, dg.AssetsDefinition)]
    found = dg.materialize(
        [a for a in assets if a.partitions_def],
        instance=instance,
        resources=RESOURCES,
        tags={"dagster/asset_partition_range_start": "2026-01-05", "dagster/asset_partition_range_end": "2026-01-07"},
    )
    assert found.success
    stale = CachingStaleStatusResolver(instance, of_drained.resolve_asset_graph(), LoadingContextForTest(instance))
    for key in (dg.AssetKey(["bronze", "invoices"]), SALES):
        for day in ("2026-01-05", "2026-01-06", "2026-01-07"):
            record = instance.get_latest_data_version_record(key, False, day)
            assert record is not None
            assert record.run_id == found.run_id
            assert stale.get_status(key, day) is StaleStatus.FRESH


def test_pressing_materialize_waits_for_the_host_that_lives(
    of_drained: dg.Definitions, instance: dg.DagsterInstance, drained: Folders
) -> None:
    with exclusive(HOST.lock(Lake.at(drained.root)), "stream"):
        found = materialize(of_drained, instance, REVENUE)
    assert found.success
    assert "the host streams" in messages(instance, found.run_id)


def test_pressing_materialize_with_other_logic_replays_or_says_why_it_cannot(
    definitions: dg.Definitions, instance: dg.DagsterInstance, folders: Folders
) -> None:
    registry = Registry(Lake.at(folders.root))
    table = TableName.parse("silver.sales")
    made = events.generation_created(table, 1, "other logic")
    registry.commit(registry.state(), [made, events.release_created(1, {table: 1}, "first")])
    found = materialize(definitions, instance, SALES, "2026-01-05")
    assert not found.success
    said = messages(instance, found.run_id)
    assert "silver.sales is replayed from slice 2026-01-05" in said
    assert "bronze.invoices holds nothing yet" in said


def test_a_stream_that_another_host_locks_out_fails_and_names_it(
    definitions: dg.Definitions, instance: dg.DagsterInstance, folders: Folders
) -> None:
    with exclusive(HOST.lock(Lake.at(folders.root)), "a test"):
        found = run(definitions, instance, "stream")
    assert not found.success
    assert "a test since" in messages(instance, found.run_id)


def test_a_stream_that_needs_other_code_ends_well_so_that_the_sensor_starts_a_new_one(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Host, "stream", lambda self: Ended("release 2 needs other code", restart=True))
    found = run(definitions, instance, "stream")
    assert found.success
    assert "release 2 needs other code; the sensor starts a new one" in messages(instance, found.run_id)


def test_a_terminated_stream_stops_in_order_and_ends_as_terminated(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def until_told(self: Host) -> Ended:
        (record,) = instance.get_run_records()
        instance.report_run_canceling(record.dagster_run)
        self._wanted._next_look = 0.0  # type: ignore[attr-defined]  # the Switch that the op made
        reason = self._wanted()
        assert reason is not None
        return Ended(reason)

    monkeypatch.setattr(Host, "stream", until_told)
    run(definitions, instance, "stream")
    (record,) = instance.get_run_records()
    assert record.dagster_run.status is dg.DagsterRunStatus.CANCELED


def test_a_held_replay_shows_plan_and_comparison_and_is_promoted_and_rolled_back(
    of_drained: dg.Definitions, instance: dg.DagsterInstance, drained: Folders
) -> None:
    lineage = Lineage(drained, pipeline)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    held = run(of_drained, instance, "replay", {"tables": ["silver.sales"], "promote": "hold"})
    assert held.success
    wanted = dg.AssetRecordsFilter(SALES)
    plan, comparison = instance.fetch_observations(wanted, limit=10, ascending=True).records
    assert plan.asset_observation is not None
    assert comparison.asset_observation is not None
    planned = plan.asset_observation.metadata["plan"]
    assert isinstance(planned, dg.TableMetadataValue)
    assert [r.data["candidate"] for r in planned.records] == ["g2"] * 4
    assert comparison.asset_observation.metadata["changed"].value == 0
    assert run(of_drained, instance, "promote").success
    cursor = lineage.tick(instance, cursor).cursor
    last = list(lineage_events(instance, SALES))[-1]
    assert (last.tags or {})[DATA_VERSION].startswith("g2.")
    assert run(of_drained, instance, "rollback", {"reason": "a test"}).success
    lineage.tick(instance, cursor)
    last = list(lineage_events(instance, SALES))[-1]
    assert (last.tags or {})[DATA_VERSION].startswith("g1.")
    assert "a test" not in (last.description or "")


def test_a_replay_of_a_tape_is_refused_in_words(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    found = run(definitions, instance, "replay", {"tables": ["bronze.invoices"]})
    assert not found.success
    assert "never replayed" in messages(instance, found.run_id)


def test_running_a_tables_checks_starts_no_spark(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    checks = [c for c in definitions.asset_checks or () if isinstance(c, dg.AssetChecksDefinition)]
    (of_sales,) = [c for c in checks if all(k.asset_key == SALES for k in c.check_keys)]
    found = dg.materialize([of_sales], instance=instance, selection=dg.AssetSelection.checks(of_sales))
    results = {e.check_name for e in found.get_asset_check_evaluations()}
    assert results == set(checks_of(pipeline[TableName.parse("silver.sales")]))
