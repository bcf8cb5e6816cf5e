"""The lineage sensor in Dagster: check results, stale marks, its cursor, and what a quiet tick leaves alone."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from kappa_assets import Files, Pipeline, bronze
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.log.note import CommitNote
from kappa_assets.orchestration.beta_warnings import beta_used_knowingly
from kappa_assets.orchestration.build import build_definitions
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.lineage.lineage_cursor import LineageCursor
from kappa_assets.orchestration.sensors.lineage_sensor import Lineage, Tick, lineage_sensor
from kappa_assets_tests.orchestration.reported import DAY, flow, reported
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS, WrittenLake


def test_checks_are_reported_at_first_and_then_when_they_change_or_a_run_has_ended(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    flow(web)
    with host():
        cursor = lineage.tick(instance, LineageCursor()).cursor
        assert "check results" not in lineage.tick(instance, cursor).said
        assert "check results" not in lineage.tick(instance, cursor).said
    with host({"silver.visits": "held"}):
        tick = lineage.tick(instance, cursor)
    assert tick.said.endswith("1 check results")
    assert tick.cursor.verdicts["silver.visits/stream_healthy"] == "warn"
    key = dg.AssetCheckKey(dg.AssetKey(VISITS.key), "stream_healthy")
    (latest,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert latest.event is not None
    assert "FAILED" in str(latest.status)


def test_nothing_looks_stale_after_a_tick(
    instance: dg.DagsterInstance, web: WrittenLake, folders: Folders, lineage: Lineage
) -> None:
    flow(web)
    deploy_what_wrote(web)
    lineage.tick(instance, LineageCursor())
    definitions = build_definitions(PIPELINE, lake=folders.root, landing=folders.landing)
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
    instance: dg.DagsterInstance, web: WrittenLake, folders: Folders
) -> None:
    flow(web)
    with beta_used_knowingly():
        sensor = lineage_sensor(folders, PIPELINE, frozenset())
        found = sensor.evaluate_tick(dg.build_sensor_context(instance))
    assert found.skip_message is not None
    assert "reported 3 events" in found.skip_message
    assert found.cursor is not None
    assert json.loads(found.cursor)["marks"]["silver.visits"] == [1, 1]


def test_a_table_loaded_before_it_had_columns_tells_them_with_its_events(
    instance: dg.DagsterInstance, web: WrittenLake, folders: Folders
) -> None:
    flow(web)
    Lineage(folders, PIPELINE, frozenset({CLICKS})).tick(instance, LineageCursor())
    (event,) = reported(instance, CLICKS)
    columns = event.metadata["dagster/column_schema"]
    assert isinstance(columns, dg.TableSchemaMetadataValue)
    assert {c.name: c.description for c in columns.schema.columns} == {
        "value": "a line, as it came",
        "_arrival_date": "its slice: the UTC day it arrived",
    }


def test_a_tick_over_fifty_tables_with_nothing_new_opens_and_lists_none_of_their_logs(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    tables = [bronze(f"t{n}", source=Files(f"t{n}", format="json")) for n in range(50)]
    pipeline = Pipeline.from_tables("many", tables, start=dt.date(2026, 2, 1))
    for table in tables:
        log = tmp_path / "lake" / "bronze" / table.name.name / "_delta_log"
        log.mkdir(parents=True)
        for version in range(20):
            note = CommitNote(str(table.name), 1, version, "", tape_batch=version, rows=0)
            info = {"commitInfo": {"timestamp": 0, "operation": "WRITE", "userMetadata": note.to_json()}}
            (log / f"{version:020d}.json").write_text(json.dumps(info))
        os.utime(log, (0, 0))  # the modification time of a folder is trusted once it is seconds old
    looked: list[str] = []
    watched = str(tmp_path / "lake" / "bronze")

    def notice(event: str, about: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and str(about[0]).startswith(watched):
            looked.append(str(about[0]))

    sys.addaudithook(notice)  # for the rest of the process: this test's folder is nobody else's
    lineage = Lineage(Folders(tmp_path / "lake", tmp_path), pipeline)
    cursor = lineage.tick(instance, LineageCursor()).cursor
    assert len(looked) >= len(tables) * 20, "what is read is seen here"
    lineage.tick(instance, cursor)
    looked.clear()
    found: Tick = lineage.tick(instance, cursor)
    assert found.said.startswith("nothing new")
    assert looked == []


def test_a_tick_with_its_checks_opens_each_commit_once(
    instance: dg.DagsterInstance, web: WrittenLake, lineage: Lineage, host: Callable[..., Any]
) -> None:
    opened: Counter[str] = Counter()
    layers = tuple(str(web.lake.folder(table)) for table in (CLICKS, VISITS, PAGES))

    def notice(event: str, about: tuple[object, ...]) -> None:
        if event == "open" and str(about[0]).startswith(layers):
            opened[str(about[0])] += 1

    sys.addaudithook(notice)  # for the rest of the process: this test's folder is nobody else's
    cursor = LineageCursor()
    for batches in (3, 1, 0):
        for _ in range(batches):
            flow(web)
        written = set(opened)
        opened.clear()
        with host():
            cursor = lineage.tick(instance, cursor).cursor
        # What was written since, and by the first tick also each table's creation.
        assert len(opened) == len(written) + (3 if batches == 3 else 0)
        assert opened.keys() >= written
        assert set(opened.values()) <= {1}
        opened.clear()
