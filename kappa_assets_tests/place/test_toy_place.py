"""A place that the house does not know holds a lake all the same: drained, killed, drained, replayed, promoted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from kappa_assets.health import HealthChecks
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets.status import table_statuses
from kappa_assets_tests.place.toy_place import CALLS, WatchedLake, pipeline, sales, totals

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_stranger_s_place_is_drained_killed_drained_replayed_and_promoted(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake, landing = WatchedLake.at(tmp_path / "lake"), tmp_path / "landing"
    (landing / "orders").mkdir(parents=True)
    setting = Setting(spark, lake, landing, Pace(landed_files=1, table_files=1))
    landed: list[tuple[str, int]] = []

    def land(*rows: tuple[str, int]) -> None:
        lines = "\n".join(f"{shop},{units}" for shop, units in rows)
        (landing / "orders" / f"{len(landed)}.csv").write_text(f"shop,units\n{lines}\n")
        landed.extend(rows)

    def assert_right(times: int) -> None:
        by_shop: Counter[str] = Counter()
        for shop, units in landed:
            if units > 0:
                by_shop[shop] += units * times
        rows = DeltaTable(lake.link(totals.name).resolve()).to_pyarrow_table().to_pylist()
        assert {row["shop"]: row["units"] for row in rows} == by_shop
        found = HealthChecks(lake, pipeline(corrected=times > 1)).run()
        told = [(str(o.table), o.check, o.summary) for o in found if not o.passed and o.check != "stream_healthy"]
        assert told == [], "no host runs, so the streams are not healthy; all else is"

    land(("a", 1), ("b", -1))
    land(("b", 2))
    command = [sys.executable, "-m", "kappa_assets_tests.place.toy_place", str(tmp_path)]
    died = subprocess.run(command, check=False, capture_output=True, env=os.environ | {"PYTHONPATH": str(PROJECT)})
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-3000:]
    Host(setting, pipeline()).drain()
    land(("a", 3), ("c", -7))
    Host(setting, pipeline()).drain()
    assert_right(1)

    corrected = pipeline(corrected=True)
    result = run_replay(setting, corrected, plan_replay(lake, corrected, [sales.name]), progress=lambda _: None)
    assert result.state == "promoted", result.comparison.faults
    land(("c", 4))
    Host(setting, corrected).drain()
    assert_right(2)
    assert {s.table: s.lag_batches for s in table_statuses(lake, corrected)} == dict.fromkeys(corrected.tables, 0)
    asked = {"LocalStoredTable.changes", "LocalStoredTable.actions", "LocalTable.apply", "LocalCheckpointFiles.entry"}
    assert asked <= set(CALLS), "what went past the clerk went past the port"
