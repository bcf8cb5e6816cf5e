"""Maintenance beside a living host and a replay, and after them: the tables stay what the oracle computes."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.releases import release_condition
from kappa_assets.maintenance import Policy
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.maintenance.steps import Upkeep
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.test_replay import TABLES, contents, living, reached, replay
from kappa_assets_tests.whole.verify import INVOICES, SILVER, same, verify, verify_bronze, verify_tables, verify_tape

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@contextmanager
def maintained(lake: Lake) -> Iterator[list[Upkeep]]:
    """Run maintenance again and again in a thread of its own for the block; what it did is in the list."""
    over, done, failed = threading.Event(), list[Upkeep](), list[BaseException]()

    def again() -> None:
        try:
            while not over.wait(0.2):
                done.extend(maintain(lake, pipeline, progress=lambda _: None))
        except BaseException as error:  # noqa: BLE001 -- raised again below, by the test
            failed.append(error)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join(timeout=300)
        assert not thread.is_alive()
        assert not failed, failed


def test_beside_streams_and_a_replay_and_after_them_the_tables_are_what_they_were(
    spark: SparkSession, tmp_path: Path
) -> None:
    landing = tmp_path / "landing" / "invoices"
    landing.mkdir(parents=True)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing")
    files = iter(make_files(tmp_path / "staged", 31, files=13, lines=30))

    def drop(number: int) -> None:
        """Land the next file under a name of one of two days, so that slices get many small files."""
        file = next(files)
        file.rename(landing / f"2026-01-{5 + number % 2:02d}-{number:02d}{''.join(file.suffixes)}")

    with living(setting, pipeline), maintained(setting.lake) as done:
        for number in range(10):
            drop(number)
            reached(setting, number)
        assert replay(setting) == 2
        for number in range(10, 12):
            drop(number)
            reached(setting, number)
    optimized = {u.table for u in done if u.what.startswith("optimize")}
    assert {"bronze.invoices", "silver.sales g1"} <= optimized
    Host(setting, pipeline).drain()  # gold.top_products follows once a minute
    verify(setting.lake, sorted(landing.iterdir()))

    live = {table: contents(setting.lake, table) for table in TABLES}
    _weeks_later(setting.lake)
    assert not setting.lake.folder(SILVER, 1).exists(), "the first release's generations have expired"
    state = Registry(setting.lake).state()
    assert [release_condition(setting.lake, state, r) for r in state.releases.values()] == ["expired", "kept"]
    for table in TABLES:
        same(contents(setting.lake, table), live[table], f"rows of {table} after maintenance")
    on_disk = {p for p in setting.lake.folder(INVOICES).rglob("*.parquet") if "_delta_log" not in p.parts}
    assert on_disk == {Path(uri) for uri in DeltaTable(setting.lake.folder(INVOICES)).file_uris()}

    assert replay(setting) == 3
    for table in TABLES:
        same(contents(setting.lake, table), live[table], f"rows of {table} after a replay of what maintenance left")
    drop(12)
    Host(setting, pipeline).drain()
    landed = sorted(landing.iterdir())
    verify_bronze(setting.lake, landed)
    verify_tables(setting.lake, landed)
    verify_tape(setting.lake)


def _weeks_later(lake: Lake) -> None:
    """Run maintenance as in the weeks after: merged files, old log entries and the first release go."""
    now = dt.datetime.now(dt.UTC)
    for days in (0, 8, 16, 40):
        maintain(lake, pipeline, Policy(keep_releases=1), now=now + dt.timedelta(days=days), progress=lambda _: None)
