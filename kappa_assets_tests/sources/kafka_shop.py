"""A pipeline whose tape is a topic. Also a process that drains it, and dies at a point of a batch; or streams it.

python -m kappa_assets_tests.sources.kafka_shop <folder with lake and landing> <point, or stream> <which batch>
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets import LINEAGE, Kafka, Pipeline, bronze, gold, silver
from kappa_assets.faults import Point, inject
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

orders = bronze("orders", source=Kafka("orders", records_per_batch=40))


@silver
def sales(orders: DataFrame) -> DataFrame:
    """Each order, read from its JSON."""
    from pyspark.sql import functions as F

    told = F.from_json(F.col("value").cast("string"), "customer STRING, cents BIGINT")
    return orders.select(told["customer"].alias("customer"), told["cents"].alias("cents"), *LINEAGE)


@gold(keys=["customer"], combine={"cents": "sum"})
def revenue(sales: DataFrame) -> DataFrame:
    """What each customer paid."""
    from pyspark.sql import functions as F

    return sales.groupBy("customer").agg(F.sum("cents").alias("cents"))


PIPELINE = Pipeline.from_tables("kafka_shop", [orders, sales, revenue])

if __name__ == "__main__":
    folder, at, batch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    met = list[Point]()

    def dies(point: Point, what: str) -> None:
        met.extend([point] if point == at and what in (str(orders.name), "registry") else [])
        if len(met) == batch:
            os.kill(os.getpid(), signal.SIGKILL)

    inject(dies)
    session = build_session("kafka_shop", cores=1, memory="512m", packages=PIPELINE.packages)
    host = Host(Setting(session, Lake.at(folder / "lake"), folder / "landing"), PIPELINE)
    host.stream() if at == "stream" else host.drain()
