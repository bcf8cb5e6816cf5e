"""A repair and a promotion at once: what is reported as done is in what is live, in whatever order they come."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable

from kappa_assets import Layer, Pipeline
from kappa_assets.errors import ReplayError
from kappa_assets.health import run_checks
from kappa_assets.kinds.query import Setting
from kappa_assets.log.tape import Tape
from kappa_assets.place.local import local_table
from kappa_assets.place.local.lake import Lake
from kappa_assets.repair import RepairPlan, plan_repair, run_repair
from kappa_assets.replay import plan_replay, promote, promote_replay, rollback, run_replay
from kappa_assets_tests.copied_shop import Shop
from kappa_assets_tests.log.test_tape_threads import together
from kappa_assets_tests.whole.corrected_retail import AS_IT_WAS
from kappa_assets_tests.whole.verify import INVOICES, SILVER, read

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SILVER_ALONE = Pipeline.from_tables("retail", [t for t in AS_IT_WAS if t.name.layer is not Layer.GOLD])


def rows_of(shop: Shop) -> list[dict[str, Any]]:
    return sorted(read(shop.lake.link(SILVER)).to_pylist(), key=repr)


class Damaged:
    """A lake whose first slice lacks rows, and a held replay from its second batch that has kept it so."""

    def __init__(self, shop: Shop, sound: list[dict[str, Any]]) -> None:
        self.shop = shop
        self.sound = sound
        self.first: dt.date = min(row["_arrival_date"] for row in sound)
        self.said: list[str] = []

    def plan(self) -> RepairPlan:
        return plan_repair(self.shop.lake, SILVER_ALONE, SILVER, [self.first])

    def repair(self, plan: RepairPlan | None = None) -> list[int]:
        plan = plan or self.plan()
        return [d.rows for d in run_repair(self.shop.setting, SILVER_ALONE, plan, progress=self.said.append)]

    def promote(self) -> None:
        promote_replay(self.shop.setting, SILVER_ALONE, force=True, progress=self.said.append)

    def is_sound(self) -> bool:
        assert self.shop.lake.link(SILVER).resolve() == self.shop.lake.folder(SILVER, 2)
        found = {o.check: o.passed for o in run_checks(self.shop.lake, SILVER_ALONE) if o.table == SILVER}
        assert found["tape_continuous"]
        return rows_of(self.shop) == self.sound


@pytest.fixture(scope="module")
def held(drained: Shop, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Only look at it; `damaged` is for changing it."""
    root = tmp_path_factory.mktemp("held")
    shutil.copytree(drained.lake.root, root / "lake", symlinks=True)
    shop = Shop(Setting(spark, Lake.at(root / "lake"), drained.setting.landing), drained.files)
    first = min(row["_arrival_date"] for row in rows_of(shop))
    DeltaTable(shop.lake.folder(SILVER)).delete(f"_arrival_date = '{first}' and quantity > 2")
    start = Tape(shop.lake, INVOICES).commits()[1].version
    plan = plan_replay(shop.lake, SILVER_ALONE, [SILVER], from_version=start)
    said: list[str] = []
    run_replay(shop.setting, SILVER_ALONE, plan, promote="hold", progress=said.append)
    assert any("rows kept from g1" in line for line in said)
    return shop


@pytest.fixture
def damaged(held: Shop, drained: Shop, spark: SparkSession, tmp_path: Path) -> Damaged:
    shutil.copytree(held.lake.root, tmp_path / "lake", symlinks=True)
    shop = Shop(Setting(spark, Lake.at(tmp_path / "lake"), held.setting.landing), held.files)
    sound = rows_of(drained)
    assert rows_of(shop) != sound
    return Damaged(shop, sound)


def test_a_repair_of_rows_that_a_held_replay_has_kept_is_carried_over_and_said(damaged: Damaged) -> None:
    damaged.repair()
    damaged.promote()
    assert damaged.is_sound()
    said = f"silver.sales g2: slice {damaged.first} was changed in g1 since its rows were kept;"
    assert [line for line in damaged.said if line.startswith(said)]


def test_rows_deleted_from_the_live_table_by_hand_do_not_come_back_with_a_promotion(damaged: Damaged) -> None:
    DeltaTable(damaged.shop.lake.folder(SILVER)).delete(f"_arrival_date = '{damaged.first}' and quantity > 1")
    left = rows_of(damaged.shop)
    damaged.promote()
    assert not damaged.is_sound()
    assert rows_of(damaged.shop) == left


def test_a_repair_just_before_the_registry_changes_is_carried_over(
    damaged: Damaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[list[int]] = []

    def repair_first(point: str, what: str) -> None:
        if (point, what) == ("registry_change", "registry") and not done:
            done.append(damaged.repair())

    monkeypatch.setattr(promote, "fault_point", repair_first)
    damaged.promote()
    assert done
    assert damaged.is_sound()


@pytest.mark.parametrize("what", ["promotion", "rollback"])
def test_a_repair_whose_generation_is_replaced_before_its_commit_is_refused(
    damaged: Damaged, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "rollback":
        damaged.promote()
    retired = 2 if what == "rollback" else 1
    folder = damaged.shop.lake.folder(SILVER, retired)
    version = DeltaTable(folder).version()

    def release_first(point: str, _: str) -> None:
        if point == "slice_written" and what == "promotion":
            damaged.promote()
        elif point == "slice_written":
            rollback(damaged.shop.lake)

    monkeypatch.setattr(local_table, "fault_point", release_first)
    said = rf"silver\.sales g{retired} is not live any more, g{3 - retired} is: slice .* was not repaired"
    with pytest.raises(ReplayError, match=said):
        damaged.repair()
    assert DeltaTable(folder).version() == version, "nothing was written to the retired table"


def test_of_a_repair_and_a_promotion_in_two_threads_what_is_done_is_live(damaged: Damaged) -> None:
    reported: list[list[int]] = []
    refused: list[str] = []
    plan = damaged.plan()

    def repair_now() -> None:
        try:
            reported.append(damaged.repair(plan))
        except ReplayError as error:
            refused.append(str(error))

    together(repair_now, damaged.promote)
    assert damaged.is_sound() == bool(reported)
    assert all("g1 is not live any more" in said for said in refused)
    assert len(reported) + len(refused) == 1
