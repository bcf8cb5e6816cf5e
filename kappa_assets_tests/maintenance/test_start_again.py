"""What stays of a log is enough for Spark to start its readers again, however many versions a batch of theirs took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from kappa_assets import Layer, Pipeline, TableName
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.maintenance.readers import first_entry, unread_by
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import log_entries
from kappa_assets.place.registry import Registry
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.verify import verify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TAPE, SALES = TableName(Layer.BRONZE, "invoices"), TableName(Layer.SILVER, "sales")


def test_a_query_starts_again_though_its_last_batch_took_versions_that_nobody_has_to_read(
    spark: SparkSession, three_days: Path
) -> None:
    lake, landing = Lake.at(three_days / "lake"), three_days / "landing"
    folder = lake.folder(TAPE)
    for day, file in enumerate(make_files(three_days / "more", 8, files=3, lines=20), 10):
        file.rename(landing / "invoices" / f"2026-01-{day}{''.join(file.suffixes)}")
    a_file_a_batch = Setting(spark, lake, landing, Pace(landed_files=1, table_files=1))
    Host(a_file_a_batch, Pipeline.from_tables("retail", [table for table in pipeline if table.name == TAPE])).drain()
    Host(Setting(spark, lake, landing), pipeline).drain()

    live = Registry(lake).state().live(SALES)
    assert live is not None
    unread = unread_by(lake, live, TAPE)
    assert unread is not None
    newest = DeltaTable(folder).version()
    kept = first_entry(folder, newest + 1, [unread], 1)
    assert kept < newest - 1, "the last batch took several versions"
    DeltaTable(folder, version=kept).create_checkpoint()
    for version, entries in log_entries(folder).items():
        for entry in entries if version < kept else ():
            entry.unlink()
    Host(Setting(spark, lake, landing), pipeline).drain()
    verify(lake, sorted((landing / "invoices").iterdir()))
