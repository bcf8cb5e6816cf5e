"""A feed into topics: each event a record, acknowledged by the brokers before it counts as sent.

Brokers and how to log in are those of the sources, from the environment; what Java's clients call otherwise is
translated.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kappa_assets.errors import SetupError, SourceError
from kappa_assets.feed.events import STREAMS, Event
from kappa_assets.feed.feed import Answer
from kappa_assets.feed.journal import Entry, Place
from kappa_assets.sources.kafka.connection import Connection

if TYPE_CHECKING:
    from confluent_kafka import Message, Producer

_TAKEN_AS_THEY_ARE = ("bootstrap.servers", "security.protocol", "sasl.mechanism", "client.id")
_OF_PEM = {"ssl.truststore.location": "ssl.ca.location", "ssl.truststore.type": ""}
"""What is taken where certificates are given as PEM, the one form that both clients read."""
_JAAS = re.compile(r"(username|password)\s*=\s*([\"'])(.*?)\2")
_PATIENCE_S = 10.0
_GIVEN_UP_AFTER_MS = 120_000
"""How long an event is sent again to brokers that are away, before it is told as one that may have arrived."""


class Topics:
    """Sends to the topics `invoices` and `customer_changes`, which are made where they are not there."""

    every = 0.1

    def __init__(self, partitions: int = 1, patience_ms: int = _GIVEN_UP_AFTER_MS) -> None:
        try:
            import confluent_kafka
        except ImportError as error:
            raise SetupError(
                "the library that sends to Kafka is not installed",
                hint="pip install 'kappa_assets[kafka]'",
            ) from error
        self._connection = Connection()
        given = of_librdkafka(self._connection.of_other_clients())
        self._told = logging.getLogger("kappa_assets.feed")
        self._make_topics(given, partitions)
        # Idempotent: what the client sends again after a lost answer is there once, and in order.
        how = {"enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": patience_ms}
        self._producer: Producer = confluent_kafka.Producer({**given, **how}, logger=self._told)

    def prepare(self, invoices: tuple[int, int], events: Sequence[Event]) -> None:
        """Do nothing: what a topic gets is seen at once."""
        del invoices, events

    def send(self, entry: Entry, events: Sequence[Event]) -> Answer:
        """Send a batch, and wait until the brokers have said yes or no to each event."""
        del entry
        places: dict[str, list[Place]] = {}
        refused: list[str] = []
        for event in events:
            of_topic = places.setdefault(event.stream, [])
            of_topic.append(None)
            self._produce(event, _noting(of_topic, refused))
        self._producer.flush()
        everything = not any(None in of_topic for of_topic in places.values())
        return Answer(everything, places, self._connection.without_secrets(refused[0]) if refused else "")

    def settle(self, entry: Entry) -> Answer:
        """Say that nobody knows what of a batch has arrived."""
        return Answer(everything=False, acknowledged=entry.acknowledged)

    def _produce(self, event: Event, noted: Callable[[Any, Message], None]) -> None:
        while True:
            try:
                self._producer.produce(event.stream, event.json.encode(), event.key.encode(), on_delivery=noted)
            except BufferError:  # a hundred thousand are on their way
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _make_topics(self, given: Mapping[str, Any], partitions: int) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        try:
            admin = AdminClient(dict(given), logger=self._told)
            there = admin.list_topics(timeout=_PATIENCE_S).topics
            missing = [NewTopic(stream, num_partitions=partitions) for stream in STREAMS if stream not in there]
            for made in admin.create_topics(missing).values() if missing else ():
                made.result(timeout=_PATIENCE_S)
        except KafkaException as error:
            raise SourceError(
                f"the feed cannot send to Kafka: {self._connection.without_secrets(str(error.args[0]))}",
                hint="Look whether the brokers run, and are reached from here with what the environment says.",
            ) from None


def of_librdkafka(properties: Mapping[str, str]) -> dict[str, str]:
    """Return properties of Java's clients as the feed's client calls them. Raises SetupError for one that it has not.

    The user and the password are taken out of the line of JAAS.
    """
    found: dict[str, str] = {}
    for name, value in properties.items():
        if name in _TAKEN_AS_THEY_ARE:
            found[name] = value
        elif name in _OF_PEM and properties.get("ssl.truststore.type") == "PEM":
            found |= {_OF_PEM[name]: value} if _OF_PEM[name] else {}
        elif name == "sasl.jaas.config":
            found |= {f"sasl.{what}": said for what, _, said in _JAAS.findall(value)}
        elif not name.endswith((".timeout.ms", ".backoff.ms")):
            raise SetupError(
                f"the feed's client of Kafka knows no {name}",
                hint=f"It takes {', '.join((*_TAKEN_AS_THEY_ARE, 'sasl.jaas.config'))}, and "
                "ssl.truststore.location with ssl.truststore.type=PEM.",
            )
    return found


def _noting(places: list[Place], refused: list[str]) -> Callable[[Any, Message], None]:
    at = len(places) - 1

    def noted(error: Any, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        if error is None and partition is not None and offset is not None:
            places[at] = (partition, offset)
        else:
            refused.append(str(error))

    return noted
