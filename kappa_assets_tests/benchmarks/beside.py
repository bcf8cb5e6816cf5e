"""A replay of the whole example in a process of its own, alone and beside a stream of small files."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from pyspark.sql import SparkSession

from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets_tests.benchmarks import retail_without_feed
from kappa_assets_tests.benchmarks.live import streaming, wait_for_lines
from kappa_assets_tests.benchmarks.rounds import Result, median_ratio, say
from kappa_assets_tests.benchmarks.scene import DAILY_REVENUE, SALES, land_files
from kappa_assets_tests.retail_sales import pipeline

LINES = 30
"""Rows of a file that lands meanwhile."""
_FILES = 14
_WARM_UP = 20
_MOST_LANDED = 2_000


def replay_beside_a_stream(spark: SparkSession, root: Path, *, rows: int, rounds: int) -> list[Result]:
    """How long a replay of all tables takes while a file lands every five seconds / on the same lake without a host.

    Each replay is one more generation, compared without a difference and promoted.
    """
    landing, spare = root / "beside-landing", root / "beside-spare"
    land_files(landing, files=_FILES, lines=rows // _FILES)
    land_files(spare, files=_MOST_LANDED, lines=LINES, dated=False)
    setting = Setting(spark, Lake.at(root / "beside-lake"), landing)
    Host(setting, pipeline).drain()
    alone, beside = [], []
    landed = 0
    for number in range(rounds):
        alone.append(_replay(setting.lake, root))
        files = sorted((spare / "invoices").iterdir())
        stop = streaming(setting, pipeline)
        try:
            landed += _land(files[:_WARM_UP], landing, every=1.0)
            wait_for_lines(setting.lake.folder(DAILY_REVENUE, _live(setting.lake)), _lines(rows, landed))
            ended = threading.Event()
            count: list[int] = []
            feed = threading.Thread(
                target=lambda rest, until, counted: counted.append(_land(rest, landing, every=5.0, until=until)),
                args=(files[_WARM_UP:], ended, count),
            )
            feed.start()
            beside.append(_replay(setting.lake, root))
            ended.set()
            feed.join()
            landed += count[0]
            wait_for_lines(setting.lake.folder(DAILY_REVENUE, _live(setting.lake)), _lines(rows, landed))
        finally:
            stop()
        say(f"  round {number + 1}: {beside[-1]:.1f} s beside {count[0]} files, {alone[-1]:.1f} s alone")
    what = f"a replay of {rows:,} rows through five tables, beside a file of {LINES} rows every 5 s / alone"
    ours, other = f"{min(beside):.1f} s", f"{min(alone):.1f} s"
    return [Result(what, ours, other, median_ratio(beside, alone), "<= 2")]


def _replay(lake: Lake, root: Path) -> float:
    """Replay Silver and all below it, promote it, and return the seconds."""
    command = [sys.executable, "-m", "kappa_assets.cli", "replay", "--lake", str(lake.root), "--json"]
    command += ["--pipeline", retail_without_feed.__name__, "--tables", str(SALES)]
    began = time.perf_counter()
    with (root / "beside-replay.log").open("w") as log:
        ended = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    if ended != 0:
        raise AssertionError((root / "beside-replay.log").read_text()[-2000:])
    return time.perf_counter() - began


def _live(lake: Lake) -> int:
    """Return the live generation of the Gold: each replay here is promoted."""
    live = Registry(lake).state().live(DAILY_REVENUE)
    return 1 if live is None else live.number


def _lines(rows: int, landed: int) -> int:
    return rows // _FILES * _FILES + landed * LINES


def _land(paths: list[Path], landing: Path, *, every: float, until: threading.Event | None = None) -> int:
    """Land a file every so often, and return how many: all of them, or until it is enough."""
    for number, path in enumerate(paths):
        path.rename(landing / "invoices" / path.name)
        if until is None:
            time.sleep(every)
        elif until.wait(every):
            return number + 1
    return len(paths)
