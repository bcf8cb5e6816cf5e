"""The feed against a real broker: killed under load, and its events read to Gold by the example pipeline."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from kappa_assets.cli import main
from kappa_assets.feed.journal import read_journal
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.feed.topic_records import forgetting, records_of
from kappa_assets_tests.oracle import CUSTOMER_VALUE, DAILY_REVENUE, SALES, oracle, rows_of
from kappa_assets_tests.sources.kafka_broker import Broker

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROJECT = Path(__file__).parents[2]
RETAIL = "kappa_assets.pipelines.retail"
pytestmark = pytest.mark.slow


@pytest.fixture
def address(broker: Broker) -> Iterator[str]:
    with forgetting(broker.address):
        yield broker.address


def batches(journal: Path) -> int:
    return journal.read_bytes().count(b'"sent"') if journal.exists() else 0


def wait_for_batches(journal: Path, least: int, of: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while batches(journal) < least:
        assert of.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_feed_that_is_killed_and_whose_broker_is_killed_has_sent_what_its_journal_tells(
    address: str, broker: Broker, tmp_path: Path
) -> None:
    journal = tmp_path / ".feed-topic.jsonl"
    command = [sys.executable, "-m", "kappa_assets.cli", "feed", "--landing", str(tmp_path), "--to", "topic"]
    command += ["--rate", "300", "--partitions", "3"]
    environment = os.environ | {"KAPPA_KAFKA_BOOTSTRAP_SERVERS": address, "PYTHONPATH": str(PROJECT)}
    for turn in range(4):
        before = batches(journal)
        with (tmp_path / "said").open("wb") as said:
            fed = subprocess.Popen(command, env=environment, stderr=said, stdout=said)
        try:
            wait_for_batches(journal, before + 4, fed)
            if turn == 1:  # what was on its way is sent again by the client, and is there once
                broker.kill()
                broker.start()
                wait_for_batches(journal, before + 8, fed)
        finally:
            fed.kill()
            fed.wait()
        assert fed.returncode == -signal.SIGKILL
    told = read_journal(journal)
    for topic in ("invoices", "customer_changes"):
        there = records_of(address, topic)
        sent = {one.place: one.event.json.encode() for one in told.sent if one.event.stream == topic}
        assert len(sent) == sum(one.event.stream == topic for one in told.sent), "each has a place of its own"
        assert sent.items() <= there.items()
        others = Counter(value for place, value in there.items() if place not in sent)
        assert others <= Counter(one.json.encode() for one in told.maybe if one.stream == topic)
        assert sent


class Shop:
    """A lake of the example pipeline, its tapes read from topics or from folders, each fed by the feed."""

    def __init__(self, root: Path, address: str) -> None:
        self.root = root
        self.lake = Lake.at(root / "lake")
        self._kafka = {"KAPPA_KAFKA_BOOTSTRAP_SERVERS": address}

    def kappa(self, *arguments: str, source: str) -> str:
        places = {"KAPPA_LAKE": self.root / "lake", "KAPPA_LANDING": self.root / "landing", "KAPPA_PIPELINE": RETAIL}
        environment = {name: str(value) for name, value in places.items()} | self._kafka | {"KAPPA_SOURCE": source}
        result = CliRunner().invoke(main, [*arguments], env=environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    def feed(self, to: str, events: int, seed: int) -> None:
        more = ("--rate", "100000", "--seed", str(seed), "--events", str(events), "--begin", "2026-03-01")
        self.kappa("feed", "--to", to, *more, source="")

    def files(self) -> list[Path]:
        """Return files of all lines that the journals tell of: what the independent answer is computed from."""
        found = []
        for to in ("topic", "folder"):
            journal = self.root / "landing" / f".feed-{to}.jsonl"
            lines = [one.event.content for one in read_journal(journal).sent if one.event.stream == "invoices"]
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
            found.append(self.root / f"{to}.csv")
            found[-1].write_text(text.getvalue(), newline="")
        return found

    def holds_what_was_sent(self) -> None:
        expected = oracle(self.files())
        sales = Counter(rows_of(self.table("silver.sales"), SALES))
        assert sales == expected.sales
        assert rows_of(self.table("gold.daily_revenue"), DAILY_REVENUE) == expected.daily_revenue
        assert rows_of(self.table("gold.customer_value"), CUSTOMER_VALUE) == expected.customer_value

    def table(self, name: str) -> object:
        return DeltaTable(self.lake.link(TableName.parse(name)).resolve()).to_pyarrow_table()


def test_the_example_reads_topics_to_gold_and_goes_on_from_folders(
    spark: SparkSession, address: str, tmp_path: Path
) -> None:
    del spark  # the one of this run is taken
    (tmp_path / "landing").mkdir()
    shop = Shop(tmp_path, address)
    shop.feed("topic", 400, seed=1)
    shop.feed("folder", 300, seed=2)
    shop.kappa("drain", source="kafka")
    states = {row["table"]: row for row in json.loads(shop.kappa("status", "--json", source="kafka"))}
    assert states["bronze.invoices"]["rows"] > 350
    shop.kappa("drain", source="folder")
    shop.holds_what_was_sent()
    customers = shop.table("silver.customers")
    assert customers.num_rows > 0  # type: ignore[attr-defined]  # an Arrow table
