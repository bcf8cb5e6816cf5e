"""A tape of two landing folders, an archive and what comes now. Also a host that reads both, and dies at it.

python -m kappa_assets_tests.sources.two_folders <folder with lake and landing> <point> <how manyth time>
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets import Files, Pipeline, bronze, silver
from kappa_assets.columns import LINEAGE
from kappa_assets.faults import Point, inject
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LIVE = Files("live", format="csv", header=True)
ARCHIVE = Files("archive", format="csv", header=True)


@silver
def paid(orders: DataFrame) -> DataFrame:
    """The orders as they came."""
    return orders.select("customer", *LINEAGE)


def pipeline_of(*sources: Files) -> Pipeline:
    return Pipeline.from_tables("shop", [bronze("orders", sources=sources), paid])


if __name__ == "__main__":
    folder, at, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    met = list[Point]()

    def dies(point: Point, what: str) -> None:
        met.extend([point] if (point, what) == (at, "bronze.orders") else [])
        if len(met) == times:
            os.kill(os.getpid(), signal.SIGKILL)

    inject(dies)
    session = build_session("shop", cores=1, memory="512m")
    setting = Setting(session, Lake.at(folder / "lake"), folder / "landing", Pace(landed_files=1))
    Host(setting, pipeline_of(LIVE, ARCHIVE)).stream()
