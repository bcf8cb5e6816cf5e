"""The source of a topic: Spark's own reader, begun where the tape stands, and what it reads told apart by offsets.

Spark logs the range of a batch before it reads it, reads the same range at every try, and takes in partitions that come
later: that is all a tape needs of a checkpoint, and what is in is told by the ranges in the tape's notes. So nothing is
planned here, as it is for files, whose names say nothing of what was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructField, StructType

from kappa_assets.columns import ARRIVED_AT, SOURCE
from kappa_assets.declare.kafka import Kafka
from kappa_assets.errors import CheckpointMismatch
from kappa_assets.log.delta_log import newest_of_tape
from kappa_assets.log.note import ACCEPTED_LOSS, INCARNATION
from kappa_assets.place.registry import AcceptedLoss, Registry
from kappa_assets.sources.kafka.connection import Connection
from kappa_assets.sources.kafka.lost import check_nothing_lost, check_same_topic, lost_of
from kappa_assets.sources.kafka.topic import Brokers
from kappa_assets.sources.source import Batch, Given, Lost, Offsets, Range, Source, Taken
from kappa_assets.sources.standings import Standing, standing_of

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_FEW = 100
"""Records up to which this process writes a batch by itself. Nobody knows their bytes before they are read: a broker
takes 1 MB for one by default."""


@dataclass(frozen=True, kw_only=True)
class _TakenRecords(Taken):
    """What is made of a batch, and the id of the topic that it is read from."""

    topic_id: str


class KafkaSource(Source):
    """Reads one topic. Its parts are the partitions; an offset that the tape has is never asked for again."""

    columns = StructType([StructField("value", BinaryType())])
    may_lose = True

    def __init__(self, declared: Kafka, given: Given) -> None:
        self._declared, self._given = declared, given
        self._connection = Connection(declared.connection)
        self._brokers = Brokers(self._connection, declared.topic)
        self._begun_with: str | None = None
        self._accepted: AcceptedLoss | None = None

    def check(self) -> str | None:
        """Take in what was accepted as lost since, and return why the checkpoint does not hold any more.

        Of a tape that has nothing of the topic a checkpoint says nothing either: what it planned may be of a topic that
        was deleted and made anew since, or be gone; and the tape begins with what there is.
        """
        table, label = self._given.table, self._declared.label
        losses = Registry(self._given.lake).state().losses_of(table)
        self._accepted = next((loss for loss in reversed(losses) if loss.source == label), None)
        standing = self._on_tape()
        if standing is None:
            return "has planned what is not on the tape" if self._given.checkpoint.newest_begun() is not None else None
        return "goes on behind what was accepted as lost" if self._passes_over(standing) else None

    def goes_on(self, standing: Standing | None) -> Standing | None:
        """Return where the tape goes on: behind what was accepted as lost, until it has a commit from there."""
        accepted = self._accepted
        if standing is None or accepted is None or not self._passes_over(standing):
            return standing
        ranges = {partition: (at, at) for partition, at in accepted.begins.items()}
        return replace(standing, ranges=ranges, incarnation=accepted.incarnation)

    def lost(self, spark: SparkSession, standing: Standing | None) -> Lost | None:
        """Return what the brokers do not have any more of what a tape that stands there needs."""
        if standing is None:
            return None
        topic = self._brokers.topic(spark)
        return lost_of(self._declared.topic, topic, standing.incarnation, standing.stands)

    def stream(self, spark: SparkSession, stands: Mapping[str, int]) -> DataFrame:
        """Return the stream of the topic from where the tape stands; of a partition that it lacks, from the earliest.

        Raises RowsLost when the topic is another one, or has lost what is needed; SourceError when nobody can be asked.
        """
        topic = self._brokers.topic(spark)
        check_nothing_lost(self._given.table, lost_of(self._declared.topic, topic, self._known_id(), stands))
        self._begun_with = topic.id
        begin = {partition: stands.get(partition, holds.since) for partition, holds in topic.holds.items()}
        return (
            spark.readStream.format("kafka")
            .options(**{f"kafka.{key}": value for key, value in self._connection.properties().items()})
            .option("kafka.isolation.level", "read_committed")
            .option("subscribe", self._declared.topic)
            .option("startingOffsets", json.dumps({self._declared.topic: begin}))
            .option("maxOffsetsPerTrigger", self._declared.records_per_batch)
            .option("includeHeaders", "true")
            .option("failOnDataLoss", "true")
            .load()
        )

    def ranges(self, offsets: Offsets) -> Mapping[str, Range]:
        """Return what a batch takes of each partition. One that came while the query ran begins with 0."""
        topic = self._declared.topic
        until: Mapping[str, int] = offsets.until[topic]
        since: Mapping[str, int] = _began(offsets)[topic] if offsets.since is None else offsets.since[topic]
        return {partition: Range(since.get(partition, 0), end) for partition, end in until.items()}

    def read(self, batch: Batch) -> Taken:
        """Return the records of a batch as they came. Raises RowsLost when the topic is another one by now."""
        topic_id = self._brokers.topic_id(batch.rows.sparkSession)
        check_same_topic(self._given.table, self._declared.topic, self._known_id(), topic_id, self._begun_with)
        records = sum(until - since for since, until in self.ranges(batch.offsets).values())
        return _TakenRecords(
            rows=batch.rows.select("value", _where_from(), _arrived()),
            facts={INCARNATION: topic_id} | self._passed_over(),
            small=records <= _FEW,
            topic_id=topic_id,
        )

    def again(self, batch: Batch, taken: Taken, error: Exception | None) -> None:
        """See to it that all was read from one and the same topic, and say what is lost when it could not be read.

        A topic that is deleted and made anew has another id for ever: so what had this one before and after was it.
        """
        assert isinstance(taken, _TakenRecords)  # noqa: S101 -- for mypy; what `read` has returned
        spark, name = batch.rows.sparkSession, self._declared.topic
        if error is None:
            check_same_topic(self._given.table, name, taken.topic_id, self._brokers.topic_id(spark))
            return
        topic = self._brokers.topic(spark)
        check_nothing_lost(self._given.table, lost_of(name, topic, taken.topic_id, batch.offsets.stands))
        told = self._brokers.explained(error)
        raise error if told is None else told

    def unread(self, progress: Callable[[], Mapping[str, Any]]) -> Mapping[str, int] | None:
        """Return how many offsets of each partition lie between what was taken and the end that Spark has seen last."""
        told: Mapping[str, Any] = next(iter(progress().get("sources", ())), {})
        end, latest = ((told.get(name) or {}).get(self._declared.topic) for name in ("endOffset", "latestOffset"))
        if end is None or latest is None:
            return None
        return {partition: max(0, until - end.get(partition, 0)) for partition, until in latest.items()}

    def _known_id(self) -> str | None:
        """Return the id of the topic that the tape is read from; None of a tape that has nothing of it."""
        standing = self.goes_on(self._on_tape())
        return None if standing is None else standing.incarnation

    def _on_tape(self) -> Standing | None:
        return standing_of(newest_of_tape(self._given.lake.table(self._given.table)), self._declared.label)

    def _passes_over(self, standing: Standing | None) -> bool:
        """Return whether the tape stands where something was accepted as lost."""
        accepted = self._accepted
        return accepted is not None and standing is not None and accepted.stood == (standing.checkpoint, standing.batch)

    def _passed_over(self) -> dict[str, Any]:
        """Return what the note of the first commit behind an accepted loss says of it; nothing of any other."""
        accepted = self._accepted
        if accepted is None or not self._passes_over(self._on_tape()):
            return {}
        told = {"by": accepted.by, "at": accepted.at, "reason": accepted.reason, "missing": dict(accepted.missing)}
        return {ACCEPTED_LOSS: told}


def _began(offsets: Offsets) -> Mapping[str, Mapping[str, int]]:
    """Return the offsets that the first batch of a checkpoint began with: Spark writes them down before it."""
    text = offsets.checkpoint.files.entry("sources/0", 0) or ""
    if "{" not in text:
        raise CheckpointMismatch(
            f"the checkpoint {offsets.checkpoint.location!r} does not say where it began: sources/0/0 is not there",
            hint="Remove the checkpoint: a new one goes on where the tape stands.",
        )
    began: Mapping[str, Mapping[str, int]] = json.loads(text[text.index("{") :])
    return began


def _where_from() -> Column:
    """Return `_source`. The type of a timestamp is called as Kafka calls it; a record may have none."""
    kind = F.col("timestampType")
    return F.struct(
        F.when(kind == 0, "CreateTime").when(kind == 1, "LogAppendTime").alias("timestamp_type"),
        "partition",
        "offset",
        "timestamp",
        "key",
        "headers",
    ).alias(SOURCE)


def _arrived() -> Column:
    """Return the time of a record; nothing for one that has none, which Spark gives as a millisecond before 1970."""
    return F.when(F.col("timestampType") >= 0, F.col("timestamp")).alias(ARRIVED_AT)
