"""A light hand: the CPU of a host of five tables that has nothing to do, and of small files that land now and then."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
from pyspark.sql import SparkSession

from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.benchmarks.live import streaming, visible_after, wait_for_lines
from kappa_assets_tests.benchmarks.rounds import Result, percentile, say
from kappa_assets_tests.benchmarks.scene import DAILY_REVENUE, land_files
from kappa_assets_tests.retail_sales import pipeline

LINES = 30
"""Rows a file: what costs is the file, not its rows."""
_WARM_UP = 40
_ALONE = 5
_QUIET = 60.0
"""Files that come alone, and the seconds between two of them."""


def light_hand(spark: SparkSession, root: Path, *, seconds: int, files: int) -> list[Result]:
    """CPU of driver and JVM, all five tables of the example: idle, a file every five seconds, a file a second.

    Before these, the latency of a file after a minute of nothing, in which all queries have gone to sleep.
    """
    landing, spare = root / "light-landing", root / "light-spare"
    land_files(spare, files=_WARM_UP + _ALONE + 2 * files, lines=LINES, dated=False)
    waiting = sorted((spare / "invoices").iterdir())
    (landing / "invoices").mkdir(parents=True)
    lake = Lake.at(root / "light-lake")
    gold = lake.folder(DAILY_REVENUE)
    found: list[Result] = []
    stop = streaming(Setting(spark, lake, landing), pipeline)
    try:
        say(f"light hand: {_WARM_UP} files to warm up, then {seconds} s of nothing")
        _deliver(waiting[:_WARM_UP], landing, every=1.0)
        wait_for_lines(gold, _WARM_UP * LINES)
        time.sleep(75)  # the Gold that is recomputed once a minute has done so, and what slept is asleep
        before = cpu_seconds()
        time.sleep(seconds)
        idle = (cpu_seconds() - before) / seconds
        found.append(Result("CPU of an idle host of five tables", f"{idle:.3f} cores", "", None, "<= 0.03"))
        done = _WARM_UP + _ALONE
        landed = _deliver(waiting[_WARM_UP:done], landing, every=_QUIET)
        waits = visible_after(gold, landed, before=_WARM_UP * LINES, lines=LINES)
        what = f"landed -> Gold after {_QUIET:.0f} s of nothing, p50 of {_ALONE} files (slowest {max(waits):.2f} s)"
        found.append(Result(what, f"{percentile(waits, 0.5):.2f} s", "", None, "reported"))
        for every, target in ((5.0, "<= 1.9 s"), (1.0, "<= 0.95 s")):
            say(f"light hand: {files} files of {LINES} lines, one every {every:.0f} s")
            before = cpu_seconds()
            landed = _deliver(waiting[done : done + files], landing, every=every)
            wait_for_lines(gold, (done + files) * LINES)
            spent = (cpu_seconds() - before) / files
            waits = visible_after(gold, landed, before=done * LINES, lines=LINES)
            done += files
            found.append(
                Result(
                    f"CPU of a file of {LINES} rows through five tables, one every {every:.0f} s "
                    f"(landed -> Gold p50 {percentile(waits, 0.5):.2f} s, p95 {percentile(waits, 0.95):.2f} s)",
                    f"{spent:.2f} s",
                    "",
                    None,
                    target,
                )
            )
            say(f"  {found[-1].what}: {found[-1].ours}")
    finally:
        stop()
    return found


def cpu_seconds() -> float:
    """CPU seconds so far of this process and of all that it started: the JVM and its Python workers."""
    me = psutil.Process(os.getpid())
    spent = 0.0
    for process in (me, *me.children(recursive=True)):
        times = process.cpu_times()
        spent += times.user + times.system
    return spent


def _deliver(paths: list[Path], landing: Path, *, every: float) -> list[float]:
    """Land the files, one every so often, and return when each landed."""
    landed = []
    for path in paths:
        path.rename(landing / "invoices" / path.name)
        landed.append(time.time())
        time.sleep(max(0.0, every - (time.time() - landed[-1])))
    return landed
