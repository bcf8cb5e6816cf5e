"""Upkeep: a lake of many commits, with maintenance run in between, against a young one: batch by batch, and in Gold."""

from __future__ import annotations

import datetime as dt
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from kappa_assets.graph import Pipeline
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import last_note
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version
from kappa_assets_tests import oracle
from kappa_assets_tests.benchmarks.rounds import Result, say
from kappa_assets_tests.benchmarks.scene import DAILY_REVENUE, INVOICES, SALES, land_files
from kappa_assets_tests.whole.archived_retail import ARCHIVED

PATH = Pipeline.from_tables("path", [t for t in ARCHIVED if t.name in (INVOICES.name, SALES, DAILY_REVENUE)])
_LINES = 20
_YOUNG = 100
_MAINTAIN_EVERY = 500
_ONE_FILE = Pace(landed_files=1, table_files=1)
"""One landed file makes one commit of each table."""


@dataclass
class AgingLake:
    """A lake that gets one file per commit. An hour goes by until each maintenance, as its schedule has it."""

    spark: SparkSession
    root: Path
    seed: int
    pipeline: Pipeline = PATH
    landed: int = 0
    hours: int = 0
    made: int = 0
    """Batches on its tape that no landed file made."""

    @property
    def lake(self) -> Lake:
        return Lake.at(self.root / "lake")

    @property
    def landing(self) -> Path:
        return self.root / "landing" / "invoices"

    def age(self, commits: int, *, upkeep: bool) -> None:
        """Bring the lake to so many commits on its tape."""
        while self.landed < commits:
            more = min(_MAINTAIN_EVERY, commits - self.landed)
            began = time.monotonic()
            with self._streaming():
                self._land(more)
                self._await()
            say(f"  {self.landed} commits, {(time.monotonic() - began) / more * 1000:.0f} ms each, all tables")
            if upkeep:
                self.maintain()

    def maintain(self) -> None:
        """Run maintenance as if an hour had gone by since the last."""
        self.hours += 1
        began = time.monotonic()
        now = dt.datetime.now(dt.UTC) + dt.timedelta(hours=self.hours)
        done = maintain(self.lake, self.pipeline, now=now, progress=lambda _: None)
        say(f"  maintenance: {len(done)} steps in {time.monotonic() - began:.1f} s")

    def measure(self, files: int, warm_up: int) -> dict[str, list[float]]:
        """Land files one by one; return the seconds of each batch of each table, and until each is in all of them."""
        with self._streaming() as host:
            for _ in range(warm_up):
                self._land(1)
                self._await()
            before = {name: latest_version(self.lake.folder(name)) for name in self.pipeline.tables}
            waits = []
            for _ in range(files):
                began = time.monotonic()
                self._land(1)
                self._await()
                waits.append(time.monotonic() - began)
            assert all(latest_version(self.lake.folder(n)) == (v or 0) + files for n, v in before.items())
            batches = {str(name): _batch_seconds(host, name)[-files:] for name in self.pipeline.tables}
            return {"landed -> in all tables": waits, **batches}

    def check(self) -> None:
        """Raise AssertionError unless Gold is what the oracle computes from the landed files."""
        files = sorted(self.landing.rglob("*.csv"))
        assert len(files) == self.landed
        expected = oracle.oracle(files).daily_revenue
        found = oracle.rows_of(DeltaTable(self.lake.folder(DAILY_REVENUE)).to_pyarrow_table(), oracle.DAILY_REVENUE)
        if found != expected:
            raise AssertionError(f"Gold of the lake with {self.landed} commits is not what landed")

    @contextmanager
    def _streaming(self) -> Iterator[Host]:
        self.landing.mkdir(parents=True, exist_ok=True)
        over = threading.Event()
        setting = Setting(self.spark, self.lake, self.root / "landing", _ONE_FILE)
        host = Host(setting, self.pipeline, wanted=lambda: "measured" if over.is_set() else None)
        thread = threading.Thread(target=host.stream)
        thread.start()
        try:
            yield host
        finally:
            over.set()
            thread.join()

    def _land(self, files: int) -> None:
        spare = self.root / "spare"
        land_files(spare, files=files, lines=_LINES, seed=self.seed * 1_000_000 + self.landed)
        for path in sorted((spare / "invoices").iterdir()):
            path.rename(self.landing / f"{path.name[:10]}-{self.landed:06d}.csv")
            self.landed += 1

    def _await(self, patience: float = 3_600.0) -> None:
        """Wait until all tables reflect all that landed."""
        deadline, (tape,) = time.monotonic() + patience, self.pipeline.bronzes
        for table in self.pipeline.derived:
            folder = self.lake.folder(table.name)
            while (found := last_note(folder)) is None or found[1].position[str(tape.name)].batch + 1 < self._due:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{table.name} has not reached batch {self._due - 1} after {patience:.0f} s")
                time.sleep(0.01)

    @property
    def _due(self) -> int:
        """How many batches there are on the tape once all that landed is."""
        return self.landed + self.made


def upkeep(spark: SparkSession, root: Path, *, commits: int, files: int, rounds: int) -> list[Result]:
    """Measure the example's way from Bronze to Gold, as `aged` does."""
    say(f"upkeep: {commits} commits of {_LINES} lines")
    young, old = AgingLake(spark, root / "young", 1), AgingLake(spark, root / "old", 2)
    return aged(young, old, commits=commits, files=files, rounds=rounds)


def aged(young: AgingLake, old: AgingLake, *, commits: int, files: int, rounds: int) -> list[Result]:
    """The batch time of each table around commit `commits`, maintained, / around commit 100, measured in turn."""
    old.age(commits, upkeep=True)
    young.age(min(_YOUNG, commits), upkeep=False)
    now, then = dict[str, list[float]](), dict[str, list[float]]()
    for number in range(rounds):
        for lake, seconds in ((old, now), (young, then)):
            for what, found in lake.measure(files, warm_up=5).items():
                seconds.setdefault(what, []).extend(found)
        say(f"  round {number + 1}: {_shown(now)} against {_shown(then)}")
    for lake in (old, young):
        lake.check()
    return [_result(what, commits, now[what], then[what]) for what in now]


def _result(what: str, commits: int, now: Sequence[float], then: Sequence[float]) -> Result:
    a, b = statistics.median(now), statistics.median(then)
    name = what if "->" in what else f"batch of {what}"
    return Result(
        f"{name} around commit {commits}, maintained / around commit {min(_YOUNG, commits)}",
        f"{a * 1000:.0f} ms",
        f"{b * 1000:.0f} ms",
        a / b,
        "<= 1.2",
    )


def _shown(seconds: dict[str, list[float]]) -> str:
    return ", ".join(f"{what} {statistics.median(found) * 1000:.0f} ms" for what, found in seconds.items())


def _batch_seconds(host: Host, table: TableName) -> list[float]:
    """Return what Spark says of the newest batches: from the look for new data to the commit of the offsets."""
    (runner,) = (one for one in host._all_runners if one.query.table == table)
    streaming = runner._streaming
    assert streaming is not None
    progress = [p for p in streaming.recentProgress if p["numInputRows"]]
    return [p["durationMs"]["triggerExecution"] / 1000 for p in progress]
