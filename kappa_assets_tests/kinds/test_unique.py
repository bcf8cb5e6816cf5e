"""What was sent twice is in the table once: the first on the tape, whatever batches the rows came in."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, gold, late, silver
from kappa_assets.declare.tables import Silver
from kappa_assets.errors import ReplayError
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.kinds.unique import unique_query
from kappa_assets.kinds.unique.unique_query import within_reach
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local import local_table
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.sliced_rows import rows_in_files
from kappa_assets.repair import plan_repair
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.conftest import WALKED

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from kappa_assets.place.port import StoredTable

orders = bronze("orders", source=Files("orders", header=True, arrived="column:came"))
WITHIN = 7


def logic(orders: DataFrame) -> DataFrame:
    """Orders by their shop, which may be unknown, and their number, which is a float; each as often as it says."""
    copies = F.explode(F.sequence(F.lit(1), F.col("copies").cast("int"))).alias("copy")
    number = F.col("number").try_cast("double").alias("number")
    times = F.col("told").try_cast("timestamp").alias("told")
    kept = orders.where(F.col("copies") > 0)
    return kept.select("shop", number, times, F.col("good").cast("int").alias("good"), copies, *LINEAGE)


def silver_of(name: str, **options: Any) -> Silver:
    def declared(orders: DataFrame) -> DataFrame:
        """Orders, each once."""
        return logic(orders)

    declared.__name__ = name
    rules = [expect("is_good", "good > 0", on_fail="quarantine")]
    return silver(expect=rules, late=late("told", after="1 day", policy="drop"), **options)(declared)


once = silver_of("once", unique=["shop", "number"])
near = silver_of("near", unique=["number", "shop"], unique_within="7 days")


@gold(keys=["shop"], combine={"orders": "count"})
def sold(near: DataFrame) -> DataFrame:
    """Orders of each shop."""
    return near.groupBy("shop").agg(F.count(F.lit(1)).alias("orders"))


SHOP = Pipeline.from_tables("shop", [orders, once, near, sold])
REACH = {once.name: None, near.name: WITHIN}


@dataclass(frozen=True)
class Order:
    """A row of the tape: `day` of arrival, `good` 1, or 0 and set aside, or None and late."""

    number: str
    day: int
    shop: str | None = "a"
    good: int | None = 1
    copies: int = 1

    @property
    def came(self) -> dt.datetime:
        return dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=self.day)

    def line(self) -> str:
        told = self.came if self.good is not None else self.came - dt.timedelta(days=3)
        at = f"{told:%Y-%m-%d %H:%M:%S},{self.came:%Y-%m-%d %H:%M:%S}"
        return f"{self.shop or ''},{self.number},{self.good or 0},{self.copies},{at}"


def key_of(order: Order) -> tuple[str, str] | None:
    """Return what orders that are one have in common; None of one that has a null in it."""
    number = {"-0.0": "0.0", "0": "0.0", "1": "1.0"}.get(order.number, order.number)
    return None if order.shop is None or number == "x" else (order.shop, number)


def fates(tape: Sequence[tuple[tuple[int, int], Order]], within: int | None) -> Counter[tuple[tuple[int, int], str]]:
    """Return what plain Python says becomes of each row, by its address: walked in the order of the tape."""
    kept: dict[tuple[str, str], list[int]] = {}
    found: Counter[tuple[tuple[int, int], str]] = Counter()
    for at, order in sorted(tape, key=lambda row: row[0]):
        key = key_of(order)
        for _ in range(order.copies):
            if order.good != 1:
                found[at, "late" if order.good is None else "is_good"] += 1
            elif key is not None and any(within is None or abs(d - order.day) <= within for d in kept.get(key, [])):
                found[at, "duplicate"] += 1
            else:
                found[at, "table"] += 1
                if key is not None:
                    kept.setdefault(key, []).append(order.day)
    return found


class Scene:
    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.lake, self.landing = Lake.at(folder / "lake"), folder / "landing"
        self.setting = Setting(spark, self.lake, self.landing)
        (self.landing / "orders").mkdir(parents=True)

    def land(self, *files: Sequence[Order]) -> None:
        number = len(list((self.landing / "orders").iterdir()))
        for n, rows in enumerate(files):
            text = "\n".join(["shop,number,good,copies,told,came", *(order.line() for order in rows)]) + "\n"
            (self.landing / "orders" / f"{number + n:03}.csv").write_text(text)

    def drain(self) -> None:
        Host(self.setting, SHOP).drain()

    def tape(self) -> list[tuple[tuple[int, int], Order]]:
        return [((row["_batch_id"], row["_row"]), _order(row)) for row in rows_of(self.lake.folder(orders.name))]

    def fates(self, table: Silver, generation: int = 1) -> Counter[tuple[tuple[int, int], str]]:
        """Return what became of each row, by its address."""
        kept = rows_of(self.lake.folder(table.name, generation))
        aside = [row for row in rows_of(self.lake.rejects(table.name)) if row["generation"] == generation]
        assert all(len(row["reasons"]) == 1 for row in aside)
        assert {(row["reasons"][0], row["on_fail"]) for row in aside} <= _FATES
        assert all(json.loads(row["row"])["_row"] == row["_row"] for row in aside)
        told = [(row, "table") for row in kept] + [(row, row["reasons"][0]) for row in aside]
        return Counter(((row["_batch_id"], row["_row"]), became) for row, became in told)

    def notes(self, table: Silver, generation: int = 1) -> list[CommitNote]:
        found = [commit.note for commit in commits(self.lake.folder(table.name, generation))]
        return [note for note in found if note is not None and note.batch >= 0]

    def judged(self, table: Silver, generation: int = 1) -> Counter[str]:
        sums: Counter[str] = Counter()
        for note in self.notes(table, generation):
            aside = [note.judged.get(name, 0) for name in ("dropped", "quarantined", "out_of_time", "duplicate")]
            assert note.judged["given"] == (note.rows or 0) + sum(aside)
            sums.update(note.judged)
        return +sums

    def by_shop(self) -> dict[str | None, int]:
        rows = rows_of(self.lake.link(sold.name).resolve())
        return {row["shop"]: row["orders"] for row in rows}


_FATES = {("duplicate", "drop"), ("is_good", "quarantine"), ("late", "drop")}


def _order(row: dict[str, Any]) -> Order:
    day = (row["_arrival_date"] - dt.date(2024, 5, 1)).days
    is_late = row["told"][:10] != row["came"][:10]
    return Order(row["number"], day, row["shop"], None if is_late else int(row["good"]), int(row["copies"]))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return DeltaTable(folder).to_pyarrow_table().to_pylist() if folder.exists() else []


def as_python_says(scene: Scene, generation: int = 1) -> None:
    tape = scene.tape()
    for table in (once, near):
        expected = fates(tape, REACH[table.name])
        assert scene.fates(table, generation) == expected
        sums = Counter[str](given=expected.total())
        for (_, became), rows in expected.items():
            names = {"duplicate": ["duplicate"], "is_good": ["quarantined"], "late": ["late", "out_of_time"]}
            sums.update(dict.fromkeys(names.get(became, ()), rows))
        assert scene.judged(table, generation) == +sums


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
