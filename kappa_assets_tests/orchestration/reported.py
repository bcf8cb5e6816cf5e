"""Batches brought through tables whose logs are written by hand, and the events Dagster holds about them."""

from __future__ import annotations

import dagster as dg

from kappa_assets.names import TableName
from kappa_assets.orchestration.lineage.provenance import DATA_VERSION
from kappa_assets_tests.written_logs import PAGES, VISITS, WrittenLake

DAY = "2026-03-01"


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
