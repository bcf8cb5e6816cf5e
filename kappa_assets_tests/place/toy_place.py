"""A place of a stranger's: a local lake behind a clerk who writes down each call. Also a process that dies in it.

python -m kappa_assets_tests.place.toy_place <folder with lake and landing>
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, expect, gold, silver
from kappa_assets.faults import Point, inject
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from kappa_assets.names import TableName


# --- the place: fifty lines --------------------------------------------------------------------------------------
class Clerk:
    """Stands before a table, an open table or a checkpoint: passes on what is asked, and writes it down."""

    def __init__(self, before: Any, calls: dict[str, int]) -> None:
        self._before, self._calls = before, calls

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clerk) and bool(self._before == other._before)

    def __hash__(self) -> int:
        return hash(self._before)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        asked = getattr(self._before, name)
        if not callable(asked):
            return asked

        def answer(*args: Any, **kwargs: Any) -> Any:
            told = f"{type(self._before).__name__}.{name}"
            self._calls[told] = self._calls.get(told, 0) + 1
            given = asked(*args, **kwargs)
            return Clerk(given, self._calls) if name == "open" else given

        return answer


CALLS: dict[str, int] = {}


@dataclass(frozen=True)
class WatchedLake(Lake):
    """Hands out what the local lake does, each behind a clerk."""

    def table(self, name: TableName, generation: int = 1) -> Any:
        return Clerk(super().table(name, generation), CALLS)

    def set_aside(self, table: TableName) -> Any:
        return Clerk(super().set_aside(table), CALLS)

    def index_of(self, bronze: TableName) -> Any:
        return Clerk(super().index_of(bronze), CALLS)

    def checkpoint_of(self, table: TableName, generation: int = 1) -> Any:
        return Clerk(super().checkpoint_of(table, generation), CALLS)


# --- a pipeline that lives in it ---------------------------------------------------------------------------------
orders = bronze("orders", source=Files("orders", format="csv", header=True))


@silver(expect=[expect("sold", "units > 0")])
def sales(orders: DataFrame) -> DataFrame:
    """What was sold; what was given back is set aside."""
    return orders.select("shop", F.col("units").cast("bigint").alias("units"), *LINEAGE)


@gold(keys=["shop"], combine={"units": "sum"})
def totals(sales: DataFrame) -> DataFrame:
    """Units by shop."""
    return sales.groupBy("shop").agg(F.sum("units").alias("units"))


@silver(expect=[expect("sold", "units > 0")])
def doubled(orders: DataFrame) -> DataFrame:
    """The other logic that a replay brings."""
    return orders.select("shop", (F.col("units").cast("bigint") * 2).alias("units"), *LINEAGE)


def pipeline(*, corrected: bool = False) -> Pipeline:
    made = replace(doubled, name=sales.name) if corrected else sales
    return Pipeline.from_tables("toy", [orders, made, totals], start=dt.date(2026, 1, 1))


def dies(point: Point, what: str) -> None:
    if (point, what) == ("after_rejects", "silver.sales"):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    inject(dies)
    session = build_session("toy", cores=1, memory="512m")
    Host(Setting(session, WatchedLake.at(folder / "lake"), folder / "landing", Pace(1)), pipeline()).drain()
