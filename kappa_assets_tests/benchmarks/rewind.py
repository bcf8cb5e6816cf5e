"""Going back: a replay against plain Spark, its growth with the tape, a late start, and what live files feel."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.host.assemble import register
from kappa_assets.kinds.query import Setting
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets.replay import discard_replay, plan_replay, run_replay
from kappa_assets.replay.build import build
from kappa_assets_tests.benchmarks.live import LINES, host_side, land_one, lines_by_time, visible_after, wait_for_lines
from kappa_assets_tests.benchmarks.path import PATH
from kappa_assets_tests.benchmarks.rounds import Result, median_ratio, percentile, say, side_by_side
from kappa_assets_tests.benchmarks.scene import (
    DAILY_REVENUE,
    INVOICES,
    SALES,
    beside,
    expected_columns,
    land_files,
    lay_tape,
    numbered,
    table_answer,
)
from kappa_assets_tests.retail_sales import pipeline

_COLUMNS = expected_columns()
PATH_MODULE = "kappa_assets_tests.benchmarks.path"


def replay_against_plain_spark(spark: SparkSession, root: Path, *, rows: int, rounds: int) -> Result:
    """A replay of Silver and Gold, built and compared with nothing / the same functions as two plain Spark batches."""
    say(f"replay against plain Spark: laying a tape of {rows:,} rows")
    lake = lay_tape(spark, root / "rewind", files=40, lines=rows // 40, per_batch=8)
    ours, plain = numbered(root, "rewound"), numbered(root, "batched")

    def replayed(_: int) -> tuple[int, str]:
        other = beside(lake, next(ours))
        replay(Setting(spark, other, root))
        return table_answer(spark, other.folder(DAILY_REVENUE), _COLUMNS[DAILY_REVENUE])

    def batched(_: int) -> tuple[int, str]:
        out = next(plain)
        plain_spark(spark, lake, out)
        return table_answer(spark, out / "gold", _COLUMNS[DAILY_REVENUE])

    a, b = side_by_side(replayed, batched, rounds=rounds)
    return Result(
        f"replay of {rows / 1e6:.1f} M rows into Silver and Gold / the same as plain Spark batches",
        f"{rows / statistics.median(a):,.0f} rows/s",
        f"{rows / statistics.median(b):,.0f} rows/s",
        median_ratio(b, a),
        ">= 0.9",
    )


def replay(setting: Setting) -> None:
    """Build the first generations by the steps a replay takes, without the comparison: there is nothing to compare."""
    state = register(Registry(setting.lake), PATH)
    assert state.release is not None
    made = [state.generations[t.name, state.release.tables[t.name]] for t in PATH.derived]
    build(setting, PATH, made, quiet, lambda: None)


def plain_spark(spark: SparkSession, lake: Lake, out: Path) -> None:
    """Write Silver and Gold as two batches into Delta."""
    sales, revenue = pipeline.derived_table(SALES), pipeline.derived_table(DAILY_REVENUE)
    assert isinstance(sales, Silver)
    assert isinstance(revenue, Gold)
    rows = sales(spark.read.format("delta").load(str(lake.folder(INVOICES.name))))
    for expectation in sales.expectations:
        rows = rows.where(f"coalesce({expectation.condition}, false)")
    rows.write.format("delta").partitionBy("_arrival_date").save(str(out / "silver"))
    revenue(spark.read.format("delta").load(str(out / "silver"))).write.format("delta").save(str(out / "gold"))


def growth(spark: SparkSession, root: Path, *, rows: int) -> list[Result]:
    """Seconds and driver memory of a replay over one, three and ten times the tape."""
    took, used = [], []
    for times in (1, 3, 10):
        say(f"growth: a tape of {times} x {rows:,} rows")
        lake = lay_tape(spark, root / f"grown-{times}", files=8 * times, lines=rows // 8, per_batch=8)
        setting = Setting(spark, lake, root)
        if times == 1:
            replay(Setting(spark, beside(lake, root / "grown-warm"), root))
        with _watched_heap(spark) as heap:
            began = time.perf_counter()
            replay(setting)
            took.append(time.perf_counter() - began)
        used.append(max(heap))
    limit = spark.sparkContext._jvm.Runtime.getRuntime().maxMemory() / 2**20  # type: ignore[union-attr]
    return [
        Result(
            f"replay of a tape of {rows:,} rows, of 3 times and of 10 times that: seconds",
            ", ".join(f"{t:.1f}" for t in took),
            "per row, 10 x / 1 x",
            took[2] / took[0] / 10,
            "<= 1",
        ),
        Result(
            "the same: driver heap in use after a collection, MiB",
            ", ".join(f"{u:.0f}" for u in used),
            f"of {limit:.0f}",
            max(used) / limit,
            "<= 1, flat",
        ),
    ]


@contextmanager
def _watched_heap(spark: SparkSession) -> Iterator[list[float]]:
    """Collect what the heap still holds after garbage collections, in MiB, every second."""
    beans = spark.sparkContext._jvm.java.lang.management.ManagementFactory  # type: ignore[union-attr]
    seen: list[float] = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            pools = beans.getMemoryPoolMXBeans()
            kept = [pool.getCollectionUsage() for pool in pools]
            seen.append(sum(u.getUsed() for u in kept if u is not None) / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def late_start(spark: SparkSession, root: Path, *, rows: int, rounds: int) -> Result:
    """Silver replayed from 90 % of the tape, its earlier rows kept / replayed from inception."""
    say(f"late start: laying a tape of {rows:,} rows in 20 slices")
    lake = lay_tape(spark, root / "late", files=40, lines=rows // 40, per_batch=2)
    setting = Setting(spark, lake, root)
    replay(setting)
    commits = Tape(lake, INVOICES.name).commits()
    tail = commits[len(commits) * 9 // 10].version
    took: dict[int, list[float]] = {0: [], tail: []}

    def from_version(version: int) -> tuple[int, str]:
        plan = plan_replay(lake, PATH, [SALES], from_version=version)
        done = run_replay(setting, PATH, plan, promote="never", progress=quiet)
        took[version].append(_seconds_built(lake, done.id, SALES))
        found = table_answer(spark, lake.folder(SALES, plan.steps[0].generation), _COLUMNS[SALES])
        discard_replay(lake, done.id)
        return found

    side_by_side(lambda _: from_version(tail), lambda _: from_version(0), rounds=rounds)
    a, b = took[tail][1:], took[0][1:]  # the first pair warmed up
    return Result(
        f"replay of Silver from 90 % of a tape of {rows / 1e6:.1f} M rows / from inception",
        f"{statistics.median(a):.1f} s",
        f"{statistics.median(b):.1f} s",
        median_ratio(a, b),
        "<= 0.2",
    )


def _seconds_built(lake: Lake, replay_id: str, table: TableName) -> float:
    comparison = Registry(lake).state().replays[replay_id].comparison
    assert comparison is not None
    return float(comparison["built"][str(table)]["seconds"])


def beside_live(spark: SparkSession, root: Path, *, rows: int, files: int) -> list[Result]:
    """What live files feel of a replay in another process, and how long after its last batch a promotion is live."""
    say(f"beside live: laying a tape of {rows:,} rows")
    lake = lay_tape(spark, root / "felt", files=40, lines=rows // 40, per_batch=8)
    landing = root / "felt" / "landing"
    side = host_side(spark, lake.root, landing)
    spare = root / "felt-spare"
    land_files(spare, files=40 + 4 * files, lines=LINES, dated=False)
    waiting = sorted((spare / "invoices").iterdir())
    stop = side.start()
    try:
        wait_for_lines(side.gold, 1)
        before = _settled_lines(side.gold)
        landed = [land_one(path, landing) for path in waiting[: 40 + files]]
        command = [sys.executable, "-m", "kappa_assets.cli", "replay", "--lake", str(lake.root)]
        command += ["--pipeline", PATH_MODULE, "--tables", str(SALES), "--json"]
        beside_it: list[float] = []
        with (root / "replay.log").open("w") as log:
            replaying = subprocess.Popen(command, stdout=log, stderr=log)
            for path in waiting[40 + files :]:
                if replaying.poll() is not None:
                    break
                beside_it.append(land_one(path, landing))
            assert replaying.wait(1200) == 0, (root / "replay.log").read_text()[-2000:]
        gold = lake.folder(DAILY_REVENUE, 2)
        wait_for_lines(gold, before + (len(landed) + len(beside_it)) * LINES)
    finally:
        stop()
    live = lake.folder(DAILY_REVENUE, 1)
    alone = visible_after(live, landed, before=before)[40:]
    # Files that landed while the promotion drained are seen in the promoted generation.
    seen = [lines_by_time(folder) for folder in (live, gold)]
    felt = [
        min(_first_seen(one, before + (len(landed) + n + 1) * LINES) for one in seen) - at
        for n, at in enumerate(beside_it)
    ]
    return [
        Result(
            f"landed -> visible in Gold, p95, while {rows / 1e6:.1f} M rows are replayed / without "
            f"({len(felt)} and {len(alone)} files)",
            f"{percentile(felt, 0.95):.2f} s",
            f"{percentile(alone, 0.95):.2f} s",
            percentile(felt, 0.95) / percentile(alone, 0.95),
            "<= 1.5",
        ),
        Result(
            "promotion: from the last drained batch to live",
            f"{_promotion_seconds((root / 'replay.log').read_text()):.2f} s",
            "",
            None,
            "<= 2 s",
        ),
    ]


def _first_seen(visible: list[tuple[float, int]], lines: int) -> float:
    return next((at for at, found in visible if found >= lines), float("inf"))


def _settled_lines(gold: Path) -> int:
    """Wait until Gold has stopped growing, and return the lines it counts."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < 10:
        lines = lines_by_time(gold)[-1][1]
        if lines != seen:
            seen, since = lines, time.monotonic()
        time.sleep(1)
    return seen


def _promotion_seconds(said: str) -> float:
    """Return how long the promotion took from its last drained batch, as it says itself."""
    found = re.search(r"is live, ([0-9.]+) s after the last batch", said)
    assert found is not None, said[-2000:]
    return float(found[1])


def quiet(_: str) -> None:
    """Say nothing."""
