"""A host that walks a scene and dies where the scene says so.

    python -m kappa_assets_tests.whole.crashing_host <folder> <scene.json>

`<folder>` holds `lake`, `landing/invoices`, and `staged`, whose files the scene lets land. Exit codes: 0 walked to its
end, 3 a crash that was armed never came, otherwise it died.
"""

from __future__ import annotations

import datetime as dt
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from kappa_assets import Layer, TableName
from kappa_assets.faults import Point, inject
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log import delta_log
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.repair import plan_repair, run_repair
from kappa_assets.replay import plan_replay, run_replay
from kappa_assets_tests.retail_sales import pipeline
from kappa_assets_tests.whole.archived_retail import ARCHIVED
from kappa_assets_tests.whole.extended_retail import EXTENDED
from kappa_assets_tests.whole.scenes import (
    Archiving,
    Crash,
    Drain,
    Extended,
    Land,
    Repair,
    Replay,
    Sleep,
    Step,
    Stream,
    load,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SALES = TableName(Layer.SILVER, "sales")
SMALL = {
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    # A JVM that lives for seconds has no use for the optimising compiler and a parallel collector.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
ONE_FILE = Pace(landed_files=1, table_files=1)
"""A micro-batch takes one file, so that a few files make several batches of every table."""
_PATIENCE = 600.0


@dataclass
class Killer:
    """Kills at the armed crash; what it is told by every point the work reaches."""

    spark: SparkSession
    armed: Crash | None = None
    _seen: int = field(default=0)

    def arm(self, crash: Crash) -> None:
        self.armed, self._seen = crash, 0

    def __call__(self, point: Point, what: str) -> None:
        crash = self.armed
        if crash is None or (point, what) != (crash.point, crash.what):
            return
        self._seen += 1
        if self._seen == crash.nth:
            self._kill(crash)

    def _kill(self, crash: Crash) -> None:
        print(f"killed {crash}", flush=True)
        if crash.mode in ("jvm", "both"):
            os.kill(jvm_pid(self.spark), signal.SIGKILL)
        if crash.mode in ("driver", "both"):
            os.kill(os.getpid(), signal.SIGKILL)


def jvm_pid(spark: SparkSession) -> int:
    """Return the process of the session's JVM."""
    return int(spark.sparkContext._gateway.proc.pid)  # type: ignore[union-attr]  # a local session has a gateway


def walk(spark: SparkSession, folder: Path, steps: Sequence[Step]) -> None:
    """Do what the steps say. The session stays usable unless a crash says otherwise."""
    setting = Setting(spark, Lake.at(folder / "lake"), folder / "landing", ONE_FILE)
    killer = Killer(spark)
    inject(killer)
    used = pipeline
    for step in steps:
        match step:
            case Archiving() | Extended():
                used = ARCHIVED if isinstance(step, Archiving) else EXTENDED
            case Land(files):
                land(folder, files)
            case Crash():
                killer.arm(step)
            case Sleep():
                inject(partial(_sleep, step))
            case Drain():
                Host(setting, used).drain()
            case Stream(tape_batches):
                Host(setting, used, wanted=_until(setting.lake, tape_batches)).stream()
            case Replay():
                run_replay(setting, used, plan_replay(setting.lake, used, [SALES]), progress=lambda _: None)
            case Repair():
                DeltaTable(setting.lake.folder(SALES)).delete("quantity > 3")
                repair_all(setting)


def _sleep(asleep: Sleep, point: Point, what: str) -> None:
    if (point, what) == (asleep.point, asleep.what):
        os.kill(os.getpid(), signal.SIGSTOP)


def repair_all(setting: Setting) -> None:
    """Do every slice of Silver over."""
    tape = Tape(setting.lake, TableName(Layer.BRONZE, "invoices"))
    days = sorted({dt.date.fromisoformat(day) for commit in tape.commits() for day in commit.slices})
    list(run_repair(setting, pipeline, plan_repair(setting.lake, pipeline, SALES, days), progress=lambda _: None))


def land(folder: Path, files: Sequence[str]) -> None:
    """Move files from `staged` into the landing folder, each by one rename."""
    for name in files:
        (folder / "staged" / name).rename(folder / "landing" / (name if "/" in name else f"invoices/{name}"))


def _until(lake: Lake, tape_batches: int) -> Until:
    return Until(lake, tape_batches, time.monotonic() + _PATIENCE)


@dataclass(frozen=True)
class Until:
    """The switch of a stream: off once Silver and the first Gold reflect so many batches, or patience ends."""

    lake: Lake
    tape_batches: int
    deadline: float

    def __call__(self) -> str | None:
        if time.monotonic() > self.deadline:
            raise TimeoutError(f"the stream did not reach batch {self.tape_batches} within {_PATIENCE} s")
        gold = delta_log.last_note(self.lake.folder(TableName(Layer.GOLD, "daily_revenue")))
        position = gold[1].position.get("bronze.invoices") if gold else None
        return "reached" if position and position.batch + 1 >= self.tape_batches else None


def main(arguments: Sequence[str]) -> int:
    faulthandler.dump_traceback_later(_PATIENCE, exit=True)
    folder, scene = map(Path, arguments)
    steps = load(scene)
    spark = build_session("crashing_host", cores=2, memory="512m", extra=SMALL)
    walk(spark, folder, steps)
    return 3 if any(isinstance(step, Crash) for step in steps) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
