"""A tape of an archive of files and a topic. Also a process that drains it, and dies in the third batch of the tape.

python -m kappa_assets_tests.sources.history_shop <folder with lake and landing> <point>
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets import LINEAGE, Files, Kafka, Pipeline, bronze, gold, silver
from kappa_assets.faults import Point, inject
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from kappa_assets.declare.source import DeclaredSource

ARCHIVE = Files("archive", format="csv", header=True, arrived="name")
LINES = Files("lines", format="json")
TOPIC = Kafka("orders", records_per_batch=20)


@silver
def sales(orders: DataFrame) -> DataFrame:
    """Each order, from the columns of the archive's files or the documents of the topic."""
    return orders.select(
        field_of(orders, "customer").alias("customer"),
        field_of(orders, "cents").cast("bigint").alias("cents"),
        *LINEAGE,
    )


@gold(keys=["customer"], combine={"cents": "sum"})
def revenue(sales: DataFrame) -> DataFrame:
    """What each customer paid."""
    from pyspark.sql import functions as F

    return sales.groupBy("customer").agg(F.sum("cents").alias("cents"))


def field_of(orders: DataFrame, name: str) -> Column:
    """Return a field of an order, wherever the row has it."""
    from pyspark.sql import functions as F

    told = F.from_json(F.col("value").cast("string"), "customer string, cents string") if has_value(orders) else None
    places = [*([F.col(name)] if name in orders.columns else []), *([told[name]] if told is not None else [])]
    return F.coalesce(*places)


def has_value(orders: DataFrame) -> bool:
    """Return whether the tape has raw lines, or records."""
    return "value" in orders.columns


def pipeline_of(*sources: DeclaredSource, version: str | None = None) -> Pipeline:
    """`version`: of the logic of Silver, whatever it is."""
    return Pipeline.from_tables(
        "history", [bronze("orders", sources=sources), replace(sales, version=version), revenue]
    )


if __name__ == "__main__":
    folder, at = Path(sys.argv[1]), sys.argv[2]
    met = list[Point]()

    def dies(point: Point, what: str) -> None:
        met.extend([point] if (point, what) == (at, "bronze.orders") else [])
        if len(met) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    inject(dies)
    pipeline = pipeline_of(ARCHIVE, TOPIC)
    session = build_session("history", cores=1, memory="512m", packages=pipeline.packages)
    Host(Setting(session, Lake.at(folder / "lake"), folder / "landing", Pace(landed_files=1)), pipeline).drain()
