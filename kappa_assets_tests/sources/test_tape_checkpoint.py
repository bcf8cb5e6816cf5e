"""A Bronze checkpoint that is lost, older, newer or another lake's: the tape says what is read, and nothing is lost."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import Files, Pipeline, bronze, silver
from kappa_assets.errors import CheckpointMismatch
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import notes_back
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.files.files_source import FilesSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

orders = bronze("orders", source=Files("orders", format="csv", header=True))
NAME = orders.name


@silver
def paid(orders: DataFrame) -> DataFrame:
    return orders


TAPE_ONLY = Pipeline.from_tables("shop", [orders], start=dt.date(2026, 1, 1))
BOTH = Pipeline.from_tables("shop", [orders, paid], start=dt.date(2026, 1, 1))


class Shop:
    """A lake with one tape, read a file a batch, and the means to lose or put back parts of it."""

    def __init__(self, spark: SparkSession, root: Path, pipeline: Pipeline = TAPE_ONLY, files: int = 1) -> None:
        self.root, self.pipeline = root, pipeline
        self.landing = root / "landing" / "orders"
        self.landing.mkdir(parents=True)
        self.setting = Setting(spark, Lake.at(root / "lake"), root / "landing", Pace(landed_files=files))

    @property
    def checkpoint(self) -> Path:
        return self.setting.lake.checkpoint(NAME) / "files_orders"

    def land(self, *names: str) -> None:
        for name in names:
            (self.landing / f"{name}.csv").write_text(f"customer\n{name}\n")

    def drain(self) -> None:
        Host(self.setting, self.pipeline).drain()

    def keep(self, what: Path, name: str = "kept") -> None:
        shutil.copytree(what, self.root / name, symlinks=True)

    def put_back(self, what: Path, name: str = "kept") -> None:
        shutil.rmtree(what)
        shutil.copytree(self.root / name, what, symlinks=True)

    def customers(self) -> list[str]:
        found = DeltaTable(self.setting.lake.folder(NAME)).to_pyarrow_table().column("customer").to_pylist()
        return sorted(map(str, found))

    def notes(self) -> list[tuple[str | None, int]]:
        """Return which checkpoint numbered each batch of the tape, newest first."""
        return [
            (n.checkpoint, n.batch) for _, n in notes_back(self.setting.lake.folder(NAME)) if n.tape_batch is not None
        ]


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


def test_a_checkpoint_that_was_removed_begins_anew_and_only_what_is_new_is_read(shop: Shop) -> None:
    shop.land("anna")
    shop.drain()
    shutil.rmtree(shop.checkpoint)
    shop.land("bob")
    shop.drain()
    shop.land("carol")
    shop.drain()
    shop.drain()
    assert shop.customers() == ["anna", "bob", "carol"]
    (second, *_), first = shop.notes()[:-1], shop.notes()[-1]
    assert [number for _, number in shop.notes()] == [1, 0, 0]
    assert second[0] != first[0]


def test_a_checkpoint_put_back_from_an_older_day_begins_anew(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.land("a")
    shop.drain()
    shop.keep(shop.checkpoint)
    shop.land("b")
    shop.land("c")
    shop.drain()
    shop.put_back(shop.checkpoint)
    (shop.landing / "b.csv").unlink()
    shop.land("d")
    shop.drain()
    assert "is older than the tape, which has batch 2 of it; a new one begins" in caplog.text
    assert shop.customers() == ["a", "b", "c", "d"]
    shop.drain()
    assert shop.customers() == ["a", "b", "c", "d"]


def test_what_a_lake_that_is_older_than_its_checkpoint_does_not_hold_is_read_again(shop: Shop) -> None:
    shop.land("a")
    shop.drain()
    bronze_folder = shop.setting.lake.folder(NAME)
    shop.keep(bronze_folder)
    shop.land("b")
    shop.drain()
    shop.put_back(bronze_folder)
    shop.drain()
    assert shop.customers() == ["a", "b"]
    shop.land("c")
    shop.drain()
    assert shop.customers() == ["a", "b", "c"]


def test_a_tape_that_is_gone_under_its_checkpoint_is_written_again(shop: Shop) -> None:
    shop.land("a")
    (shop.landing / "broken.csv.gz").write_bytes(b"\x1f\x8b broken")
    shop.drain()
    shutil.rmtree(shop.setting.lake.folder(NAME))
    shop.drain()
    assert shop.customers() == ["a"]


def test_the_checkpoint_of_another_lake_begins_anew(spark: SparkSession, tmp_path: Path, shop: Shop) -> None:
    other = Shop(spark, tmp_path / "other")
    for name in ("a", "b", "x"):
        other.land(name)
    other.drain()
    shop.land("a")
    shop.drain()
    shop.land("b")
    shutil.rmtree(shop.checkpoint)
    shutil.copytree(other.checkpoint, shop.checkpoint)
    shop.drain()
    assert shop.customers() == ["a", "b"]


def test_a_lake_and_its_landing_folder_that_were_moved_go_on(spark: SparkSession, tmp_path: Path, shop: Shop) -> None:
    shop.land("a")
    shop.drain()
    moved = Shop(spark, tmp_path / "moved")
    shutil.rmtree(moved.landing)
    shutil.copytree(shop.landing, moved.landing)  # with new times: what a restore from a backup may do
    shutil.rmtree(moved.setting.lake.root)
    shop.setting.lake.root.rename(moved.setting.lake.root)
    moved.land("b")
    moved.drain()
    moved.drain()
    assert moved.customers() == ["a", "b"]


def test_files_that_leave_nothing_on_the_tape_before_it_is_made_are_no_fault(shop: Shop) -> None:
    (shop.landing / "empty.csv").write_text("")
    shop.drain()
    (shop.landing / "broken.csv.gz").write_bytes(b"\x1f\x8b broken")
    shop.drain()
    shop.land("a")
    shop.drain()
    assert shop.customers() == ["a"]


def test_a_batch_that_was_killed_before_spark_logged_it_is_taken_once_though_its_files_were_tidied_away(
    shop: Shop,
) -> None:
    shop.setting = Setting(shop.setting.spark, shop.setting.lake, shop.setting.landing, Pace(landed_files=10))
    shop.land("a", "b")
    shop.drain()
    for name in ("0", ".0.crc"):
        (shop.checkpoint / "commits" / name).unlink()
    shop.keep(shop.setting.lake.root, "lake_then")
    shop.drain()
    shop.put_back(shop.setting.lake.root, "lake_then")
    (shop.landing / "a.csv").unlink()
    shop.land("c")
    shop.drain()
    assert shop.customers() == ["a", "b", "c"]


def test_a_checkpoint_that_has_grown_long_is_left_for_a_new_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once between two drains, and twice within one."""
    monkeypatch.setattr(FilesSource, "longest", 2)
    shop.land("a", "b")
    shop.drain()
    shop.land("c", "d", "e", "f", "g")
    shop.drain()
    assert shop.customers() == ["a", "b", "c", "d", "e", "f", "g"]
    assert [number for _, number in shop.notes()] == [0, 1, 0, 1, 0, 1, 0]


def test_a_name_used_again_is_read_and_a_touched_file_is_not(shop: Shop) -> None:
    shop.land("a", "b")
    shop.drain()
    (shop.landing / "a.csv").write_text("customer\nanna\n")
    (shop.landing / "b.csv").touch()
    os.link(shop.landing / "b.csv", shop.landing / "c.csv")
    (shop.landing / "d.csv").symlink_to(shop.landing / "a.csv")
    shop.drain()
    assert shop.customers() == ["a", "anna", "b"]


def test_a_silver_whose_checkpoint_is_older_or_lost_is_refused_at_its_first_batch(
    spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(spark, tmp_path, BOTH)
    checkpoint = shop.setting.lake.checkpoint(paid.name)
    shop.land("a")
    shop.drain()
    shop.keep(checkpoint)
    shop.land("b")
    shop.drain()
    shop.land("c")
    for lost in ("older", "removed"):
        if lost == "older":
            shop.put_back(checkpoint)
        else:
            shutil.rmtree(checkpoint)
        with pytest.raises(CheckpointMismatch, match=r"silver\.paid is at its batch \d, from .* but the commit of"):
            shop.drain()
    rows = DeltaTable(shop.setting.lake.folder(paid.name)).to_pyarrow_table().column("customer").to_pylist()
    assert sorted(rows) == ["a", "b"]  # a host that takes over from one that failed commits its epoch, and no row
