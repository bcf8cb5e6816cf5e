"""A lake whose orders give a row for each of their parts, some of which wait in quarantine for a later logic."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, gold, silver
from kappa_assets.declare.tables import OnChange
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.lake import Lake
from kappa_assets.repair import ReleasedRows, release_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Address = tuple[int, int]
Order = list[int | None]
"""The numbers of its parts; None: one that is no number."""
DROPPED = 99

orders = bronze("orders", source=Files("orders", format="csv", header=True))


@gold(keys=["n"], combine={"parts": "count"})
def by_number(sold: DataFrame) -> DataFrame:
    """How many parts have each number."""
    return sold.groupBy("n").agg(F.count(F.lit(1)).alias("parts"))


def tables(least: int, times: int = 1, on_change: OnChange = "forward", unique: Sequence[str] = ()) -> list[Any]:
    """Return the shop's tables: parts below `least` wait, and each number counts so many `times`."""

    def sold(orders: DataFrame) -> DataFrame:
        """A row for each part of an order."""
        parts = orders.select(F.explode(F.split("parts", ";")).alias("part"), *LINEAGE)
        return parts.select((F.col("part").try_cast("int") * F.lit(times)).alias("n"), *LINEAGE)

    rules = [
        expect("known", f"n IS NULL OR n <> {DROPPED}", on_fail="drop"),
        expect("enough", f"n >= {least}", on_fail="quarantine"),
    ]
    return [orders, silver(expect=rules, on_change=on_change, unique=unique)(sold), by_number]


def shop_of(least: int, times: int = 1, on_change: OnChange = "forward", unique: Sequence[str] = ()) -> Pipeline:
    return Pipeline.from_tables("shop", tables(least, times, on_change, unique))


PIPELINE = shop_of(-5)
SOLD = PIPELINE.derived[0].name


@dataclass
class Released:
    """What is where: parts by the address of their order and their number."""

    table: Counter[tuple[Address, int | None]]
    held: Counter[tuple[Address, int | None]]
    dropped: Counter[tuple[Address, int | None]]

    def all(self) -> Counter[Address]:
        return Counter(at for at, _ in (self.table + self.held + self.dropped).elements())


class Scene:
    """Each file that lands is a batch, and its rows arrive on a day of their own."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.folder, self.landing = folder, folder / "landing"
        (self.landing / "orders").mkdir(parents=True, exist_ok=True)
        self.setting = Setting(spark, Lake.at(folder / "lake"), self.landing, Pace(landed_files=1, table_files=1))
        self.said: list[str] = []

    def copied(self, to: Path) -> Scene:
        """Return a scene of its own whose lake is like this one's."""
        shutil.copytree(self.folder / "lake", to / "lake", symlinks=True)
        return Scene(self.setting.spark, to)

    @property
    def lake(self) -> Lake:
        return self.setting.lake

    def land(self, *files: Sequence[Order]) -> None:
        for batch in files:
            number = len(list((self.landing / "orders").iterdir()))
            lines = [";".join("?" if n is None else str(n) for n in order) for order in batch]
            path = self.landing / "orders" / f"2026-01-{5 + number:02}-{number:03}.csv"
            path.write_text("\n".join(["parts", *lines]) + "\n")

    def drain(self, pipeline: Pipeline) -> None:
        Host(self.setting, pipeline).drain()

    def release(self, pipeline: Pipeline, where: str = "true") -> ReleasedRows:
        return release_rows(self.setting, pipeline, SOLD, where, progress=self.said.append)

    def tape(self) -> dict[Address, Order]:
        rows = rows_of(self.lake.folder(orders.name))
        return {
            (r["_batch_id"], r["_row"]): [None if n == "?" else int(n) for n in r["parts"].split(";")] for r in rows
        }

    def now(self, generation: int = 1) -> Released:
        kept = rows_of(self.lake.folder(SOLD, generation))
        aside = [r for r in rows_of(self.lake.rejects(SOLD)) if r["generation"] == generation]
        assert {r["on_fail"] for r in aside} <= {"drop", "quarantine"}, "no mark is left"
        return Released(
            Counter(((r["_batch_id"], r["_row"]), r["n"]) for r in kept),
            Counter(_part(r) for r in aside if r["on_fail"] == "quarantine"),
            Counter(_part(r) for r in aside if r["on_fail"] == "drop"),
        )

    def counted(self) -> Counter[int | None]:
        found = rows_of(self.lake.link(by_number.name).resolve())
        return Counter({r["n"]: r["parts"] for r in found})

    def notes(self) -> list[CommitNote]:
        found = [c.note for c in commits(self.lake.folder(SOLD))]
        return [note for note in found if note is not None]


def _part(row: dict[str, Any]) -> tuple[Address, int | None]:
    return (row["_batch_id"], row["_row"]), json.loads(row["row"]).get("n")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return DeltaTable(folder).to_pyarrow_table().to_pylist() if folder.exists() else []


def expected(tape: dict[Address, Order], least: int) -> Released:
    """Return where plain Python puts each part of what is on the tape."""
    found = Released(Counter(), Counter(), Counter())
    for at, order in tape.items():
        for n in order:
            fate = found.dropped if n == DROPPED else found.table if n is not None and n >= least else found.held
            fate[at, n] += 1
    return found
