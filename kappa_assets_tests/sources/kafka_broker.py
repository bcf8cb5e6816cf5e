"""A real broker, as the demo starts it, and what tests do with its topics."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from py4j.java_gateway import JavaMember  # type: ignore[import-untyped]  # py4j ships no types
from py4j.protocol import STATIC_PREFIX  # type: ignore[import-untyped]  # py4j ships no types

from kappa_assets.demo import broker

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PASSWORD = "canary-4711"
"""Of the user `app`, on the listener that asks for one: it must stand nowhere."""


class Sent(NamedTuple):
    """A record that a broker has acknowledged."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Broker(broker.Broker):
    """The demo's broker, with a listener that asks for a password too, and rights."""

    protocols = (("LOGIN", "SASL_PLAINTEXT"),)
    more = f"""
listener.name.login.sasl.enabled.mechanisms=PLAIN
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
 user_app="{PASSWORD}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
log.cleaner.backoff.ms=100
"""

    def cluster(self) -> str:
        """One that begins as an option does, as one in 64 does by chance."""
        return "-" + super().cluster()[1:]

    @property
    def login(self) -> int:
        """The port of that listener."""
        return self.others[0]

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Have it do its work within a fifth of the time: it is stopped and let go in turn."""
        process, done = self._process, threading.Event()
        assert process is not None

        def in_turn() -> None:
            while not done.wait(0.05):
                process.send_signal(signal.SIGSTOP)
                done.wait(0.2)
                process.send_signal(signal.SIGCONT)

        thread = threading.Thread(target=in_turn)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def bytes_kept(self, topic: str) -> int:
        """Return how much the broker keeps of the first partition of a topic: it shrinks when that is compacted."""
        logs = (self.folder / "logs" / f"{topic}-0").glob("*.log")
        return sum(path.stat().st_size for path in logs if path.exists())


class Client:
    """What tests do with a broker, by the client that Spark has loaded. Topics are made, filled, enlarged, deleted."""

    def __init__(self, spark: SparkSession, address: str) -> None:
        java: Any = spark._jvm
        self._java, self._address = java, address
        self._admin = java.org.apache.kafka.clients.admin.AdminClient.create(self._map())

    def close(self) -> None:
        self._admin.close()

    def topics(self) -> list[str]:
        return list(self._admin.listTopics().names().get())

    def make(self, topic: str, partitions: int = 1, **config: str) -> None:
        kind = self._java.org.apache.kafka.clients.admin.NewTopic
        given = self._java.java.util.Optional
        made = kind(topic, given.of(partitions), given.empty()).configs(self._map_of(config))
        self._admin.createTopics(self._one(made)).all().get()

    def may_only_describe(self, topic: str, user: str = "app") -> None:
        """Take away from a user, until `may_do_all`, the right to read a topic."""
        acl, resource = self._java.org.apache.kafka.common.acl, self._resource(topic)
        may = acl.AccessControlEntry(f"User:{user}", "*", acl.AclOperation.DESCRIBE, acl.AclPermissionType.ALLOW)
        self._admin.createAcls(self._one(acl.AclBinding(resource, may))).all().get()

    def may_do_all(self, topic: str) -> None:
        """Give everybody all rights on a topic back."""
        acl, resource = self._java.org.apache.kafka.common.acl, self._resource(topic)
        rights = acl.AclBindingFilter(resource.toFilter(), acl.AccessControlEntryFilter.ANY)
        self._admin.deleteAcls(self._one(rights)).all().get()

    def _resource(self, topic: str) -> Any:
        java = self._java.org.apache.kafka.common.resource
        return java.ResourcePattern(java.ResourceType.TOPIC, topic, java.PatternType.LITERAL)

    def enlarge(self, topic: str, partitions: int) -> None:
        to = self._java.org.apache.kafka.clients.admin.NewPartitions.increaseTo(partitions)
        self._admin.createPartitions(self._java.java.util.Collections.singletonMap(topic, to)).all().get()

    def delete(self, topic: str) -> None:
        self._admin.deleteTopics(self._one(topic)).all().get()

    def forget_before(self, topic: str, partition: int, offset: int) -> None:
        """Have the broker delete what retention would delete."""
        at = self._java.org.apache.kafka.common.TopicPartition(topic, partition)
        kind = self._java.org.apache.kafka.clients.admin.RecordsToDelete
        # It has a static method and another one of that name, of which py4j finds the other one alone.
        make = JavaMember("beforeOffset", None, STATIC_PREFIX + kind._fqn, kind._gateway_client)
        before = make(offset)
        self._admin.deleteRecords(self._java.java.util.Collections.singletonMap(at, before)).all().get()

    def send(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = None,
        timestamp: int | None = None,
        headers: Mapping[str, bytes] | None = None,
        transaction: str | None = None,
        abort: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> list[Sent]:
        """Send records and return them as acknowledged. `transaction`: all in one, by this id; `abort`: taken back.

        `timestamp`: milliseconds from 2**31 on, which are a Long of Java's. `settings`: the producer's, beside ours.
        """
        serializer = "org.apache.kafka.common.serialization.ByteArraySerializer"
        given = {"key.serializer": serializer, "value.serializer": serializer, "acks": "all"} | dict(settings or {})
        if transaction is not None:
            given["transactional.id"] = transaction
        producer = self._java.org.apache.kafka.clients.producer.KafkaProducer(self._map(**given))
        try:
            if transaction is not None:
                producer.initTransactions()
                producer.beginTransaction()
            told = self._java.org.apache.kafka.common.header.internals.RecordHeaders()
            for name, content in (headers or {}).items():
                told.add(name, content)
            sent = []
            for value in values:
                record = self._java.org.apache.kafka.clients.producer.ProducerRecord(
                    topic, partition, timestamp, key, value, told
                )
                sent.append((producer.send(record), value))
            producer.flush()
            if transaction is not None:
                producer.abortTransaction() if abort else producer.commitTransaction()
            answers = [(future.get(), value) for future, value in sent]
            return [] if abort else [Sent(a.partition(), a.offset(), key, value) for a, value in answers]
        finally:
            producer.close()

    def _map(self, **more: str) -> Any:
        return self._map_of({"bootstrap.servers": self._address} | more)

    def _map_of(self, content: Mapping[str, str]) -> Any:
        made = self._java.java.util.HashMap()
        for key, value in content.items():
            made.put(key.replace("_", "."), value)
        return made

    def _one(self, thing: Any) -> Any:
        return self._java.java.util.Collections.singletonList(thing)
