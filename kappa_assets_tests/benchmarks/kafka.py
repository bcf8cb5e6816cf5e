"""A topic onto a tape, against Spark's reader with Delta's sink; its replay, against one of the same from files."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Kafka, Pipeline, bronze, silver
from kappa_assets.declare.tables import Bronze
from kappa_assets.host.assemble import query_of, tapes_of
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import Setting
from kappa_assets.kinds.tape.tape_query import TapeQuery
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.benchmarks.rounds import Result, median_ratio, say, side_by_side
from kappa_assets_tests.benchmarks.scene import answer, first_generation_of, numbered, packaged_lines, table_answer
from kappa_assets_tests.sources.kafka_broker import Broker

_PARTITIONS = 4
_READ = ("customer", "cents", "note")
_TOLD = ("value",)

of_topic = bronze("events", source=Kafka("events"))
of_files = bronze("events", source=Files("events", format="text"))


@silver
def read_events(events: DataFrame) -> DataFrame:
    """Each event, read from its JSON: the same function of a topic's bytes and of a file's lines."""
    told = F.from_json(F.col("value").cast("string"), "customer STRING, cents BIGINT, note STRING")
    return events.select(*[told[name].alias(name) for name in _READ], *LINEAGE)


def kafka(spark: SparkSession, root: Path, *, rows: int, rounds: int) -> list[Result]:
    """Both benchmarks, with a broker of their own beside."""
    broker = Broker(root / "broker")
    broker.start()
    os.environ["KAPPA_KAFKA_BOOTSTRAP_SERVERS"] = broker.address
    try:
        say(f"kafka: sending {rows:,} records")
        sent = _send(spark, root, broker, rows)
        return [_onto_a_tape(spark, root, broker, sent, rows, rounds), _replayed(spark, root, rows, rounds)]
    finally:
        del os.environ["KAPPA_KAFKA_BOOTSTRAP_SERVERS"]
        broker.kill()


def _send(spark: SparkSession, root: Path, broker: Broker, rows: int) -> tuple[int, str]:
    """Write the same records into files and into the topic, and return their answer: the journal of what was sent."""
    notes = F.array(*[F.lit(line) for line in packaged_lines()[:50]])
    told = F.struct(
        F.concat(F.lit("c"), F.col("id") % 5_000).alias("customer"),
        (F.col("id") * 7_919 % 100_000).alias("cents"),
        F.element_at(notes, (F.col("id") % 50 + 1).cast("int")).alias("note"),
    )
    events = spark.range(0, rows, 1, 2 * _PARTITIONS).select(F.to_json(told).alias("value"))
    events.write.text(str(root / "landing" / "events"))
    lines = spark.read.text(str(root / "landing" / "events"))
    _make_topic(spark, broker)
    lines.write.format("kafka").option("kafka.bootstrap.servers", broker.address).option("topic", "events").save()
    return answer(lines, _TOLD)


def _make_topic(spark: SparkSession, broker: Broker) -> None:
    from kappa_assets_tests.sources.kafka_broker import Client

    client = Client(spark, broker.address)
    client.make("events", partitions=_PARTITIONS)
    client.close()


def _onto_a_tape(
    spark: SparkSession, root: Path, broker: Broker, sent: tuple[int, str], rows: int, rounds: int
) -> Result:
    """The tape's query over the whole topic / Spark's reader with the same bounds into Delta's own sink."""
    ours, plain = numbered(root, "topic-tape"), numbered(root, "topic-plain")
    assert isinstance(of_topic.source, Kafka)
    bound = of_topic.source.records_per_batch

    def by_the_query(_: int) -> tuple[int, str]:
        return _checked(_onto(spark, next(ours), root / "landing", of_topic), sent)

    def by_delta(_: int) -> tuple[int, str]:
        out = next(plain)
        (
            spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", broker.address)
            .option("subscribe", "events")
            .option("startingOffsets", "earliest")
            .option("includeHeaders", "true")
            .option("maxOffsetsPerTrigger", bound)
            .load()
            .writeStream.format("delta")
            .option("checkpointLocation", str(out / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(out / "table"))
            .awaitTermination()
        )
        return _checked(lambda: table_answer(spark, out / "table", _TOLD), sent)

    a, b = side_by_side(by_the_query, by_delta, rounds=rounds)
    return Result(
        f"Kafka: {rows / 1e6:.1f} M records onto a tape, its journal checked / Spark's reader into Delta's own sink",
        f"{rows / statistics.median(a):,.0f} records/s",
        f"{rows / statistics.median(b):,.0f} records/s",
        median_ratio(b, a),
        ">= 0.95",
    )


def _replayed(spark: SparkSession, root: Path, rows: int, rounds: int) -> Result:
    """Silver built from a tape that came from the topic / from one of the same lines that came from files."""
    say("kafka: laying two tapes of the same events")
    tapes = {bronze_: root / f"tape-{number}" for number, bronze_ in enumerate((of_topic, of_files))}
    for declared, folder in tapes.items():
        _onto(spark, folder, root / "landing", declared)
    folders = numbered(root, "read")

    def replayed(declared: Bronze) -> tuple[int, str]:
        lake = Lake.at(next(folders))
        shared = lake.folder(declared.name)
        shared.parent.mkdir(parents=True)
        shared.symlink_to(Lake.at(tapes[declared]).folder(declared.name))
        setting, pipeline = Setting(spark, lake, root), Pipeline.from_tables("kafka", [declared, read_events])
        generation = first_generation_of(read_events)
        Runner(query_of(setting, pipeline, generation, tapes_of(setting, pipeline))).drain(lambda: None)
        return table_answer(spark, lake.folder(read_events.name), _READ)

    a, b = side_by_side(lambda _: replayed(of_topic), lambda _: replayed(of_files), rounds=rounds)
    return Result(
        f"replay of {rows / 1e6:.1f} M events that came from Kafka / of the same from files",
        f"{rows / statistics.median(a):,.0f} rows/s",
        f"{rows / statistics.median(b):,.0f} rows/s",
        median_ratio(b, a),
        ">= 0.95",
    )


def _onto(spark: SparkSession, root: Path, landing: Path, declared: Bronze) -> Callable[[], tuple[int, str]]:
    """Bring all that there is onto a tape of its own, and return what gives its answer."""
    lake = Lake.at(root)
    setting = Setting(spark, lake, landing)
    tapes = tapes_of(setting, Pipeline.from_tables("kafka", [declared]))
    Runner(TapeQuery(setting, declared, tapes[declared.name])).drain(lambda: None)
    return lambda: table_answer(spark, lake.folder(declared.name), _TOLD)


def _checked(found: Callable[[], tuple[int, str]], sent: tuple[int, str]) -> tuple[int, str]:
    """Return a table's answer, which must be that of what was sent."""
    answered = found()
    assert answered == sent, "the table does not hold what was sent"
    return answered
