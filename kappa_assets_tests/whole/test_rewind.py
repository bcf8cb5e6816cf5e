"""Live = repair = replay, row for row, in any mix and order, against an independent computation of what landed."""

from __future__ import annotations

import datetime as dt
import random
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.note import BEFORE_THE_TAPE
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.repair import plan_repair, run_repair
from kappa_assets.replay import plan_replay, rollback, run_replay
from kappa_assets_tests.conftest import WALKED
from kappa_assets_tests.copied_shop import copy_shop
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.verify import INVOICES, SILVER, read, verify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

Step = Literal["land", "repair", "repair as of", "replay", "replay late", "delete", "optimize", "roll back"]
STEPS: tuple[Step, ...] = ("land", "repair", "repair as of", "replay", "replay late", "delete", "optimize", "roll back")


# Each step leaves a lake that the next one starts from, so one long walk meets what several short ones met: every kind
# of step, many of them twice, on a lake that was optimized, replayed whole and late, cut by hand, and rolled back.
# CI walks this one; every other run makes up another one too.
@settings(max_examples=1, phases=WALKED)
@given(
    seed=st.integers(0, 10_000),
    steps=st.lists(st.sampled_from(STEPS), min_size=4, max_size=6),
    table_files=st.sampled_from([1, 2**31 - 1]),
)
@example(
    seed=1793,
    steps=[
        *("land", "optimize", "replay", "land", "replay late", "delete", "repair as of", "roll back", "repair"),
        *("land", "optimize", "repair"),
    ],
    table_files=1,
)
def test_any_mix_of_repairs_and_replays_leaves_what_the_files_say(
    spark: SparkSession, drained_shop: Path, tmp_path: Path, seed: int, steps: Sequence[Step], table_files: int
) -> None:
    root = copy_shop(drained_shop, Path(tempfile.mkdtemp(dir=tmp_path)) / "shop")
    setting = Setting(spark, Lake.at(root / "lake"), root / "landing", Pace(1, table_files))
    mixed = _Mixed(setting, make_files(root / "staged", seed, files=6, lines=20), random.Random(seed))
    for step in steps:
        mixed.do(step)
    mixed.settle()
    verify(setting.lake, sorted((setting.landing / "invoices").iterdir()))
    shutil.rmtree(root)


class _Mixed:
    """A lake to which things are done. What is deleted by hand is repaired before the end, and counted until then."""

    def __init__(self, setting: Setting, files: list[Path], dice: random.Random) -> None:
        self._setting = setting
        self._files = files
        self._dice = dice
        self._deleted = False

    def do(self, step: Step) -> None:
        match step:
            case "land":
                self.land()
            case "repair":
                self.repair(self._some_days())
            case "repair as of":
                commits = Tape(self._setting.lake, INVOICES).commits()
                self.repair(self._some_days(), self._dice.choice(commits).version)
            case "replay":
                self._replay(0)
            case "replay late":
                self._replay(self._dice.choice(Tape(self._setting.lake, INVOICES).commits()).version)
            case "delete":
                self._deleted = True
                DeltaTable(self._silver()).delete("quantity > 4")
            case "optimize":
                DeltaTable(self._silver()).optimize.compact()
                DeltaTable(self._setting.lake.folder(INVOICES)).optimize.compact()
            case "roll back":
                self._roll_back_and_forth()

    def land(self) -> None:
        """Two files land, of slices that are there already or not, and are drained in two batches."""
        for _ in range(min(2, len(self._files))):
            file = self._files.pop(self._dice.randrange(len(self._files)))
            file.rename(self._setting.landing / "invoices" / f"{file.name[:10]}-more{''.join(file.suffixes)}")
        Host(self._setting, pipeline).drain()

    def repair(self, days: list[dt.date], version: int | None = None) -> None:
        plan = plan_repair(self._setting.lake, pipeline, SILVER, days, bronze_version=version)
        assert plan.upto > BEFORE_THE_TAPE
        list(run_repair(self._setting, pipeline, plan, progress=lambda _: None))

    def settle(self) -> None:
        """Repair every slice that is computed here, replay if a deletion may have been kept, and drain."""
        if self._deleted:
            self._replay(0)
        self.repair(self._days())
        Host(self._setting, pipeline).drain()

    def _replay(self, start: int) -> None:
        plan = plan_replay(self._setting.lake, pipeline, [SILVER], from_version=start)
        run_replay(self._setting, pipeline, plan, progress=lambda _: None)

    def _roll_back_and_forth(self) -> None:
        from kappa_assets.place.registry import Registry

        state = Registry(self._setting.lake).state()
        if state.previous_release is not None and state.current is not None:
            rollback(self._setting.lake, state.previous_release)
            Host(self._setting, pipeline).drain()
            rollback(self._setting.lake, state.current)
        Host(self._setting, pipeline).drain()

    def _silver(self) -> Path:
        return self._setting.lake.link(SILVER).resolve()

    def _days(self) -> list[dt.date]:
        return sorted({row["_arrival_date"] for row in read(self._setting.lake.folder(INVOICES)).to_pylist()})

    def _some_days(self) -> list[dt.date]:
        days = self._days()
        return self._dice.sample(days, self._dice.randint(1, len(days)))


def test_slices_are_repaired_beside_a_stream_that_goes_on_and_readers_see_whole_slices(
    spark: SparkSession, tmp_path: Path
) -> None:
    landing = tmp_path / "landing" / "invoices"
    landing.mkdir(parents=True)
    setting = Setting(spark, Lake.at(tmp_path / "lake"), tmp_path / "landing", Pace(landed_files=1))
    first, *later = make_files(tmp_path / "staged", 31, files=4, lines=30)
    first.rename(landing / first.name)
    Host(setting, pipeline).drain()
    day = min(row["_arrival_date"] for row in read(setting.lake.link(SILVER)).to_pylist())
    before = _of_slice(setting, day)
    ended, torn = threading.Event(), []

    def watch() -> None:
        while not ended.is_set():
            if _of_slice(setting, day) != before:
                torn.append(_of_slice(setting, day))

    host = Host(setting, pipeline, wanted=lambda: "the repairs are done" if ended.is_set() else None)
    threads = [threading.Thread(target=host.stream), threading.Thread(target=watch)]
    for thread in threads:
        thread.start()
    try:
        for file in later:
            file.rename(landing / file.name)
            for _ in range(2):
                plan = plan_repair(setting.lake, pipeline, SILVER, [day])
                list(run_repair(setting, pipeline, plan, progress=lambda _: None))
    finally:
        ended.set()
        for thread in threads:
            thread.join()

    assert not torn, f"a reader saw {len(torn)} other states of the slice"
    Host(setting, pipeline).drain()
    verify(setting.lake, sorted(landing.iterdir()))


def _of_slice(setting: Setting, day: dt.date) -> list[str]:
    table = DeltaTable(setting.lake.link(SILVER).resolve()).to_pyarrow_table(filters=[("_arrival_date", "=", day)])
    return sorted(map(repr, table.to_pylist()))
