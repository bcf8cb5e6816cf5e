"""A Bronze checkpoint that is lost, older, newer or another lake's: recognised, and refused with what to do."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets import Files, Pipeline, bronze, silver
from kappa_assets.errors import CheckpointMismatch
from kappa_assets.health import run_checks
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import notes_back
from kappa_assets.place.local.lake import Lake

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

    def refused(self, said: str) -> str:
        """Drain, which is refused; check that the checks say it too, and that nothing was written."""
        before = DeltaTable(self.setting.lake.folder(NAME)).version()
        with pytest.raises(CheckpointMismatch, match=said) as refusal:
            self.drain()
        assert DeltaTable(self.setting.lake.folder(NAME)).version() == before
        told = next(o for o in run_checks(self.setting.lake, self.pipeline) if o.check == "stream_healthy")
        assert not told.passed
        assert str(refusal.value) in told.summary
        assert "Hint: Stop the stream, and put back" in told.summary
        return str(refusal.value)

    def follow_the_hint(self) -> None:
        """Do what the error says for those who have no copy to put back."""
        rows = DeltaTable(self.setting.lake.folder(NAME)).to_pyarrow_table().column("_source").to_pylist()
        (self.landing / "_done").mkdir(exist_ok=True)
        for name in {row["file"] for row in rows if (self.landing / row["file"]).exists()}:
            (self.landing / name).rename(self.landing / "_done" / name)
        shutil.rmtree(self.checkpoint)
        self.drain()


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path)


def test_a_checkpoint_that_was_removed_is_refused_and_the_hint_reads_what_is_new_once(shop: Shop) -> None:
    shop.land("anna")
    shop.drain()
    shutil.rmtree(shop.checkpoint)
    shop.land("bob")
    said = shop.refused("but the tape was written from")
    assert "1 files in" in said
    assert "are on the tape already: anna.csv" in said
    shop.refused("but the tape was written from")  # nor at the second try
    shop.follow_the_hint()
    assert shop.customers() == ["anna", "bob"]
    shop.land("carol")
    shop.drain()
    shop.drain()
    assert shop.customers() == ["anna", "bob", "carol"]


def test_a_checkpoint_put_back_from_an_older_day_is_refused_where_its_numbers_bring_other_files(shop: Shop) -> None:
    shop.land("a")
    shop.drain()
    shop.keep(shop.checkpoint)
    shop.land("b")
    shop.drain()
    shop.keep(shop.checkpoint, "newest")
    shop.put_back(shop.checkpoint)
    (shop.landing / "b.csv").unlink()
    shop.land("c")
    shop.refused("is at its batch 1, with other files than those that batch 1 has put on the tape")
    shop.put_back(shop.checkpoint, "newest")
    shop.drain()
    assert shop.customers() == ["a", "b", "c"]


def test_an_older_checkpoint_that_brings_the_same_files_again_goes_on_and_doubles_none(shop: Shop) -> None:
    shop.land("a")
    shop.drain()
    shop.keep(shop.checkpoint)
    shop.land("b")
    shop.drain()
    shop.put_back(shop.checkpoint)
    shop.land("c")
    (shop.landing / "c.csv").touch()  # Spark takes the oldest file first
    shop.drain()
    assert shop.customers() == ["a", "b", "c"]


def test_a_lake_that_is_older_than_its_checkpoint_is_refused_before_anything_new_lands(shop: Shop) -> None:
    shop.land("a")
    shop.drain()
    bronze_folder = shop.setting.lake.folder(NAME)
    shop.keep(bronze_folder)
    shop.land("b")
    shop.drain()
    shop.put_back(bronze_folder)
    shop.refused("has done batch 1, but the tape ends with its batch 0")
    shop.land("c")
    shop.refused("has done batch 1, but the tape ends with its batch 0")
    shop.follow_the_hint()
    assert shop.customers() == ["a", "b", "c"]


def test_a_tape_that_is_gone_under_its_checkpoint_is_refused(shop: Shop) -> None:
    shop.land("a")
    shop.drain()
    shutil.rmtree(shop.setting.lake.folder(NAME))
    with pytest.raises(CheckpointMismatch, match="has done batch 0, but the tape is empty"):
        shop.drain()
    shutil.rmtree(shop.checkpoint)
    shop.drain()
    assert shop.customers() == ["a"]


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


def without_new_fields(shop: Shop) -> None:
    """Make the tape's notes those that the version before wrote."""
    for version, _ in notes_back(shop.setting.lake.folder(NAME)):
        path = shop.setting.lake.folder(NAME) / "_delta_log" / f"{version:020d}.json"
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            if "commitInfo" in action:
                note = json.loads(action["commitInfo"]["userMetadata"])
                del note["checkpoint"], note["inputs"]
                action["commitInfo"]["userMetadata"] = json.dumps(note)
        path.write_text("".join(json.dumps(action) + "\n" for action in actions))


@pytest.mark.parametrize("logged", [True, False])
def test_a_tape_of_the_version_before_goes_on_from_its_checkpoint(shop: Shop, logged: bool) -> None:  # noqa: FBT001
    shop.land("a")
    shop.drain()
    shop.land("b")
    shop.drain()
    without_new_fields(shop)
    if not logged:
        for name in ("1", ".1.crc"):
            (shop.checkpoint / "commits" / name).unlink()
    shop.land("c")
    shop.drain()
    assert shop.customers() == ["a", "b", "c"]


def test_a_lost_checkpoint_of_the_version_before_is_refused_too(shop: Shop) -> None:
    shop.land("a")
    shop.drain()
    without_new_fields(shop)
    shutil.rmtree(shop.checkpoint)
    shop.setting = Setting(shop.setting.spark, shop.setting.lake, shop.setting.landing, Pace(landed_files=10))
    shop.land("b")
    shop.refused("but the tape was written from one that was not written down")
    shop.follow_the_hint()
    assert shop.customers() == ["a", "b"]


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
    before = DeltaTable(shop.setting.lake.folder(paid.name)).version()
    shop.land("c")
    for lost in ("older", "removed"):
        if lost == "older":
            shop.put_back(checkpoint)
        else:
            shutil.rmtree(checkpoint)
        with pytest.raises(CheckpointMismatch, match=r"silver\.paid is at its batch \d, from .* but the commit of"):
            shop.drain()
    assert DeltaTable(shop.setting.lake.folder(paid.name)).version() == before
