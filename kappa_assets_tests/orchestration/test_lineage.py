"""The lineage sensor on logs written by hand: what it reports, in which order, and never twice."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from deltalake import DeltaTable

from kappa_assets import Files, Pipeline, bronze
from kappa_assets.commit import CommitNote, Position
from kappa_assets.declare.code_version import code_version
from kappa_assets.orchestration.build import build_definitions
from kappa_assets.orchestration.lineage_cursor import LineageCursor, Mark
from kappa_assets.orchestration.lineage_sensor import Lineage, Tick, lineage_sensor
from kappa_assets.orchestration.place import Place
from kappa_assets.orchestration.provenance import DATA_VERSION, REPORTED
from kappa_assets.orchestration.quiet import beta_used_knowingly
from kappa_assets.registry import Registry, events
from kappa_assets.table import TableName
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS, WrittenLake

DAY = "2026-03-01"


@pytest.fixture
def place(web: WrittenLake, tmp_path: Path) -> Place:
    return Place(web.lake.root, tmp_path / "landing")


@pytest.fixture
def lineage(place: Place) -> Lineage:
    return Lineage(place, PIPELINE)


def reported(
    instance: dg.DagsterInstance, table: TableName, partition: str | None = None
) -> list[dg.AssetMaterialization]:
    """Return the table's events, oldest first."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey(table.key), asset_partitions=[partition] if partition else None)
    found = instance.fetch_materializations(wanted, limit=1000, ascending=True).records
    return [r.asset_materialization for r in found if r.asset_materialization is not None]


def versions(instance: dg.DagsterInstance, table: TableName) -> list[str]:
    return [e.tags[DATA_VERSION] for e in reported(instance, table) if e.tags]


def storage_id(instance: dg.DagsterInstance, table: TableName, partition: str | None = None) -> str:
    record = instance.get_latest_data_version_record(dg.AssetKey(table.key), False, partition)
    assert record is not None
    return str(record.storage_id)


def flow(web: WrittenLake, *, rows: int = 3) -> None:
    """Bring one batch through all three tables."""
    landed = web.land(rows)
    read = web.read(VISITS, upto=landed, since=landed - 1 if landed > 1 else None, rows=rows)
    web.read(PAGES, upto=read, since=read - 1 if read > 1 else None, batch=landed - 1)


def test_a_batch_is_reported_once_per_table_upstream_first_with_what_it_was_made_from(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    tick = lineage.tick(instance, LineageCursor())
    (landed,), (read,), (gold,) = (reported(instance, t) for t in (CLICKS, VISITS, PAGES))
    assert (landed.partition, read.partition, gold.partition) == (DAY, DAY, None)
    for event in (landed, read, gold):
        assert event.tags is not None
        assert event.tags[DATA_VERSION] == event.tags[REPORTED] == "g1.v1"
        assert event.tags["dagster/data_version_is_user_provided"] == "true"
    assert read.tags is not None
    assert gold.tags is not None
    assert read.tags["dagster/code_version"] == "logic"
    assert read.tags["dagster/input_data_version/bronze/clicks"] == "g1.v1"
    assert read.tags["dagster/input_event_pointer/bronze/clicks"] == storage_id(instance, CLICKS, DAY)
    assert gold.tags["dagster/input_data_version/silver/visits"] == "g1.v1"
    assert gold.tags["dagster/input_event_pointer/silver/visits"] == storage_id(instance, VISITS)
    assert gold.description == (
        "g1.v1: 3 rows in all, 1 commit (version 1). Read silver.visits g1.v1; bronze.clicks up to batch 0, version 1."
    )
    assert "reported 3 events" in tick.said


def test_numbers_are_under_stable_names_so_that_they_are_plotted(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    flow(web)
    flow(web, rows=4)
    with host():
        lineage.tick(instance, LineageCursor())
    (event,) = reported(instance, VISITS)
    numbers = {name: value.value for name, value in event.metadata.items()}
    assert numbers == {
        "rows": 7,
        "dagster/row_count": 7,
        "version": 2,
        "from_version": 1,
        "commits": 2,
        "generation": 1,
        "tape_batch": 1,
        "tape_version": 2,
        "lag_seconds": 60.0,
        "batch_seconds": 1.5,
    }


def test_the_row_count_goes_on_from_the_last_event(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    flow(web, rows=4)
    lineage.tick(instance, cursor)
    event = reported(instance, VISITS)[-1]
    assert (event.metadata["rows"].value, event.metadata["dagster/row_count"].value) == (4, 7)


def test_a_tick_that_finds_nothing_says_where_the_cut_is(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    again = lineage.tick(instance, cursor)
    assert again.said.startswith("nothing new; cut: bronze.clicks at batch 0")
    assert again.cursor.marks == cursor.marks
    assert len(reported(instance, VISITS)) == 1


def test_a_tick_between_two_commits_waits_for_the_table_that_is_behind(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    flow(web)
    with host():
        cursor = lineage.tick(instance, LineageCursor()).cursor
        web.land()
        cursor = lineage.tick(instance, cursor).cursor
        assert versions(instance, CLICKS) == ["g1.v1"]
        web.read(VISITS, upto=2, since=1)
        lineage.tick(instance, cursor)
    assert versions(instance, CLICKS) == ["g1.v1", "g1.v2"]
    assert versions(instance, VISITS) == ["g1.v1", "g1.v2"]


def test_a_gold_that_waits_for_its_every_holds_nobody_back(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    flow(web)
    web.read(VISITS, upto=web.land(), since=1)
    with host():
        lineage.tick(instance, LineageCursor())
    assert versions(instance, VISITS) == ["g1.v2"]
    assert versions(instance, PAGES) == ["g1.v1"]


@pytest.mark.parametrize("state", ["held", "parked", "backoff", "stopped"])
def test_a_table_that_does_not_move_is_left_behind(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any], state: str
) -> None:
    flow(web)
    web.land()
    with host({"silver.visits": state}):
        lineage.tick(instance, LineageCursor())
    assert versions(instance, CLICKS) == ["g1.v2"]
    assert versions(instance, VISITS) == ["g1.v1"]


def test_without_a_host_everything_that_was_written_is_reported(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    web.land()
    lineage.tick(instance, LineageCursor())
    assert versions(instance, CLICKS) == ["g1.v2"]


def test_a_tick_that_died_before_its_cursor_was_stored_repeats_nothing_and_misses_nothing(
    instance: dg.DagsterInstance, web: WrittenLake, place: Place
) -> None:
    flow(web)
    Lineage(place, PIPELINE).tick(instance, LineageCursor())
    flow(web)
    Lineage(place, PIPELINE).tick(instance, LineageCursor())  # the first cursor never was stored
    for table in (CLICKS, VISITS, PAGES):
        assert versions(instance, table) == ["g1.v1", "g1.v2"]
    assert [e.metadata["rows"].value for e in reported(instance, VISITS)] == [3, 3]


def test_when_time_is_up_the_rest_follows_up_to_the_same_cut(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    tick = lineage.tick(instance, LineageCursor(), budget=-1)
    assert tick.cursor.pending == {CLICKS: Position(0, 1)}
    assert "the rest follows in the next tick" in tick.said
    flow(web)
    tick = lineage.tick(instance, LineageCursor.from_json(tick.cursor.to_json()))
    assert tick.cursor.pending is None
    assert versions(instance, VISITS) == ["g1.v1"]
    lineage.tick(instance, tick.cursor)
    assert versions(instance, VISITS) == ["g1.v1", "g1.v2"]


def test_a_slice_from_before_the_start_is_reported_without_a_partition_and_says_so(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    web.land(day="2025-12-31")
    web.land(day="2025-12-30")
    cursor = lineage.tick(instance, LineageCursor()).cursor
    (event,) = reported(instance, CLICKS)
    assert event.partition is None
    assert event.metadata["rows"].value == 6
    assert "before the pipeline's start" in (event.description or "")
    assert event.metadata["slices before the pipeline's start"].value == "2025-12-30, 2025-12-31"
    web.land(day="2025-12-31")
    lineage.tick(instance, cursor)
    lineage.tick(instance, cursor)
    assert versions(instance, CLICKS) == ["g1.v2", "g1.v3"]


def test_a_slice_whose_rows_were_all_rejected_is_reported_as_read(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    web.read(VISITS, upto=web.land(day="2026-03-02"), rows=0)
    lineage.tick(instance, LineageCursor())
    (event,) = reported(instance, VISITS)
    assert event.partition == "2026-03-02"
    assert event.metadata["rows"].value == 0


def test_maintenance_is_no_news(instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage) -> None:
    flow(web)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    web.commit(CLICKS, None, add={DAY: 3}, remove=True, data_change=False, operation="OPTIMIZE")
    tick = lineage.tick(instance, cursor)
    assert tick.cursor.marks[CLICKS] == Mark(1, 2)
    assert versions(instance, CLICKS) == ["g1.v1"]


def promote(web: WrittenLake, generation: int, reason: str) -> None:
    """Make a release in which visits has another generation, whose table holds one commit."""
    registry = Registry(web.lake)
    state = registry.state()
    made = [] if (VISITS, generation) in state.generations else [events.generation_created(VISITS, generation, "new")]
    number = max(state.releases) + 1
    registry.commit(state, [*made, events.release_created(number, {VISITS: generation, PAGES: 1}, reason)])


def copy_generation(web: WrittenLake, number: int) -> None:
    """Write the table of another generation of visits: what the first holds, with the generation in its notes."""
    old = web.lake.folder(VISITS) / "_delta_log"
    new = web.lake.folder(VISITS, number) / "_delta_log"
    new.mkdir(parents=True)
    for path in old.iterdir():
        (new / path.name).write_text(path.read_text().replace('\\"generation\\":1', f'\\"generation\\":{number}'))


def test_a_promotion_reports_every_slice_anew_with_the_new_generation(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    web.read(VISITS, upto=web.land(day="2026-03-02"), since=1)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    copy_generation(web, 2)
    promote(web, 2, "replay r1")
    tick = lineage.tick(instance, cursor)
    assert versions(instance, VISITS)[-2:] == ["g2.v2", "g2.v2"]
    event = reported(instance, VISITS, DAY)[-1]
    assert event.metadata["dagster/row_count"].value == 6
    assert "release 2 (replay r1) moved it from generation 1 to 2" in (event.description or "")
    lineage.tick(instance, tick.cursor)
    assert versions(instance, VISITS).count("g2.v2") == 2


def test_a_rollback_reports_the_earlier_generation_again_once(
    instance: dg.DagsterInstance, web: WrittenLake, place: Place
) -> None:
    flow(web)
    cursor = Lineage(place, PIPELINE).tick(instance, LineageCursor()).cursor
    copy_generation(web, 2)
    promote(web, 2, "replay r1")
    cursor = Lineage(place, PIPELINE).tick(instance, cursor).cursor
    registry = Registry(web.lake)
    registry.commit(registry.state(), [events.release_selected(1, "back")])
    Lineage(place, PIPELINE).tick(instance, cursor)
    Lineage(place, PIPELINE).tick(instance, cursor)
    assert versions(instance, VISITS) == ["g1.v1", "g2.v1", "g1.v1"]


def test_a_log_cleaned_up_before_it_was_read_is_reported_whole(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage
) -> None:
    flow(web)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    for _ in range(3):
        flow(web)
    DeltaTable(web.lake.folder(CLICKS)).create_checkpoint()
    (web.lake.folder(CLICKS) / "_delta_log" / f"{2:020d}.json").unlink()
    Lineage(lineage._place, PIPELINE).tick(instance, cursor)
    event = reported(instance, CLICKS)[-1]
    assert event.tags is not None
    assert event.tags[DATA_VERSION] == "g1.v4"
    assert event.metadata["dagster/row_count"].value == 12
    assert "no longer holds" in (event.description or "")


def test_a_text_that_is_no_cursor_of_ours_starts_over_without_repeating(
    instance: dg.DagsterInstance, web: WrittenLake, place: Place
) -> None:
    flow(web)
    Lineage(place, PIPELINE).tick(instance, LineageCursor())
    for text in ("41", "[]", "{", '{"marks": 3}'):
        Lineage(place, PIPELINE).tick(instance, LineageCursor.from_json(text))
    assert versions(instance, CLICKS) == ["g1.v1"]


def test_checks_are_reported_at_first_and_then_when_they_change_or_a_run_has_ended(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    flow(web)
    with host():
        cursor = lineage.tick(instance, LineageCursor()).cursor
        assert "check results" not in lineage.tick(instance, cursor).said
        lineage._looked_at = 0
        assert "check results" not in lineage.tick(instance, cursor).said
    with host({"silver.visits": "held"}):
        lineage._looked_at = 0
        tick = lineage.tick(instance, cursor)
    assert tick.said.endswith("1 check results")
    assert tick.cursor.verdicts["silver.visits/stream_healthy"] == "warn"
    key = dg.AssetCheckKey(dg.AssetKey(VISITS.key), "stream_healthy")
    (latest,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert latest.event is not None
    assert "FAILED" in str(latest.status)


def test_nothing_looks_stale_after_a_tick(
    instance: dg.DagsterInstance, web: WrittenLake, place: Place, lineage: Lineage
) -> None:
    flow(web)
    deploy_what_wrote(web)
    lineage.tick(instance, LineageCursor())
    definitions = build_definitions(PIPELINE, lake=place.root, landing=place.landing)
    graph = definitions.resolve_asset_graph()
    stale = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    assert stale.get_status(dg.AssetKey(CLICKS.key), DAY) is StaleStatus.FRESH
    assert stale.get_status(dg.AssetKey(VISITS.key), DAY) is StaleStatus.FRESH
    assert stale.get_status(dg.AssetKey(PAGES.key)) is StaleStatus.FRESH


def deploy_what_wrote(web: WrittenLake) -> None:
    """Have every commit say that the deployed logic wrote it."""
    for table in PIPELINE.derived:
        for path in (web.lake.folder(table.name) / "_delta_log").glob("*.json"):
            path.write_text(path.read_text().replace('\\"logic\\"', f'\\"{code_version(table)}\\"'))


def test_the_sensor_gives_dagster_its_cursor_and_a_reason(
    instance: dg.DagsterInstance, web: WrittenLake, place: Place
) -> None:
    flow(web)
    with beta_used_knowingly():
        sensor = lineage_sensor(place, PIPELINE, frozenset())
        found = sensor.evaluate_tick(dg.build_sensor_context(instance))
    assert found.skip_message is not None
    assert "reported 3 events" in found.skip_message
    assert found.cursor is not None
    assert json.loads(found.cursor)["marks"]["silver.visits"] == [1, 1]


def test_a_table_loaded_before_it_had_columns_tells_them_with_its_events(
    instance: dg.DagsterInstance, web: WrittenLake, place: Place
) -> None:
    flow(web)
    Lineage(place, PIPELINE, frozenset({CLICKS})).tick(instance, LineageCursor())
    (event,) = reported(instance, CLICKS)
    columns = event.metadata["dagster/column_schema"]
    assert isinstance(columns, dg.TableSchemaMetadataValue)
    assert [c.name for c in columns.schema.columns] == ["value", "_arrival_date"]


def test_a_tick_over_fifty_tables_with_nothing_new_is_quick(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    tables = [bronze(f"t{n}", source=Files(f"t{n}", format="json")) for n in range(50)]
    pipeline = Pipeline.from_tables("many", tables, start=dt.date(2026, 2, 1))
    for table in tables:
        log = tmp_path / "lake" / "bronze" / table.name.name / "_delta_log"
        log.mkdir(parents=True)
        for version in range(20):
            note = CommitNote(str(table.name), 1, version, "", tape_batch=version, rows=0)
            info = {"commitInfo": {"timestamp": 0, "operation": "WRITE", "userMetadata": note.to_json()}}
            (log / f"{version:020d}.json").write_text(json.dumps(info))
    lineage = Lineage(Place(tmp_path / "lake", tmp_path), pipeline)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    time.sleep(2.1)  # until the folders' modification times can be trusted
    lineage.tick(instance, cursor)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        found: Tick = lineage.tick(instance, cursor)
        took.append(time.perf_counter() - began)
    assert found.said.startswith("nothing new")
    assert min(took) < 0.1
