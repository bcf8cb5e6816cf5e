"""What readers see while releases are promoted and rolled back: always a whole release, never an empty or mixed one."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest

from kappa_assets import Layer, Pipeline, TableName
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.pipelines.retail import silver as retail
from kappa_assets.pipelines.retail.bronze import invoices
from kappa_assets.pipelines.retail.gold import daily_revenue
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.replay import plan_replay, rollback, run_replay
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.whole import corrected_retail
from kappa_assets_tests.whole.verify import SILVER, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
DAILY = TableName(Layer.GOLD, "daily_revenue")
DEPLOYED = (
    Pipeline.from_tables("retail", [invoices, corrected_retail.sales, daily_revenue]),
    Pipeline.from_tables("retail", [invoices, retail.sales, daily_revenue]),
)
"""Two deployments in turn. The first prices every line twice as high, so that tables of two releases never agree."""


def test_a_reader_sees_one_whole_release_at_a_time_while_they_change_twenty_times(
    spark: SparkSession, tmp_path: Path
) -> None:
    landing = tmp_path / "landing" / "invoices"
    landing.mkdir(parents=True)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing")
    for file in make_files(tmp_path / "staged", 41, files=2, lines=30):
        file.rename(landing / file.name)
    Host(setting, DEPLOYED[1]).drain()
    lines, amount = _of_silver(setting.lake.folder(SILVER, 1))

    with _polling(setting.lake) as reader:
        for number in range(4):
            deployed = DEPLOYED[number % 2]
            result = run_replay(
                setting, deployed, plan_replay(setting.lake, deployed, [SILVER]), progress=lambda _: None
            )
            assert result.state == "promoted"
            reader.await_release(result.release)
        for number in range(16):
            rollback(setting.lake, 1 + number % 4)
            reader.await_release(1 + number % 4)

    assert not reader.failed, reader.failed[:3]
    assert {seen.release for seen in reader.seen} == {1, 2, 3, 4, 5}
    for seen in reader.seen:
        priced = amount * (2 if seen.generation % 2 == 0 else 1)
        assert (seen.silver, seen.gold, seen.linked_lines) == ((lines, priced), (lines, priced), lines), seen


class _Seen:
    """What one look at the lake found: the release, and lines and amounts of its tables."""

    def __init__(self, lake: Lake) -> None:
        release = Registry(lake).state().release
        assert release is not None
        self.release = release.number
        self.generation = release.tables[SILVER]
        self.silver = _of_silver(lake.folder(SILVER, self.generation))
        gold = read(lake.folder(DAILY, release.tables[DAILY]), "lines", "revenue")
        self.gold = pc.sum(gold["lines"]).as_py(), pc.sum(gold["revenue"]).as_py()
        self.linked_lines = read(lake.link(SILVER).resolve(), "amount").num_rows

    def __repr__(self) -> str:
        return repr(vars(self))


class _Reader:
    """Looks again and again, from its own thread."""

    def __init__(self, lake: Lake) -> None:
        self.seen: list[_Seen] = []
        self.failed: list[Exception] = []
        self._lake = lake
        self.ended = threading.Event()

    def await_release(self, number: int | None) -> None:
        """Wait until this release is what a look finds. Raises AssertionError after a minute."""
        deadline = time.monotonic() + 60
        while not self.seen or self.seen[-1].release != number:
            assert time.monotonic() < deadline, (number, self.failed[:1])
            time.sleep(0.01)

    def poll(self) -> None:
        while not self.ended.is_set():
            try:
                self.seen.append(_Seen(self._lake))
            except Exception as error:  # noqa: BLE001 -- whatever a reader meets is what the test is about
                self.failed.append(error)


@contextmanager
def _polling(lake: Lake) -> Iterator[_Reader]:
    reader = _Reader(lake)
    thread = threading.Thread(target=reader.poll)
    thread.start()
    try:
        yield reader
    finally:
        reader.ended.set()
        thread.join()


def _of_silver(folder: Path) -> tuple[int, Decimal]:
    rows = read(folder, "amount")
    return rows.num_rows, pc.sum(rows["amount"]).as_py()
