"""Live: how fast landed files pass through the host, and how soon each is visible in Gold."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from kappa_assets.graph import Pipeline
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version
from kappa_assets_tests.benchmarks.by_hand import ByHand
from kappa_assets_tests.benchmarks.path import PATH
from kappa_assets_tests.benchmarks.rounds import Result, median_ratio, percentile, say, side_by_side
from kappa_assets_tests.benchmarks.scene import DAILY_REVENUE, expected_columns, land_files, numbered, table_answer
from kappa_assets_tests.benchmarks.sessions import session

_COLUMNS = expected_columns()[DAILY_REVENUE]
LINES = 1_000


@dataclass(frozen=True)
class Side:
    """One way to run the three hops: how to start and stop it, and where its Gold lies."""

    start: Callable[[], Callable[[], None]]
    gold: Path


def throughput(spark: SparkSession, root: Path, *, files: int, rounds: int) -> Result:
    """Files that land at once while the queries run, until all their lines are in Gold: through the host / by hand."""
    say(f"throughput: {files} files of {LINES} lines")
    spare = root / "spare"
    land_files(spare, files=files + 1, lines=LINES, dated=False)
    folders = numbered(root, "throughput")
    ours: list[float] = []
    hand: list[float] = []

    def through(took: list[float], make: Callable[[Path, Path], Side]) -> tuple[int, str]:
        here = next(folders)
        landing = here / "landing" / "invoices"
        landing.mkdir(parents=True)
        side = make(here / "lake", landing.parent)
        first, *others = sorted((spare / "invoices").iterdir())
        stop = side.start()
        try:
            os.link(first, landing / first.name)  # the queries have started, and seen data, before the clock does
            wait_for_lines(side.gold, LINES)
            began = time.perf_counter()
            for path in others:
                os.link(path, landing / path.name)
            wait_for_lines(side.gold, (files + 1) * LINES)
            took.append(time.perf_counter() - began)
        finally:
            stop()
        return table_answer(spark, side.gold, _COLUMNS)

    side_by_side(
        lambda _: through(ours, lambda lake, landing: host_side(spark, lake, landing)),
        lambda _: through(hand, lambda lake, landing: _by_hand_side(spark, lake, landing, interval="0 seconds")),
        rounds=rounds,
    )
    a, b = ours[1:], hand[1:]  # the first pair warmed up
    say(
        "  of which after the first file: "
        + ", ".join(f"{x:.1f} s against {y:.1f} s" for x, y in zip(a, b, strict=True))
    )
    rows = files * LINES
    return Result(
        "live throughput through the host / the same queries by hand (foreachBatch, Delta's sink, MERGE)",
        f"{rows / statistics.median(a):,.0f} rows/s",
        f"{rows / statistics.median(b):,.0f} rows/s",
        median_ratio(b, a),
        ">= 0.98",
    )


def latency(root: Path, *, files: int, warm_up: int) -> list[Result]:
    """A file landed (1 000 lines, one a second) until its lines are visible in Gold: the host / Spark's defaults."""
    say(f"latency: {files} files, one a second, after {warm_up} to warm up")
    with session(live=True) as spark:
        side = host_side(spark, root / "latency-ours", root / "landing-ours")
        ours = _latencies(side, root / "landing-ours", files, warm_up)
    with session(defaults=True) as spark:
        side = _by_hand_side(spark, root / "latency-hand", root / "landing-hand", interval=None)
        hand = _latencies(side, root / "landing-hand", files, warm_up)
    return [
        Result(
            f"landed -> visible in Gold, {name} / by hand with Spark's and Delta's defaults",
            f"{percentile(ours, share):.2f} s",
            f"{percentile(hand, share):.2f} s",
            percentile(hand, share) / percentile(ours, share),
            target,
        )
        for name, share, target in (("p50", 0.5, ">= 3, p50 <= 2 s"), ("p95", 0.95, "reported"))
    ]


def _latencies(side: Side, landing: Path, files: int, warm_up: int) -> list[float]:
    """Return the seconds from each file's landing to the Gold commit with which its lines are in."""
    spare = landing.with_name(f"{landing.name}-spare")
    land_files(spare, files=files + warm_up, lines=LINES, dated=False)
    (landing / "invoices").mkdir(parents=True, exist_ok=True)
    stop = side.start()
    landed: list[float] = []
    try:
        landed.extend(land_one(path, landing) for path in sorted((spare / "invoices").iterdir()))
        wait_for_lines(side.gold, len(landed) * LINES)
    finally:
        stop()
    return visible_after(side.gold, landed)[warm_up:]


def land_one(path: Path, landing: Path) -> float:
    """Land a file, let the rest of a second pass, and return when it landed."""
    path.rename(landing / "invoices" / path.name)
    landed = time.time()
    time.sleep(max(0.0, 1.0 - (time.time() - landed)))
    return landed


def visible_after(gold: Path, landed: list[float], *, before: int = 0, lines: int = LINES) -> list[float]:
    """Return how long after each landing the file's `lines` were counted in Gold, which held `before` already."""
    visible = lines_by_time(gold)
    # Files are taken in the order they land, so file n is in once Gold counts n + 1 files' lines.
    return [
        next(at for at, held in visible if held >= before + (n + 1) * lines) - landed[n] for n in range(len(landed))
    ]


def lines_by_time(gold: Path) -> list[tuple[float, int]]:
    """Return, for each Gold commit, when its log file was written and how many lines the table then counted."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    found = []
    for version in range((latest_version(gold) or 0) + 1):
        table: pa.Table = DeltaTable(gold, version=version).to_pyarrow_table(columns=["lines"])
        log = gold / "_delta_log" / f"{version:020d}.json"
        found.append((log.stat().st_mtime, pc.sum(table["lines"]).as_py() or 0))
    return found


def wait_for_lines(gold: Path, lines: int, patience: float = 900.0) -> None:
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    deadline, seen = time.monotonic() + patience, -1
    while time.monotonic() < deadline:
        version = latest_version(gold)
        if version is not None and version != seen:
            seen = version
            if (pc.sum(DeltaTable(gold).to_pyarrow_table(columns=["lines"])["lines"]).as_py() or 0) >= lines:
                return
        time.sleep(0.02)
    raise AssertionError(f"Gold does not count {lines} lines after {patience:.0f} s")


def host_side(spark: SparkSession, root: Path, landing: Path) -> Side:
    """The host with all tables of the path: Bronze, Silver and the combined Gold."""
    lake = Lake.at(root)
    (landing / "invoices").mkdir(parents=True, exist_ok=True)
    return Side(lambda: streaming(Setting(spark, lake, landing), PATH), lake.folder(DAILY_REVENUE))


def streaming(setting: Setting, pipeline: Pipeline) -> Callable[[], None]:
    """Start a host that streams in a thread, and return what stops it."""
    stopped = threading.Event()
    host = Host(setting, pipeline, wanted=lambda: "measured" if stopped.is_set() else None)
    thread = threading.Thread(target=host.stream)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join()

    return stop


def _by_hand_side(spark: SparkSession, root: Path, landing: Path, *, interval: str | None) -> Side:
    (landing / "invoices").mkdir(parents=True, exist_ok=True)
    side = ByHand(spark, root, landing, interval=interval)

    def start() -> Callable[[], None]:
        queries = side.start()

        def stop() -> None:
            for query in queries:
                query.stop()

        return stop

    return Side(start, side.folder("gold"))
