"""A lake whose tape is a topic, and the journal of what was sent to it: what tests of Kafka look at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable

from kappa_assets import Pipeline
from kappa_assets.host.host import Host
from kappa_assets.kinds.query import Setting
from kappa_assets.log.delta_log import notes_back
from kappa_assets.log.note import ACCEPTED_LOSS, INCARNATION, RANGES, CommitNote
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.sources.kafka_broker import Sent
from kappa_assets_tests.sources.kafka_shop import PIPELINE, orders, revenue

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROJECT = Path(__file__).parents[2]


class Desk:
    """A lake whose one tape is a topic, the journal of what was sent, and the look whether each is there once."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.root = root
        self.sent: list[Sent] = []
        self.setting = Setting(spark, Lake.at(root / "lake"), root / "landing")

    @property
    def tape(self) -> Path:
        return self.setting.lake.folder(orders.name)

    @property
    def checkpoint(self) -> Path:
        return self.setting.lake.checkpoint(orders.name) / "kafka_orders"

    def drain(self, pipeline: Pipeline = PIPELINE) -> None:
        Host(self.setting, pipeline).drain()

    def dies(self, point: str, batch: int = 2) -> None:
        """Have a process of its own drain it, which is killed at a point of its how manyth batch."""
        died = subprocess.run(self._host(point, batch), check=False, capture_output=True, env=_environment())
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-3000:]

    def streams(self) -> subprocess.Popen[bytes]:
        """Return a process of its own that streams it, until it is killed."""
        with (self.root / "stream.log").open("ab") as log:
            return subprocess.Popen(self._host("stream", 1), stdout=log, stderr=log, env=_environment())

    def _host(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "kappa_assets_tests.sources.kafka_shop", str(self.root), *map(str, arguments)]

    def rows(self) -> list[dict[str, Any]]:
        found = DeltaTable(self.tape).to_pyarrow_table().to_pylist()
        return sorted(found, key=lambda row: (row["_source"]["partition"], row["_source"]["offset"]))

    def notes(self) -> list[CommitNote]:
        return [note for _, note in notes_back(self.tape) if note.tape_batch is not None][::-1]

    def holds_every_record_once(self) -> None:
        """The journal is the oracle: of the tape, of the ranges in its notes, and of Gold.

        What was accepted as lost is no part of the journal, and the one hole in the ranges.
        """
        self.holds_on_its_tape_every_record_once()
        paid = Counter[str]()
        for one in self.sent:
            told = json.loads(one.value or b"{}")
            paid[told["customer"]] += told["cents"]
        gold = DeltaTable(self.setting.lake.link(revenue.name).resolve()).to_pyarrow_table().to_pylist()
        assert {row["customer"]: row["cents"] for row in gold} == dict(paid)

    def holds_on_its_tape_every_record_once(self) -> None:
        """The same of the tape and the ranges in its notes alone."""
        of_the_tape = [
            Sent(r["_source"]["partition"], r["_source"]["offset"], r["_source"]["key"], r["value"])
            for r in self.rows()
        ]
        assert Counter(of_the_tape) == Counter(self.sent)
        for note, following in pairwise(self.notes()):
            before, after = note.source[RANGES], following.source[RANGES]
            accepted = set(following.source.get(ACCEPTED_LOSS, {}).get("missing", {}))
            assert before.keys() - accepted <= after.keys(), "no partition is forgotten"
            for partition, (since, _) in after.items():
                assert since == before.get(partition, (0, 0))[1] or partition in accepted
            assert note.source[INCARNATION] == following.source[INCARNATION] or accepted


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PROJECT)}


def some(count: int, customer: str) -> list[bytes]:
    return [json.dumps({"customer": customer, "cents": 100 + number}).encode() for number in range(count)]
