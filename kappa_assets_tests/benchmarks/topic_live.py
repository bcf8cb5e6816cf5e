"""From a topic to Gold, live: how soon an event is visible, and how many a second are carried without a growing lag."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import RANGES
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.benchmarks.live import streaming
from kappa_assets_tests.benchmarks.path import PATH
from kappa_assets_tests.benchmarks.rounds import Result, percentile, say
from kappa_assets_tests.benchmarks.scene import DAILY_REVENUE, INVOICES, SALES
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
        self._lake = Lake.at(root / "lake")
        self._loads = 0
        self.stop = streaming(Setting(spark, self._lake, root / "landing"), PATH.read_from("kafka"))

    def load(self, rate: float, seconds: int) -> Load:
        """Send for `seconds`, wait until all is in Gold, and check that nothing is missing there, or twice."""
        self._loads += 1
        journal = self._root / f"{self._loads}.jsonl"
        command = [sys.executable, "-m", "kappa_assets.cli", "feed", "--to", "topic", "--journal", str(journal)]
        command += ["--landing", str(self._root / "landing"), "--seed", str(self._loads)]
        told = ["--rate", str(rate), "--events", str(int(rate * seconds))]
        subprocess.run([*command, *told], check=True, stdout=subprocess.DEVNULL)
        batches = _batches(journal)
        visible = self._wait_for(batches[-1].until)
        self._check(batches[-1].until)
        waits = [next(at for at, until in visible if until >= batch.until) - batch.at for batch in batches]
        took = batches[-1].at - batches[0].at
        load = Load(sum(batch.events for batch in batches) / took, waits)
        say(f"  {load.rate:,.0f} events/s for {took:.0f} s: {load.told()}")
        return load

    def _wait_for(self, until: int, patience: float = 300.0) -> list[tuple[float, int]]:
        """Return when each commit of Gold was written, and before which offset it holds everything, up to `until`."""
        deadline = time.monotonic() + patience
        while not (visible := self._visible()) or visible[-1][1] < until:
            assert time.monotonic() < deadline, f"Gold has not come to offset {until} after {patience:.0f} s"
            time.sleep(0.5)
        return visible

    def _visible(self) -> list[tuple[float, int]]:
        tape = [commit.note for commit in commits(self._lake.folder(INVOICES.name))]
        ends = {note.tape_batch: note.source[RANGES]["0"][1] for note in tape if note is not None}
        gold, found = self._lake.folder(DAILY_REVENUE), list[tuple[float, int]]()
        for commit in commits(gold):
            if commit.note is not None and (batch := commit.note.position[str(INVOICES.name)].batch) >= 0:
                log = gold / "_delta_log" / f"{commit.version:020d}.json"
                found.append((log.stat().st_mtime, ends[batch]))
        return found

    def _check(self, sent: int) -> None:
        """Each line that was sent is in Silver, or was dropped there by its address; and Gold counts Silver's."""
        held = DeltaTable(self._lake.folder(SALES)).count()
        dropped = DeltaTable(self._lake.rejects(SALES)).to_pyarrow_table(columns=["_batch_id", "_row"]).to_pylist()
        lines = DeltaTable(self._lake.folder(DAILY_REVENUE)).to_pyarrow_table(columns=["lines"]).to_pydict()["lines"]
        assert held + len({(row["_batch_id"], row["_row"]) for row in dropped}) == sent
        assert sum(lines) == held


@dataclass(frozen=True)
class _Batch:
    """What the feed sent at once: when it began, the offset behind its last line of an invoice, and how many events."""

    at: float
    until: int
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
            found.append(_Batch(begun, topics["invoices"][-1][1] + 1, sum(map(len, topics.values()))))
    return found
