"""A topic of Kafka as where a Bronze table's rows come from. A value only; `kappa_assets.sources.kafka` reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from kappa_assets.declare.origin import Origin, origin_of_caller
from kappa_assets.declare.source import DeclaredSource, Form
from kappa_assets.errors import DeclarationError

_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
"""What Kafka itself takes as the name of a topic."""
_CONNECTION = re.compile(r"(?!bootstrap|properties|sasl|security|ssl)[a-z][a-z0-9_]{0,63}")
"""Its variables must not look like those of the connection without a name."""
_OF_OFFSETS = re.compile(r"offset|timestamp|starting|ending|earliest|latest", re.IGNORECASE)


@dataclass(frozen=True)
class Kafka(DeclaredSource):
    """A topic of Kafka, read from its earliest record on: each record once, as it came.

    What is on the tape is not read again, and what is not on it is: the tape's notes hold the range of each partition
    that a commit took, and a lost checkpoint goes on where they end. Of transactions only what was committed is read.

    Rows have `value` in bytes, and in `_source` the record's `partition`, `offset`, `timestamp`, `timestamp_type`
    (`CreateTime` or `LogAppendTime`), `key` in bytes and `headers`, each a `key` and a `value` in bytes. The timestamp
    is also when the row arrived. On a tape that had lines of files before a topic came, `value` is text of the same
    bytes: `value.cast("binary")` gives them back.

    Which brokers, and how to log in there, is never said here: it is read from the environment when a host starts.
    `KAPPA_KAFKA_BOOTSTRAP_SERVERS`, `KAPPA_KAFKA_SECURITY_PROTOCOL`, `KAPPA_KAFKA_SASL_...` and `KAPPA_KAFKA_SSL_...`
    are Kafka's client properties in capitals; `KAPPA_KAFKA_PROPERTIES` is a file of them, such as Kafka's own tools
    take.

    Args:
        topic: its name.
        connection: which cluster, where there are several: the variables of `connection="hub"` are
            `KAPPA_KAFKA_HUB_...`.
        records_per_batch: how many records a batch takes at most, of all partitions together. Spark's reader counts
            offsets and no bytes; of large records say fewer: a batch of 500,000 records of 2 kB each is a gigabyte.
    """

    changes_no_row = ("connection", "origin", "records_per_batch")
    always_told = ("topic",)
    packages: ClassVar[tuple[str, ...]] = ("org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0",)

    topic: str
    connection: str | None = None
    records_per_batch: int = 500_000
    origin: Origin | None = None

    def __new__(cls, *_: object, **options: object) -> Self:
        """Refuse what is no option of a topic, before Python does, with what to do instead; no value is repeated."""
        for name in sorted(options.keys() - {field.name for field in fields(cls)}):
            origin = origin_of_caller()
            if _OF_OFFSETS.search(name):
                raise DeclarationError(
                    f"Kafka takes no {name}: where a tape goes on is told by the tape, and by nobody else",
                    origin=origin,
                    hint="A new tape begins with the earliest record that the broker has. An offset that somebody "
                    "types loses records, or brings them twice; to begin anew, make another tape.",
                )
            raise DeclarationError(
                f"Kafka takes no {name}: brokers, passwords and other properties of a client stand in no code",
                origin=origin,
                hint="Set KAPPA_KAFKA_BOOTSTRAP_SERVERS, KAPPA_KAFKA_SASL_..., KAPPA_KAFKA_SSL_... in the environment, "
                "or KAPPA_KAFKA_PROPERTIES to a file of client properties.",
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if self.origin is None:
            object.__setattr__(self, "origin", origin_of_caller(depth=2))
        if not isinstance(self.topic, str) or not _TOPIC.fullmatch(self.topic):
            self._refuse(
                f"topic must be the name of one topic of Kafka; got {self.topic!r}",
                "Letters, digits, dots, underscores and hyphens; a source each for several topics.",
            )
        named = self.connection
        if named is not None and not (isinstance(named, str) and _CONNECTION.fullmatch(named)):
            self._refuse(
                "connection must be a short name in lower case, and no address",
                "connection='hub' has its brokers in KAPPA_KAFKA_HUB_BOOTSTRAP_SERVERS.",
            )
        most = self.records_per_batch
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            self._refuse(f"records_per_batch must be a number from 1 on; got {most!r}", "Leave it out, or mend it.")

    def _refuse(self, what: str, hint: str) -> None:
        raise DeclarationError(what, origin=self.origin, hint=hint)

    @property
    def gives(self) -> Mapping[str, Form]:
        """The value of a record, as it came."""
        return {"value": "bytes"}

    @property
    def label(self) -> str:
        """The name of this source in metadata and in transaction ids: `kafka:` and the topic.

        Not the connection: a cluster may move, and the topic's own id tells whether it is still the same.
        """
        return f"kafka:{self.topic}"
