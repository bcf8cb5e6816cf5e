"""What steering costs: a lineage tick with nothing new, and the CPU of daemon and sensors beside the streams'."""

from __future__ import annotations

import datetime as dt
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import types
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
from pyspark.sql import DataFrame

from kappa_assets import Files, Pipeline, bronze, gold, silver
from kappa_assets.declare.tables import Table
from kappa_assets.demo.feed import next_delivery
from kappa_assets.log.note import CommitNote, InputRange, Offset, Position
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.lineage.lineage_cursor import LineageCursor
from kappa_assets.orchestration.sensors.lineage_sensor import Lineage
from kappa_assets_tests.benchmarks import retail_without_feed
from kappa_assets_tests.benchmarks.rounds import Result, say
from kappa_assets_tests.written_logs import WrittenLake

_COMMITS = 200
_FILE_EVERY = 5.0
_STREAMS = "streams"
_STEERING = ("daemon", "sensors")


def overhead(root: Path, *, seconds: int) -> list[Result]:
    """The figures of what Dagster adds."""
    return [_idle_tick(root / "idle"), *_cpu(root / "cpu", seconds=seconds)]


def _idle_tick(root: Path) -> Result:
    """The lineage sensor's work over 50 tables of 200 commits each, when nothing is new."""
    pipeline = _fifty_tables()
    say(f"overhead: {len(pipeline.tables)} tables of {_COMMITS} commits")
    written = WrittenLake(root / "lake", pipeline=pipeline)
    for number in range(_COMMITS):
        for table in pipeline:
            written.commit(table.name, _note(pipeline, table.name.key, number), add={"2026-03-01": 3})
    with dg.DagsterInstance.local_temp(str(root)) as instance:
        lineage = Lineage(Folders(root / "lake", root / "landing"), pipeline)
        cursor = LineageCursor()
        for _ in range(50):
            cursor, before = lineage.tick(instance, cursor).cursor, cursor
            if cursor == before:
                break
        times = []
        for _ in range(20):
            began = time.perf_counter()
            lineage.tick(instance, cursor)
            times.append(1000 * (time.perf_counter() - began))
    return Result(
        "a lineage tick over 50 tables with nothing new, checks and all",
        f"{statistics.median(times):.0f} ms",
        "",
        None,
        "<= 100 ms",
    )


def _cpu(root: Path, *, seconds: int) -> list[Result]:
    """CPU seconds of what steers / of the run that streams, in `make run`, while a file lands every few seconds.

    The demo's feed is a sensor too, but a shop's stand-in and no part of steering: the benchmark delivers its files.
    """
    say(f"overhead: CPU over {seconds} s of make run")
    root.mkdir(parents=True)
    repository = Path(__file__).resolve().parents[2]
    (root / "workspace.yaml").write_text((repository / "workspace.yaml").read_text())
    settings = {"KAPPA_LAKE": str(root / "lake"), "KAPPA_LANDING": str(root / "landing"), "KAPPA_PORT": "3917"}
    settings |= {"KAPPA_PIPELINE": retail_without_feed.__name__, "PYTHONPATH": str(repository)}
    for folder in ("lake", "landing"):
        (root / folder).mkdir()
    with _delivering(root / "landing"):
        run = subprocess.Popen(
            [sys.executable, "-m", "kappa_assets.demo.make_run"],
            cwd=root,
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for_gold(root / "lake")
            time.sleep(min(60, seconds))
            before = _cpu_seconds(run.pid)
            time.sleep(seconds)
            spent = {name: after - before.get(name, 0.0) for name, after in _cpu_seconds(run.pid).items()}
        finally:
            run.send_signal(signal.SIGINT)
            run.wait(120)
    streams = spent.pop(_STREAMS)
    steering = sum(spent[name] for name in _STEERING)
    parts = ", ".join(f"{name} {used:.1f} s" for name, used in sorted(spent.items()))
    return [
        Result(
            "CPU of daemon and sensors / CPU of the streams, in make run",
            f"{steering:.1f} s in {seconds} s",
            f"{streams:.1f} s",
            steering / streams,
            "<= 0.03",
        ),
        Result(f"CPU of all of Dagster ({parts}) / the same", "", "", sum(spent.values()) / streams, ""),
    ]


@contextmanager
def _delivering(landing: Path) -> Iterator[None]:
    """Deliver the shop's next file every few seconds, as the feed does."""
    over = threading.Event()

    def deliver() -> None:
        while not over.wait(_FILE_EVERY):
            next_delivery(landing, now=dt.datetime.now(dt.UTC))

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _cpu_seconds(launcher: int) -> dict[str, float]:
    """Return the CPU seconds so far of each kind of process below the launcher."""
    found: defaultdict[str, float] = defaultdict(float)
    processes = psutil.Process(launcher).children(recursive=True)
    streaming: set[int] = set()
    for process in processes:
        if process.name() == "java":
            driver = process.parents()[0]
            streaming |= {p.pid for p in (driver, *driver.children(recursive=True))}
    for process in processes:
        found[_STREAMS if process.pid in streaming else _kind(process)] += _seconds(process)
    return dict(found)


def _kind(process: psutil.Process) -> str:
    """Return what a process of Dagster's is there for. Sensors run in the code server."""
    command = process.cmdline()
    kinds = {"dagster._daemon": "daemon", "grpc": "sensors", "dagster_webserver": "web server"}
    return next((kind for word, kind in kinds.items() if word in command), "launcher and proxy")


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _wait_for_gold(lake: Path, patience: float = 300.0) -> None:
    deadline = time.monotonic() + patience
    while not (lake / "gold" / "daily_revenue" / "_delta_log" / f"{3:020d}.json").exists():
        if time.monotonic() > deadline:
            raise AssertionError(f"make run wrote no Gold within {patience:.0f} s")
        time.sleep(1)


def _fifty_tables() -> Pipeline:
    """Ten tapes, each with a Silver and three Golds."""
    tables: list[Table] = []
    for tape in range(10):
        tables.append(bronze(f"tape_{tape}", source=Files(f"tape_{tape}", format="json")))
        tables.append(silver(reads={"upstream": f"bronze.tape_{tape}"}, version="1")(_function(f"rows_{tape}")))
        tables += [
            gold(reads={"upstream": f"silver.rows_{tape}"}, version="1", keys=["k"])(_function(f"sums_{tape}_{n}"))
            for n in range(3)
        ]
    return Pipeline.from_tables("fifty", tables)


def _function(name: str) -> types.FunctionType:
    def rows(upstream: DataFrame) -> DataFrame:
        return upstream

    return types.FunctionType(rows.__code__, rows.__globals__, name)


def _note(pipeline: Pipeline, key: tuple[str, str], number: int) -> CommitNote:
    """The note of a table's commit number `number`, which reads its upstream's commit of that number."""
    name = ".".join(key)
    table = next(t.name for t in pipeline if t.name.key == key)
    tape = str(pipeline.tape_of(table))
    if table == pipeline.tape_of(table):
        return CommitNote(name, 1, number, "", tape_batch=number, rows=3)
    since = None if number == 0 else Offset(number + 1, -1, False)
    read = InputRange(1, since, Offset(number + 2, -1, False), number + 1)
    (upstream,) = map(str, pipeline.upstreams[table])
    return CommitNote(name, 1, number, "1", {upstream: read}, {tape: Position(number, number + 1)}, rows=3)
