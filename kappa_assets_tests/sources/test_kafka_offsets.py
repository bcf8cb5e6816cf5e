"""What a client of Kafka is told, what is missing at the brokers, and what offsets mean. No broker, no Spark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets import Kafka, TableName
from kappa_assets.errors import CheckpointMismatch, RowsLost, SetupError
from kappa_assets.host.host_status import HostStatus, QueryStatus
from kappa_assets.kinds.tape.tape_checkpoint import next_ranges
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.kafka.connection import Connection
from kappa_assets.sources.kafka.kafka_source import KafkaSource
from kappa_assets.sources.kafka.lost import check_nothing_lost, check_same_topic, lost_of
from kappa_assets.sources.kafka.topic import Topic
from kappa_assets.sources.source import Given, Offsets, Range

ORDERS = TableName.parse("bronze.orders")
JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required username='app' password='canary-4711';"
FILE = """
# how to log in
security.protocol = SASL_SSL
sasl.mechanism: PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
    username="app" password="canary-4712";
ssl.truststore.location /etc/kafka/trust.jks
ssl.truststore.password=${env:TRUST}
! the end
bootstrap.servers=of-the-file:9092
"""


def given_to_clients(connection: Connection) -> dict[str, str]:
    found = connection.properties()
    return {key: value for key, value in found.items() if not key.startswith("config.providers")}


def test_properties_come_from_variables_and_secrets_as_references_to_them() -> None:
    environment = {
        "KAPPA_KAFKA_BOOTSTRAP_SERVERS": "a:9092,b:9092",
        "KAPPA_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAPPA_KAFKA_SASL_JAAS_CONFIG": JAAS,
        "KAPPA_KAFKA_SSL_KEYSTORE_KEY": "canary-key",
        "KAPPA_KAFKA_HUB_BOOTSTRAP_SERVERS": "hub:9093",
        "KAPPA_LAKE": "lake",
    }
    connection = Connection(None, environment)
    assert given_to_clients(connection) == {
        "bootstrap.servers": "a:9092,b:9092",
        "security.protocol": "SASL_SSL",
        "sasl.jaas.config": "${env:KAPPA_KAFKA_SASL_JAAS_CONFIG}",
        "ssl.keystore.key": "${env:KAPPA_KAFKA_SSL_KEYSTORE_KEY}",
    }
    assert connection.properties()["config.providers"] == "env,file"
    assert given_to_clients(Connection("hub", environment)) == {"bootstrap.servers": "hub:9093"}
    said = connection.without_secrets(f"in {JAAS} and 'canary-4711' and canary-key at a:9092")
    assert said == "in *** and '***' and *** at a:9092"
    assert "canary" not in repr(connection)


def test_properties_come_from_a_file_and_variables_win(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text(FILE)
    connection = Connection(None, {"KAPPA_KAFKA_PROPERTIES": str(file), "KAPPA_KAFKA_BOOTSTRAP_SERVERS": "a:9092"})
    assert given_to_clients(connection) == {
        "bootstrap.servers": "a:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": f"${{file:{file}:sasl.jaas.config}}",
        "ssl.truststore.location": "/etc/kafka/trust.jks",
        "ssl.truststore.password": "${env:TRUST}",
    }
    assert connection.without_secrets("refused: canary-4712") == "refused: ***"


@pytest.mark.parametrize("wrong", ["auto.offset.reset=latest", "isolation.level=read_uncommitted", "group.id=a"])
def test_a_file_does_not_say_which_records_are_read(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "client.properties"
    file.write_text(f"bootstrap.servers=a:9092\n{wrong}\n")
    with pytest.raises(SetupError, match=f"KAPPA_KAFKA_PROPERTIES set {wrong.partition('=')[0]}, which is not theirs"):
        Connection(None, {"KAPPA_KAFKA_PROPERTIES": str(file)}).properties()


def test_a_connection_that_is_not_told_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no brokers of Kafka are named: KAPPA_KAFKA_HUB_BOOTSTRAP_SERVERS is not set"):
        Connection("hub", {"KAPPA_KAFKA_BOOTSTRAP_SERVERS": "a:9092"}).properties()
    with pytest.raises(SetupError, match=r"cannot be read: .*none.properties: FileNotFoundError"):
        Connection(None, {"KAPPA_KAFKA_PROPERTIES": str(tmp_path / "none.properties")}).properties()
    with pytest.raises(SetupError, match="find no path with ':'"):
        Connection(None, {"KAPPA_KAFKA_PROPERTIES": "/a:b"}).properties()


PARTITIONS = st.sampled_from(["0", "1", "2", "10"])


@given(
    stands=st.dictionaries(PARTITIONS, st.integers(0, 9)),
    holds=st.dictionaries(PARTITIONS, st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted)),
)
def test_a_tape_goes_on_only_when_no_record_between_it_and_the_brokers_is_missing(
    stands: dict[str, int], holds: dict[str, list[int]]
) -> None:
    """The oracle takes each offset that the tape has not, and asks whether the brokers have it or will have it."""
    topic = Topic("id", {partition: Range(*between) for partition, between in holds.items()})
    missing = set()
    for partition in stands.keys() | holds.keys() if stands else ():
        first, end = holds.get(partition, (None, None))
        stand = stands.get(partition, 0)
        if first is None or end is None or end < stand or set(range(stand, first)):
            missing.add(partition)
    if not missing:
        check_nothing_lost(ORDERS, lost_of("orders", topic, "id", stands))
        return
    with pytest.raises(RowsLost) as lost:
        check_nothing_lost(ORDERS, lost_of("orders", topic, "id", stands))
    assert all(f"partition {partition} " in lost.value.what for partition in missing)
    assert lost.value.what.count("partition ") == len(missing)


def test_a_topic_with_another_id_is_another_topic() -> None:
    check_same_topic(ORDERS, "orders", None, "a")
    check_same_topic(ORDERS, "orders", "a", "a", "b")
    with pytest.raises(RowsLost, match=r"its id was a and is b[^$]*kappa accept-loss bronze.orders --reason"):
        check_same_topic(ORDERS, "orders", "a", "b")
    with pytest.raises(RowsLost, match=r"its id was a and is b[^$]*its query begins anew"):
        check_same_topic(ORDERS, "orders", None, "b", "a")


# --- what the offsets of a checkpoint mean: Spark's files, written as Spark writes them ----------------------------
class Logs:
    """A checkpoint of Spark's reader of Kafka, and what the broker has: partitions that grow, and more of them."""

    def __init__(self, folder: Path, begins: dict[str, int]) -> None:
        self.folder, self.begins, self.number = folder, begins, 0
        self.reached = dict(begins)
        (folder / "offsets").mkdir(parents=True)
        (folder / "sources" / "0").mkdir(parents=True)
        (folder / "sources" / "0" / "0").write_text("\0v1\n" + json.dumps({"orders": begins}))

    def log(self, until: dict[str, int]) -> int:
        self.reached = until
        (self.folder / "offsets" / str(self.number)).write_text("v1\n{}\n" + json.dumps({"orders": until}))
        self.number += 1
        return self.number - 1


@given(data=st.data())
def test_ranges_tile_whatever_partitions_come_and_whenever_the_checkpoint_is_lost(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("ranges")
    given_it = Given(TableName.parse("bronze.orders"), Lake.at(root / "lake"), root, Checkpoint(root), 1)
    source = KafkaSource(Kafka("orders"), given_it)
    first = data.draw(st.integers(0, 3))
    ends, stands, taken = {"0": first}, dict[str, int](), dict[str, list[int]]()
    logs = None
    for step in range(data.draw(st.integers(1, 8))):
        if data.draw(st.booleans()):
            ends[str(len(ends))] = 0
        ends = {partition: end + data.draw(st.integers(0, 3)) for partition, end in ends.items()}
        if logs is None or data.draw(st.booleans()):
            # Lost, or new: it begins where the tape stands, as `stream` tells Spark to.
            logs = Logs(root / str(step), {p: stands.get(p, first if p == "0" and not stands else 0) for p in ends})
        # A batch may take less than there is, of the partitions that Spark knew when it looked.
        until = {p: data.draw(st.integers(logs.reached.get(p, 0), end)) for p, end in ends.items()}
        offsets = Offsets(Checkpoint(logs.folder), logs.log(until), stands)
        ranges = next_ranges("bronze.orders", source, offsets)
        for partition, (since, end) in ranges.items():
            taken.setdefault(partition, []).extend(range(since, end))
        stands = {partition: end for partition, (_, end) in ranges.items()}
        assert stands == until
    for partition, numbers in taken.items():
        assert numbers == list(range(first if partition == "0" else 0, stands[partition]))


def test_a_checkpoint_that_does_not_say_where_it_began_is_not_believed(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "logs", {"0": 0})
    offsets = Offsets(Checkpoint(logs.folder), logs.log({"0": 3}), {})
    (logs.folder / "sources" / "0" / "0").unlink()
    given_it = Given(TableName.parse("bronze.orders"), Lake.at(tmp_path / "lake"), tmp_path, Checkpoint(tmp_path), 1)
    with pytest.raises(CheckpointMismatch, match="does not say where it began"):
        KafkaSource(Kafka("orders"), given_it).ranges(offsets)


def test_what_is_unread_is_what_spark_has_seen_and_not_taken(tmp_path: Path) -> None:
    given_it = Given(TableName.parse("bronze.orders"), Lake.at(tmp_path / "lake"), tmp_path, Checkpoint(tmp_path), 1)
    source = KafkaSource(Kafka("orders"), given_it)
    seen = {"endOffset": {"orders": {"0": 3, "1": 5}}, "latestOffset": {"orders": {"0": 10, "1": 5, "2": 4}}}
    assert source.unread(lambda: {"sources": [seen]}) == {"0": 7, "1": 0, "2": 4}
    assert source.unread(dict) is None
    assert source.unread(lambda: {"sources": [{"endOffset": None, "latestOffset": seen["latestOffset"]}]}) is None
    one = QueryStatus("bronze.orders", 1, "running", source="kafka:orders", unread={"0": 7}, unread_seconds=3.0)
    files = QueryStatus("bronze.orders", 1, "waiting", source="files:archive")
    host = HostStatus(1, "stream", "now", "then", 1, (one, files))
    assert (told := host.query("bronze.orders")) is not None
    assert (told.unread, told.unread_seconds, told.source) == ({"kafka:orders 0": 7}, 3.0, "files:archive")
    assert HostStatus(1, "stream", "now", "then", 1, (one,)).query("bronze.orders") == one
