"""From a topic to Gold, live: how soon an event is visible, and how many a second are carried without a growing lag."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version
from kappa_assets_tests.benchmarks.live import lines_by_time, streaming, wait_for_lines
from kappa_assets_tests.benchmarks.path import PATH
from kappa_assets_tests.benchmarks.rounds import Result, percentile, say
from kappa_assets_tests.benchmarks.scene import DAILY_REVENUE
from kappa_assets_tests.sources.kafka_broker import Broker

_EASY = 1_000
"""Events a second at which latency is told."""
_STEP = 1.5
"""By how much a rate is above the one that was carried."""
_PATIENCE_S = 10.0
"""A rate is carried when the slowest twentieth of the events of a trial's second half waits no longer."""


@dataclass(frozen=True)
class Load:
    """What became of events that were sent at a rate: for each batch of the feed, its events' seconds until Gold."""

    rate: float
    """Events a second that were sent, changes of customers counted too."""
    waits: list[float]

    @property
    def carried(self) -> bool:
        """Whether what came last did not wait."""
        return percentile(self.waits[len(self.waits) // 2 :], 0.95) <= _PATIENCE_S

    def told(self) -> str:
        """Return p50 and p95, and those of both halves: a lag that grows shows in the second."""
        halves = self.waits[: len(self.waits) // 2], self.waits[len(self.waits) // 2 :]
        first, second = (f"{percentile(h, 0.5):.2f} s, {percentile(h, 0.95):.2f} s" for h in halves)
        whole = f"p50 {percentile(self.waits, 0.5):.2f} s, p95 {percentile(self.waits, 0.95):.2f} s"
        return f"{whole} (first half {first}; second {second})"


def topic_to_gold(spark: SparkSession, root: Path, *, seconds: int, trial: int) -> list[Result]:
    """Latency at 1 000 events a second, and at the highest rate that `trial` seconds of it show to be carried."""
    broker = Broker(root / "live-broker")
    broker.start()
    os.environ["KAPPA_KAFKA_BOOTSTRAP_SERVERS"] = broker.address
    try:
        shop = _Shop(spark, root / "topic-live")
        try:
            say(f"topic -> Gold: {trial} s to warm up, then {seconds} s at {_EASY:,} events/s")
            shop.load(_EASY, trial)
            loads = [shop.load(_EASY, seconds), _highest(shop, seconds, trial)]
        finally:
            shop.stop()
    finally:
        del os.environ["KAPPA_KAFKA_BOOTSTRAP_SERVERS"]
        broker.kill()
    return [
        Result(
            f"Kafka -> Gold, {seconds} s at {load.rate:,.0f} events/s{what}, every line counted once",
            load.told(),
            "",
            None,
            "no growth",
        )
        for load, what in zip(loads, ("", " (as many as were carried)"), strict=True)
    ]


def _highest(shop: _Shop, seconds: int, trial: int) -> Load:
    """Return the load of the highest rate that is carried for `seconds`, as a trial of each had shown."""
    rate = 2.0 * _EASY
    while shop.load(rate, trial).carried:
        rate *= _STEP
    while not (load := shop.load(rate / _STEP, seconds)).carried:
        rate /= _STEP
    return load


class _Shop:
    """The example's way of a line from a topic to Gold, streaming in this process; the feed is another."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self._root = root
        (root / "landing").mkdir(parents=True)
        lake = Lake.at(root / "lake")
        self._gold = lake.folder(DAILY_REVENUE)
        self._sent = self._loads = 0
        self.stop = streaming(Setting(spark, lake, root / "landing"), PATH.read_from("kafka"))

    def load(self, rate: float, seconds: int) -> Load:
        """Send for `seconds`, wait until all is in Gold, and check that it counts what the journal does."""
        self._loads += 1
        journal = self._root / f"{self._loads}.jsonl"
        command = [sys.executable, "-m", "kappa_assets.cli", "feed", "--to", "topic", "--journal", str(journal)]
        command += ["--landing", str(self._root / "landing"), "--seed", str(self._loads)]
        known = (latest_version(self._gold) or -1) + 1
        told = ["--rate", str(rate), "--events", str(int(rate * seconds))]
        subprocess.run([*command, *told], check=True, stdout=subprocess.DEVNULL)
        batches = _batches(journal)
        before, self._sent = self._sent, self._sent + sum(batch.lines for batch in batches)
        wait_for_lines(self._gold, self._sent)
        assert _lines_of(self._gold) == self._sent, "Gold does not count what was sent"
        visible, waits, due = lines_by_time(self._gold, since=known), list[float](), before
        for batch in batches:
            due += batch.lines
            waits.append(next(at for at, held in visible if held >= due) - batch.at)
        took = batches[-1].at - batches[0].at
        load = Load(sum(batch.events for batch in batches) / took, waits)
        say(f"  {load.rate:,.0f} events/s for {took:.0f} s, {len(visible)} commits: {load.told()}")
        return load


@dataclass(frozen=True)
class _Batch:
    """What the feed sent at once: when it began, and how many lines of invoices, and events, it was."""

    at: float
    lines: int
    events: int


def _batches(journal: Path) -> list[_Batch]:
    """Return what a journal tells of. One partition: what was sent earlier is earlier on the tape."""
    begun, found = 0.0, []
    for line in journal.read_text().splitlines()[1:]:
        told = json.loads(line)
        if "sending" in told:
            begun = dt.datetime.fromisoformat(told["at"]).timestamp()
        else:
            topics = told["acknowledged"]
            found.append(_Batch(begun, len(topics.get("invoices", ())), sum(map(len, topics.values()))))
    return found


def _lines_of(gold: Path) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(DeltaTable(gold).to_pyarrow_table(columns=["lines"])["lines"]).as_py() or 0)
