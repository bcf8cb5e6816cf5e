"""Changes merged: against a MERGE written by hand, batch by batch, and against one batch of window functions."""

from __future__ import annotations

import random
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, cdc, silver
from kappa_assets.declare.tables import Silver
from kappa_assets.host.assemble import query_of, tapes_of
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.kinds.tape.tape_query import TapeQuery
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.benchmarks.rounds import Result, median_ratio, say, side_by_side
from kappa_assets_tests.benchmarks.scene import first_generation_of

BATCHES = 5
changes = bronze("changes", source=Files("changes", format="csv", header=True))
_COLUMNS = ("k", "s", "op", "segment", "amount")


def _logic(changes: DataFrame) -> DataFrame:
    number, amount = F.col("s").cast("bigint").alias("s"), F.col("amount").cast("decimal(12,2)").alias("amount")
    return changes.select("k", number, "op", "segment", amount, *LINEAGE)


def _table(scd: int) -> Silver:
    def customers(changes: DataFrame) -> DataFrame:
        """Customers, as their changes leave them."""
        return _logic(changes)

    return silver(cdc=cdc(keys=["k"], sequence_by="s", delete_when="op = 'x'", scd=scd))(customers)


def merged_changes(spark: SparkSession, root: Path, *, rows: int, keys: int, rounds: int) -> list[Result]:
    """Seconds to apply changes in five batches, against MERGE with tombstones; and all at once, against windows."""
    lake = _lay_tape(spark, root / "changes", rows, keys)
    say(f"changes: {rows:,} of {keys:,} keys")
    ours, theirs = side_by_side(
        lambda n: _ours(spark, lake, root / f"one{n}", 1, Pace(table_files=1)),
        lambda n: _by_merge(spark, lake, root / f"merge{n}"),
        rounds=rounds,
    )
    what = f"SCD1: {rows:,} changes of {keys:,} keys in {BATCHES} batches, rate / MERGE by hand with tombstones"
    first = Result(what, f"{min(ours):.1f} s", f"{min(theirs):.1f} s", 1 / median_ratio(ours, theirs), ">= 0.95")
    ours, theirs = side_by_side(
        lambda n: _ours(spark, lake, root / f"two{n}", 2, Pace()),
        lambda n: _by_window(spark, lake, root / f"window{n}"),
        rounds=rounds,
    )
    what = "SCD2 of the same from inception, time / one batch of window functions"
    return [first, Result(what, f"{min(ours):.1f} s", f"{min(theirs):.1f} s", median_ratio(ours, theirs), "<= 2")]


def _lay_tape(spark: SparkSession, root: Path, rows: int, keys: int) -> Lake:
    """Land changes in no order, of which every tenth deletes, and put them on a tape: a file a commit.

    Of one sequence a delete is the newest: it is called `x`, so that an order by what it is called says so too.
    """
    dice, folder = random.Random(3), root / "landing" / "changes"
    folder.mkdir(parents=True)
    for number in range(BATCHES):
        lines = [_line(dice, keys, number * rows + dice.randrange(2 * rows)) for _ in range(rows // BATCHES)]
        (folder / f"{number}.csv").write_text("\n".join([",".join(_COLUMNS), *lines]) + "\n")
    lake = Lake.at(root / "lake")
    setting = Setting(spark, lake, root / "landing", Pace(landed_files=1))
    pipeline = Pipeline.from_tables("changes", [changes])
    Runner(TapeQuery(setting, changes, tapes_of(setting, pipeline)[changes.name])).drain(lambda: None)
    return lake


def _line(dice: random.Random, keys: int, sequence: int) -> str:
    op = "x" if dice.random() < 0.1 else "u"
    return f"c{dice.randrange(keys):07},{sequence},{op},s{dice.randrange(5)},{dice.randrange(100_000) / 100}"


def _ours(spark: SparkSession, tape: Lake, root: Path, scd: int, pace: Pace) -> Hashable:
    lake, table = Lake.at(root), _table(scd)
    target = lake.folder(changes.name)
    target.parent.mkdir(parents=True)
    target.symlink_to(tape.folder(changes.name))
    pipeline = Pipeline.from_tables("changes", [changes, table])
    setting = Setting(spark, lake, root / "landing", pace)
    query = query_of(setting, pipeline, first_generation_of(table), tapes_of(setting, pipeline))
    Runner(query).drain(lambda: None)
    return _told(lake.table(table.name).read(spark, lake.table(table.name).newest() or 0))


def _by_merge(spark: SparkSession, tape: Lake, root: Path) -> Hashable:
    """Merge the newest change of each key of a batch; a delete stays as a row, so that no older one brings it back."""
    folder, source = root / "table", tape.folder(changes.name)
    empty = _logic(spark.read.format("delta").load(str(source))).limit(0)
    empty.write.format("delta").save(str(folder))

    def merge(batch: DataFrame, number: int) -> None:
        newest = Window.partitionBy("k").orderBy(*(F.desc(name) for name in ("s", "op", "segment", "amount")))
        fresh = _logic(batch).withColumn("place", F.row_number().over(newest)).where("place = 1").drop("place")
        fresh.createOrReplaceTempView("fresh")
        session = batch.sparkSession
        session.conf.set("spark.databricks.delta.write.txnAppId", "merge")
        session.conf.set("spark.databricks.delta.write.txnVersion", str(number))
        try:
            newer = "struct(s.s, s.op, s.segment, s.amount) > struct(t.s, t.op, t.segment, t.amount)"
            session.sql(
                f"MERGE INTO delta.`{folder}` t USING fresh s ON t.k = s.k "
                f"WHEN MATCHED AND {newer} THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            )
        finally:
            session.conf.unset("spark.databricks.delta.write.txnAppId")
            session.conf.unset("spark.databricks.delta.write.txnVersion")

    stream = spark.readStream.format("delta").option("maxFilesPerTrigger", 1).load(str(source))
    writer: Any = stream.writeStream.foreachBatch(merge).option("checkpointLocation", str(root / "checkpoint"))
    writer.trigger(availableNow=True).start().awaitTermination()
    return _told(spark.read.format("delta").load(str(folder)).where("op <> 'x'"))


def _by_window(spark: SparkSession, tape: Lake, root: Path) -> Hashable:
    """Write every version of each key, by window functions over all changes."""
    rows = _logic(spark.read.format("delta").load(str(tape.folder(changes.name))))
    moment = Window.partitionBy("k", "s").orderBy(*(F.desc(name) for name in ("op", "segment", "amount")))
    of_a_key = Window.partitionBy("k").orderBy("s")
    told = F.struct("op", "segment", "amount")
    found = (
        rows.withColumn("place", F.row_number().over(moment))
        .where("place = 1")
        .withColumn("opens", ~F.coalesce(told == F.lag(told).over(of_a_key), F.lit(False)))
        .where("opens")
        .withColumn("_valid_to", F.lead("s").over(of_a_key))
        .where("op <> 'x'")
        .withColumn("_valid_from", F.col("s"))
        .withColumn("_is_current", F.col("_valid_to").isNull())
    )
    found.drop("place", "opens").write.format("delta").save(str(root))
    return _told(spark.read.format("delta").load(str(root)))


def _told(rows: DataFrame) -> Hashable:
    """Return how many rows a table has, and a sum that tells their contents."""
    names = [name for name in ("k", "segment", "amount", "_valid_from", "_valid_to") if name in rows.columns]
    (found,) = rows.agg(F.count("*"), F.sum(F.xxhash64(*names).cast("decimal(38,0)"))).collect()
    return tuple(found)
