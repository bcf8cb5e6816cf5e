"""What a broker holds of a topic, read by the feed's client; and a broker that forgets its topics after each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

Records = dict[tuple[int, int], bytes | None]
"""Values by partition and offset."""


def records_of(address: str, topic: str) -> Records:
    """Return all records of a topic, from the earliest to what is its end now."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "a_test", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30)[1] for p in partitions}
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p, end in ends.items() if end])
        found: Records = {}
        while len(found) < sum(ends.values()):
            message = consumer.poll(30)
            assert message is not None, f"{len(found)} of {ends} came"
            assert message.error() is None, message.error()
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            found[partition, offset] = message.value()
        return found
    finally:
        consumer.close()


@contextmanager
def forgetting(address: str) -> Iterator[None]:
    """Delete all topics after the block."""
    try:
        yield
    finally:
        admin = AdminClient({"bootstrap.servers": address})
        topics = [topic for topic in admin.list_topics(timeout=30).topics if not topic.startswith("_")]
        for deleted in admin.delete_topics(topics).values() if topics else ():
            deleted.result(timeout=30)
