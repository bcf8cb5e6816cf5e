"""Two Silvers of unique rows on one tape, and what plain Python says becomes of each row."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, gold, late, silver
from kappa_assets.declare.tables import Silver
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


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
