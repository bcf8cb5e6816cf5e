"""What was sent twice is in the table once: the first on the tape, whatever batches the rows came in."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets.errors import ReplayError
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.kinds.unique import unique_query
from kappa_assets.kinds.unique.unique_query import within_reach
from kappa_assets.place.local import local_table
from kappa_assets.place.sliced_rows import rows_in_files
from kappa_assets.repair import plan_repair
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.conftest import WALKED
from kappa_assets_tests.kinds.unique_scene import (
    SHOP,
    WITHIN,
    Order,
    Scene,
    as_python_says,
    fates,
    near,
    once,
    orders,
    rows_of,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from kappa_assets.place.port import StoredTable


NUMBERS = ["1", "2", "NaN", "0", "-0.0", "x"]
ORDER = st.builds(
    Order,
    st.sampled_from(NUMBERS),
    st.integers(0, 30),
    st.sampled_from(["a", "a", "b", None]),
    st.sampled_from([1, 1, 1, 0, None]),
    st.sampled_from([1, 1, 1, 2, 0]),
)
CHAIN = [Order("1", day) for day in (0, 5, 7, 8, 11, 16)]
"""Day 0 is kept, 5 and 7 are of it, 8 is kept, 11 is of 8, and 16 is kept."""
BACK = [Order("1", day, "b") for day in (20, 13, 12, 5, 4, 27, 28)]
ODD = [Order(number, 3, shop) for number in NUMBERS for shop in ("a", "c", None)]
GONE = [
    Order("9", 1, good=0),
    Order("9", 1, good=None),
    Order("9", 2, copies=3),
    Order("9", 2),
    Order("8", 3, copies=0),
]


@settings(max_examples=4, phases=WALKED)
@given(st.lists(st.lists(ORDER, min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 3))
@example([CHAIN + GONE, BACK + ODD, [*CHAIN[3:], *ODD[::2]], GONE + BACK[::-1], [Order("9", 8), Order("9", 9)]], 2)
def test_the_first_on_the_tape_stays_live_and_replayed_however_the_rows_come(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, files: list[list[Order]], at_once: int
) -> None:
    scene = Scene(spark, tmp_path_factory.mktemp("shop"))
    for n in range(0, len(files), at_once):
        scene.land(*files[n : n + at_once])
        scene.drain()
    as_python_says(scene)
    shops = Counter(order.shop for at, order in scene.tape() for _ in range(fates(scene.tape(), WITHIN)[at, "table"]))
    assert scene.by_shop() == shops

    # The files of the tape lie in another order than its rows, and Spark would take them one by one.
    DeltaTable(scene.lake.folder(orders.name)).optimize.compact()
    replay = plan_replay(scene.lake, SHOP, [once.name, near.name])
    run_replay(Setting(spark, scene.lake, scene.landing, Pace(1, 1)), SHOP, replay, progress=lambda _: None)
    as_python_says(scene, 2)
    assert [len(scene.notes(table, 2)) for table in (once, near)] == [1, 1]
    assert scene.by_shop() == shops


@pytest.mark.parametrize("at", ["after_rejects", "after_commit"])
def test_what_was_interrupted_is_kept_once(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    scene = Scene(spark, tmp_path)
    scene.land(CHAIN)
    scene.drain()
    scene.land(CHAIN + GONE)
    died: list[str] = []

    def die(point: str, what: str) -> None:
        if (point, what) == (at, str(near.name)) and not died:
            died.append(point)
            raise OSError(f"killed at {point}")

    monkeypatch.setattr(local_table, "fault_point", die)
    monkeypatch.setattr("kappa_assets.kinds.append.fault_point", die)
    with pytest.raises(OSError, match="killed at"):
        scene.drain()
    DeltaTable(scene.lake.folder(near.name)).optimize.compact()
    scene.drain()
    assert died == [at]
    as_python_says(scene)


def test_a_late_start_keeps_rows_and_what_comes_again_is_a_duplicate_of_them(
    spark: SparkSession, tmp_path: Path
) -> None:
    scene = Scene(spark, tmp_path)
    for rows in (CHAIN[:3], BACK, CHAIN[2:]):
        scene.land(rows)
        scene.drain()
    live, before = scene.by_shop(), {table: rows_of(scene.lake.folder(table.name)) for table in (once, near)}
    plan = plan_replay(scene.lake, SHOP, [once.name, near.name], from_version=3)
    assert [step.kept_from for step in plan.steps] == [1, 1, None]
    run_replay(scene.setting, SHOP, plan, progress=lambda _: None)
    for table, held in before.items():
        again = rows_of(scene.lake.folder(table.name, 2))
        assert sorted(again, key=str) == sorted(held, key=str)
    assert scene.by_shop() == live
    with pytest.raises(ReplayError, match="has no slices to repair") as refused:
        plan_repair(scene.lake, SHOP, near.name, [dt.date(2024, 5, 1)])
    assert "Replay silver.near" in str(refused.value)


def test_a_batch_reads_the_columns_of_its_key_in_near_slices_alone(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, read = Scene(spark, tmp_path), list[tuple[str, set[int], list[str]]]()
    scene.land([Order(str(day), day) for day in (0, 4, 5, 12, 19, 20, 30)])
    scene.drain()

    def noted(session: SparkSession, table: StoredTable, paths: Sequence[str], schema: StructType) -> DataFrame:
        days = {int(path.partition("_arrival_date=2024-05-")[2][:2]) - 1 for path in paths}
        read.append((table.name, days, sorted(schema.names)))
        return rows_in_files(session, table, paths, schema)

    monkeypatch.setattr(unique_query, "rows_in_files", noted)
    scene.land([Order("9", 12), Order("9", 30)])
    scene.drain()
    columns = ["_arrival_date", "_arrived_at", "number", "shop"]
    days = {"silver.near": {5, 12, 19, 30}, "silver.once": {0, 4, 5, 12, 19, 20, 30}}
    assert sorted(read) == [(name, found, columns) for name, found in days.items()]


DAYS = st.dates(dt.date(2024, 1, 1), dt.date(2024, 3, 1))


@settings(max_examples=200)
@given(st.sets(DAYS), st.sets(DAYS), st.integers(0, 20))
def test_days_within_reach_are_those_that_lie_near_one(there: set[dt.date], days: set[dt.date], within: int) -> None:
    near = {day for day in there if any(abs((day - one).days) <= within for one in days)}
    assert within_reach(there, days, within) == near
