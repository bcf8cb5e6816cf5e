"""A topic of a real broker onto a tape and to Gold: every record once, whatever dies, and what is lost is said."""

from __future__ import annotations

import datetime as dt
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable

from kappa_assets import Kafka, Pipeline, bronze, load_pipeline
from kappa_assets.errors import RowsLost, SourceError
from kappa_assets.host import runner
from kappa_assets.host.host import Host
from kappa_assets.log.note import IMPLAUSIBLE, RANGES
from kappa_assets_tests.conftest import AVRO
from kappa_assets_tests.sources.kafka_broker import PASSWORD, Broker, Client
from kappa_assets_tests.sources.kafka_desk import PROJECT, Desk, some
from kappa_assets_tests.sources.kafka_shop import orders

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@contextmanager
def all_that_java_says(spark: SparkSession) -> Iterator[Any]:
    """Yield what Spark and the clients of Kafka log meanwhile, with what they say to those who look for a fault."""
    java: Any = spark._jvm
    log4j, said = java.org.apache.logging.log4j, java.java.io.StringWriter()
    appender = log4j.core.appender.WriterAppender.createAppender(None, None, said, "said", False, True)
    root = log4j.LogManager.getContext(False).getConfiguration().getRootLogger()
    appender.start()
    root.addAppender(appender, None, None)
    talking = ("org.apache.kafka", "org.apache.spark.sql.kafka010")
    for name in talking:
        log4j.core.config.Configurator.setLevel(name, log4j.Level.DEBUG)
    try:
        yield said
    finally:
        for name in talking:
            log4j.core.config.Configurator.setLevel(name, log4j.Level.WARN)
        root.removeAppender("said")


def test_a_topic_is_drained_to_gold_killed_healed_and_takes_in_partitions_and_transactions(
    desk: Desk, topics: Client, tmp_path: Path
) -> None:
    topics.make("orders", partitions=2)
    desk.sent += topics.send("orders", some(60, "anna"), partition=0)
    desk.sent += topics.send("orders", some(50, "berta"), partition=1, key=b"b")
    desk.dies("after_commit")
    desk.drain()
    desk.holds_every_record_once()
    assert len(desk.notes()) >= 3, "a batch took at most forty"
    shutil.copytree(desk.checkpoint, tmp_path / "checkpoint_then")

    # What was committed is read, what was aborted is not, and both leave markers behind that are no records.
    desk.sent += topics.send("orders", some(5, "carl"), partition=0, transaction="t")
    topics.send("orders", some(7, "nobody"), partition=0, transaction="t", abort=True)
    desk.drain()
    desk.holds_every_record_once()
    (since, until), rows = desk.notes()[-1].source[RANGES]["0"], desk.notes()[-1].rows
    assert (until - since, rows) == (5 + 1 + 7 + 1, 5)
    topics.send("orders", some(3, "nobody"), partition=1, transaction="t", abort=True)
    desk.drain()
    assert desk.notes()[-1].rows == 0, "a range without a record moves the tape on"
    desk.holds_every_record_once()

    # The checkpoint is lost, then an older one is put back, and partitions come: the tape knows where it stands.
    shutil.rmtree(desk.checkpoint)
    topics.enlarge("orders", 4)
    desk.sent += topics.send("orders", some(4, "dora"), partition=3)
    desk.sent += topics.send("orders", some(2, "anna"), partition=0)
    desk.drain()
    desk.holds_every_record_once()
    assert desk.notes()[-1].source[RANGES].keys() == {"0", "1", "2", "3"}
    shutil.rmtree(desk.checkpoint)
    shutil.copytree(tmp_path / "checkpoint_then", desk.checkpoint)
    desk.sent += topics.send("orders", some(1, "emil"), partition=2)
    desk.drain()
    desk.holds_every_record_once()
    desk.drain()
    desk.holds_every_record_once()


def test_a_record_is_kept_as_it_came_and_arrives_when_its_timestamp_says(desk: Desk, topics: Client) -> None:
    now = dt.datetime.now(dt.UTC)
    then = int(dt.datetime(2026, 1, 5, 8, tzinfo=dt.UTC).timestamp() * 1000)
    topics.make("orders")
    topics.send("orders", [b"\x00\xff"], key=b"\xfe", timestamp=then, headers={"h": b"\x80", "": b""})
    early = int(dt.datetime(1970, 3, 1, tzinfo=dt.UTC).timestamp() * 1000)
    topics.send("orders", [None], timestamp=early)
    topics.send("orders", [b""], timestamp=int(dt.datetime(2300, 1, 1, tzinfo=dt.UTC).timestamp() * 1000))
    topics.make("logged", message_timestamp_type="LogAppendTime")
    topics.send("logged", [b"1"], timestamp=early)
    logged = bronze("logged", source=Kafka("logged"))
    desk.drain(Pipeline.from_tables("kafka", [orders, logged]))
    told, empty, ahead = desk.rows()
    assert (told["value"], told["_source"]["key"]) == (b"\x00\xff", b"\xfe")
    assert told["_source"]["headers"] == [{"key": "h", "value": b"\x80"}, {"key": "", "value": b""}]
    assert told["_source"]["timestamp_type"] == "CreateTime"
    assert told["_arrived_at"] == dt.datetime(2026, 1, 5, 8, tzinfo=dt.UTC) == told["_source"]["timestamp"]
    assert (empty["value"], empty["_source"]["key"], ahead["value"]) == (None, None, b"")
    assert [row["_source"]["timestamp"].year for row in (empty, ahead)] == [1970, 2300]
    assert all(row["_arrived_at"] >= now for row in (empty, ahead))
    (note,) = desk.notes()
    assert note.source[IMPLAUSIBLE] == 2
    (row,) = DeltaTable(desk.setting.lake.folder(logged.name)).to_pyarrow_table().to_pylist()
    assert row["_source"]["timestamp_type"] == "LogAppendTime"
    assert row["_arrived_at"] == row["_source"]["timestamp"]
    assert now - dt.timedelta(minutes=5) < row["_arrived_at"]


def test_what_the_brokers_have_lost_stops_the_tape_and_is_named_per_partition(desk: Desk, topics: Client) -> None:
    only = Pipeline.from_tables("kafka", [orders])
    topics.make("orders", partitions=2)
    topics.send("orders", some(6, "anna"), partition=0)
    topics.forget_before("orders", 0, 2)
    topics.send("orders", some(3, "anna"), partition=1)
    desk.drain(only)
    assert [(r["_source"]["partition"], r["_source"]["offset"]) for r in desk.rows()] == [
        *((0, offset) for offset in range(2, 6)),
        *((1, offset) for offset in range(3)),
    ], "a tape that has nothing begins with the earliest there is"

    topics.send("orders", some(4, "anna"), partition=0)
    topics.send("orders", some(1, "anna"), partition=1)
    topics.forget_before("orders", 0, 9)
    topics.enlarge("orders", 3)
    topics.send("orders", some(5, "anna"), partition=2)
    topics.forget_before("orders", 2, 5)
    for _ in range(2):
        with pytest.raises(RowsLost) as lost:
            desk.drain(only)
        assert "'orders' of Kafka has lost" in str(lost.value)
        assert "partition 0 has nothing from 6 to 8 any more" in str(lost.value)
        assert "partition 2 came later, and has nothing from 0 to 4" in str(lost.value)
        assert "partition 1" not in str(lost.value)
    assert len(desk.rows()) == 7

    # Made anew under the same name, and longer already than the one before: its id is another.
    topics.delete("orders")
    topics.make("orders", partitions=2)
    topics.send("orders", some(20, "anna"), partition=0)
    topics.send("orders", some(20, "anna"), partition=1)
    with pytest.raises(RowsLost, match="was deleted and made anew: its id was"):
        desk.drain(only)
    assert len(desk.rows()) == 7


def test_a_topic_that_is_made_anew_while_a_batch_is_read_brings_nothing_of_the_other_one(
    desk: Desk, topics: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kappa_assets.sources.kafka.kafka_source import KafkaSource

    only = Pipeline.from_tables("kafka", [orders])
    topics.make("orders")
    topics.send("orders", some(3, "anna"))
    desk.drain(only)
    topics.send("orders", some(3, "anna"))
    read = KafkaSource.read

    def then_made_anew(self: KafkaSource, batch: Any) -> Any:
        taken = read(self, batch)
        topics.delete("orders")
        topics.make("orders")
        topics.send("orders", some(20, "berta"))
        return taken

    monkeypatch.setattr(KafkaSource, "read", then_made_anew)
    with pytest.raises(RowsLost, match="was deleted and made anew"):
        desk.drain(only)
    assert len(desk.rows()) == 3


def test_what_is_wrong_with_a_connection_is_one_clear_line_without_the_password(
    spark: SparkSession, desk: Desk, topics: Client, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = Pipeline.from_tables("kafka", [orders])
    with pytest.raises(SourceError, match=r"topic 'orders' of Kafka: there is no such topic"):
        desk.drain(only)
    topics.make("orders")
    topics.send("orders", some(3, "anna"))

    login = (
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={} required username={} password={};"
    )
    module, file = "org.apache.kafka.common.security.plain.PlainLoginModule", desk.root / "client.properties"
    monkeypatch.setenv("KAPPA_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{broker.login}")
    monkeypatch.setenv("KAPPA_KAFKA_PROPERTIES", str(file))
    wrong = f"{PASSWORD}-wrong"
    for name, password, why in (
        (module, wrong, "the brokers refuse the user or the password"),
        ("NoSuchModule", PASSWORD, "nobody can log in with these properties"),
    ):
        file.write_text(login.format(name, '"app"', f'"{password}"'))
        with pytest.raises(SourceError, match=why) as refused:
            desk.drain(only)
        assert PASSWORD not in str(refused.value)
    file.write_text(login.format(module, '"app"', f'"{PASSWORD}"'))
    with all_that_java_says(spark) as said:
        desk.drain(only)
    assert len(desk.rows()) == 3
    assert "sasl.jaas.config" in said.toString()
    assert PASSWORD not in said.toString()
    written = [path for path in desk.setting.lake.root.rglob("*") if path.is_file()]
    assert [path for path in written if PASSWORD.encode() in path.read_bytes()] == []


def readme_pipeline(desk: Desk, number: int) -> Pipeline:
    """Return one of the pipelines in README's chapter on Kafka."""
    chapter = (PROJECT / "README.md").read_text().partition("## Kafka\n")[2].partition("\n## ")[0]
    module = desk.root / f"readme_{number}.py"
    module.write_text(chapter.split("```python\n")[number].partition("```")[0])
    return load_pipeline(str(module))


def test_the_topics_in_the_readme_are_read_of_json_and_of_avro(desk: Desk, topics: Client) -> None:
    topics.make("events")
    topics.send("events", [b'{"customer": "ada", "amount": 1.5}', b"not json"])
    pipeline = readme_pipeline(desk, 1)
    assert pipeline.packages == Kafka.packages
    desk.drain(pipeline)
    assert [(row["customer"], row["amount"]) for row in read_by(desk, pipeline)] == [
        ("ada", Decimal("1.50")),
        (None, None),
    ]

    # Avro by hand: a text is its length, zigzag, and its bytes; a double is eight bytes, the low ones first.
    told = b"\x08hall" + struct.pack("<d", 21.5)
    topics.make("readings")
    topics.send("readings", [b"\0" + struct.pack(">I", n) + told for n in (7, 8)])
    topics.send("readings", [b"\0" + struct.pack(">I", 7) + told[:4], None])
    pipeline = readme_pipeline(desk, 2)
    assert pipeline.packages == tuple(sorted((*Kafka.packages, AVRO)))
    desk.drain(pipeline)
    assert [(row["schema_id"], row["device"], row["celsius"]) for row in read_by(desk, pipeline)] == [(7, "hall", 21.5)]
    (silver,) = pipeline.derived
    aside = desk.setting.lake.set_aside(silver.name)
    version = aside.newest()
    assert version is not None
    assert aside.arrow(version).count_rows() == 3


def read_by(desk: Desk, pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return the rows of a pipeline's one Silver, in the order of the tape."""
    (below,) = (desk.setting.lake.link(table.name).resolve() for table in pipeline.derived)
    return sorted(DeltaTable(below).to_pyarrow_table().to_pylist(), key=lambda row: (row["_batch_id"], row["_row"]))


def test_a_stream_whose_broker_dies_waits_for_it_and_loses_nothing(
    desk: Desk, topics: Client, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies twice, with more failures than park a query whose logic is wrong, and no record between that mends it."""
    monkeypatch.setattr(runner, "_PARK_AFTER", 2)
    monkeypatch.setattr(runner, "_LONGEST_WAIT", 0.5)
    patience = desk.root / "client.properties"
    patience.write_text("default.api.timeout.ms=1500\nrequest.timeout.ms=1000\n")
    monkeypatch.setenv("KAPPA_KAFKA_PROPERTIES", str(patience))
    topics.make("orders")
    desk.sent += topics.send("orders", some(3, "anna"))
    host: Host
    killed_at: list[int] = []
    away = False

    def wanted() -> str | None:
        nonlocal away
        tape = next(status for status in host.status if status.table == str(orders.name))
        assert tape.state != "parked", tape.error
        if tape.batch is None or len(desk.rows()) < len(desk.sent):
            return None
        if len(desk.sent) > 3:
            return "seen"
        if away and tape.state == "backoff" and tape.failures >= killed_at[-1] + 2:
            broker.start()
            away = False
            if len(killed_at) == 2:
                desk.sent += topics.send("orders", some(4, "berta"))
        elif not away and tape.state == "running":
            broker.kill()
            away = True
            killed_at.append(tape.failures)
        return None

    host = Host(desk.setting, Pipeline.from_tables("kafka", [orders]), wanted=wanted)
    try:
        host.stream()
    finally:
        if away:
            broker.start()
    assert len(killed_at) == 2
    desk.drain()
    desk.holds_every_record_once()
