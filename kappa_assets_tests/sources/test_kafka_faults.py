"""What brokers, topics and records can be like, and what may die: each record is on the tape once, or waited for."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from deltalake import DeltaTable
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j ships no types

from kappa_assets import Kafka, Pipeline, bronze
from kappa_assets.host import runner
from kappa_assets.host.host import Host
from kappa_assets.host.host_status import QueryStatus
from kappa_assets.log.delta_log import newest_of_tape
from kappa_assets.log.note import RANGES
from kappa_assets_tests.sources.kafka_broker import PASSWORD, Broker, Client, Sent
from kappa_assets_tests.sources.kafka_desk import Desk, some

pytestmark = pytest.mark.slow
COMPACTED = {
    "cleanup_policy": "compact",
    "segment_bytes": "2000",
    "min_cleanable_dirty_ratio": "0.01",
    "delete_retention_ms": "0",
}
IMPATIENT = {"delivery.timeout.ms": "3000", "request.timeout.ms": "1500", "max.block.ms": "2000", "linger.ms": "0"}
KILLS = int(os.environ.get("KAPPA_KILLS", "2"))
"""How often the broker and the host are killed under load, each."""


def until(happened: Callable[[], bool], what: str, patience: float = 120.0) -> None:
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def records(desk: Desk, tape: str) -> list[Sent]:
    """Return what is on a tape, in the order of its offsets."""
    table = next(table for table in TAPES if table.name.name == tape)
    rows = DeltaTable(desk.setting.lake.folder(table.name)).to_pyarrow_table().to_pylist()
    return sorted(
        Sent(r["_source"]["partition"], r["_source"]["offset"], r["_source"]["key"], r["value"]) for r in rows
    )


TAPES = [bronze(name, source=Kafka(name)) for name in ("states", "large", "twice", "later", "closed")]
states, large, twice, later, closed = TAPES


def test_a_compacted_topic_a_record_of_ten_megabytes_and_one_sent_twice_come_from_a_slow_broker(
    desk: Desk, topics: Client, broker: Broker
) -> None:
    topics.make("states", 1, **COMPACTED)
    sent = [one for n in range(60) for one in topics.send("states", [b"%03d" % n * 40], key=b"%d" % (n % 4))]
    values = sum(len(one.value or b"") for one in sent)
    until(lambda: broker.bytes_kept("states") < values, "the topic is not compacted")
    topics.make("large", max_message_bytes="11000000")
    big = topics.send("large", [b"a", os.urandom(10_000_000), b"z"], settings={"max.request.size": "11000000"})
    topics.make("twice")
    once, anew = (topics.send("twice", some(3, "anna"), settings={"enable.idempotence": "false"}) for _ in range(2))
    with broker.slow():
        desk.drain(Pipeline.from_tables("faults", [states, large, twice]))
    kept = records(desk, "states")
    assert set(kept) <= set(sent)
    assert len(kept) == len(set(kept)) < len(sent)
    assert {one.key: one.value for one in kept} == {one.key: one.value for one in sent}
    note = newest_of_tape(desk.setting.lake.table(states.name))
    assert note is not None
    assert note.source[RANGES] == {"0": [0, 60]}
    assert records(desk, "large") == big
    assert records(desk, "twice") == [*once, *anew]


def test_a_topic_that_is_not_there_yet_and_one_without_rights_wait_with_a_clear_line_and_go_on(
    desk: Desk, topics: Client, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_LONGEST_WAIT", 0.5)
    monkeypatch.setattr(runner, "_PARK_AFTER", 2)
    login, file = "org.apache.kafka.common.security.plain.PlainLoginModule", desk.root / "client.properties"
    file.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
        f'sasl.jaas.config={login} required username="app" password="{PASSWORD}";\n'
    )
    monkeypatch.setenv("KAPPA_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{broker.login}")
    monkeypatch.setenv("KAPPA_KAFKA_PROPERTIES", str(file))
    topics.make("closed")
    sent = {"closed": topics.send("closed", some(3, "anna"))}
    topics.may_only_describe("closed")
    said: dict[str, str] = {}

    def wanted() -> str | None:
        tapes: dict[str, QueryStatus] = {one.table.removeprefix("bronze."): one for one in host.status}
        assert all(tape.state != "parked" for tape in tapes.values()), tapes
        if not said and all(tape.failures >= 3 for tape in tapes.values()):
            said.update({name: str(tape.error) for name, tape in tapes.items()})
            topics.may_do_all("closed")
            topics.make("later")
            sent["later"] = topics.send("later", some(4, "berta"))
        done = said and all(tape.batch is not None for tape in tapes.values())
        return "both have come" if done else None

    host = Host(desk.setting, Pipeline.from_tables("faults", [later, closed]), wanted=wanted)
    host.stream()
    assert said["later"].startswith("topic 'later' of Kafka: there is no such topic (UnknownTopicOrPartitionException")
    refused = "topic 'closed' of Kafka: nobody has given this user the right to read it (TopicAuthorizationException"
    assert said["closed"].startswith(refused)
    assert {name: records(desk, name) for name in sent} == sent


def test_a_host_that_is_killed_at_any_point_of_a_batch_goes_on_with_each_record_once(
    desk: Desk, topics: Client
) -> None:
    """The points that other tests of topics do not die at: those are after_rejects and after_commit."""
    topics.make("orders", partitions=2)
    points = [("registry_change", 1), ("before_offsets", 2), ("fence_seen", 2), ("between_tables", 1)]
    for number, (point, batch) in enumerate(points):
        desk.sent += topics.send("orders", some(30, f"a{number}"), partition=0)
        desk.sent += topics.send("orders", some(20, f"b{number}"), partition=1)
        desk.dies(point, batch)
    desk.drain()
    desk.holds_every_record_once()


class Load(threading.Thread):
    """Sends records all the time. The journal: which a broker has acknowledged, and which it may have or not."""

    def __init__(self, topics: Client) -> None:
        super().__init__()
        self._topics, self._done = topics, threading.Event()
        self.acknowledged: list[Sent] = []
        self.maybe: set[bytes] = set()

    def run(self) -> None:
        for number in itertools.count():
            values = [json.dumps({"customer": f"c{number % 7}", "cents": 10 * number + n}).encode() for n in range(10)]
            try:
                self.acknowledged += self._topics.send("orders", values, settings=IMPATIENT)
            except Py4JJavaError:
                self.maybe.update(values)
            if self._done.wait(0.05):
                return

    def end(self) -> None:
        self._done.set()
        self.join()


def test_broker_and_host_are_killed_in_turn_under_load_and_each_record_is_there_once(
    desk: Desk, topics: Client, broker: Broker
) -> None:
    topics.make("orders", partitions=3)
    load, dice = Load(topics), random.Random(13)
    load.start()
    host: subprocess.Popen[bytes] | None = None

    def read() -> int:
        return len(desk.notes()) if desk.tape.exists() else 0

    def grows(what: str) -> None:
        before = read()
        until(lambda: read() > before, what)

    try:
        for _ in range(KILLS):
            host = desk.streams()
            grows("a host that was started takes nothing")
            broker.kill()
            time.sleep(dice.uniform(0, 1))  # the moments differ: this is what is tried
            broker.start()
            grows("nothing is taken once the broker is back")
            time.sleep(dice.uniform(0, 1))
            host.kill()
            host.wait()
    finally:
        load.end()
        if host is not None and host.poll() is None:
            host.kill()
            host.wait()
    desk.drain()
    found: dict[tuple[int, int], Any] = {(r["_source"]["partition"], r["_source"]["offset"]): r for r in desk.rows()}
    assert len(found) == len(desk.rows()), "a record is there twice"
    for one in load.acknowledged:
        assert found[one.partition, one.offset]["value"] == one.value
    others = {row["value"] for row in found.values()} - {one.value for one in load.acknowledged}
    assert others <= load.maybe
    desk.sent = [Sent(*at, row["_source"]["key"], row["value"]) for at, row in found.items()]
    desk.holds_every_record_once()
