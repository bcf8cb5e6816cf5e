"""Functions of a Gold put together from steps, and rows to try them on: before a change feed, in it, and after."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.window import WindowSpec

Step = Callable[["DataFrame"], "DataFrame"]
Row = tuple[Any, ...]
SCHEMA = (
    StructType()
    .add("who", "string")
    .add("kind", "string")
    .add("n", "long")
    .add("at", "timestamp")
    .add("_batch_id", "long")
    .add("_row", "long")
)
NAMES = SCHEMA.names


def _in_order() -> WindowSpec:
    return Window.partitionBy("who").orderBy("at", "_batch_id", "_row")


def _with_most(s: DataFrame, by: str, how: str = "inner") -> DataFrame:
    return s.join(s.groupBy(by).agg(F.max("n").alias("most")), by, how).where("most > 4").select(*NAMES)


def _swapped(s: DataFrame) -> DataFrame:
    return s.select(F.col("kind").alias("who"), F.col("who").alias("kind"), *NAMES[2:])


def _null_safe(s: DataFrame) -> DataFrame:
    most = s.groupBy(F.col("who").alias("other")).agg(F.max("n").alias("most"))
    return s.join(most, F.expr("who <=> other"), "left").where("most > 4").select(*NAMES)


def _above_average(s: DataFrame) -> DataFrame:
    return s.crossJoin(s.agg(F.avg("n").alias("mean"))).where("n >= mean").select(*NAMES)


MIDDLES: Mapping[str, Step] = {
    "filter": lambda s: s.where("n > 2"),
    "filter nulls": lambda s: s.where("who is not null"),
    "explode": lambda s: s.withColumn("kind", F.explode(F.array(F.lit("x"), "kind"))),
    "explode the key": lambda s: s.withColumn("who", F.explode(F.array("who", "kind"))),
    "overwrite the key": lambda s: s.withColumn("who", F.upper("who")),
    "swap names": _swapped,
    "unite": lambda s: s.unionAll(s.where("n > 4")),
    "unite swapped": lambda s: s.unionAll(_swapped(s)),
    "join itself": lambda s: _with_most(s, "who"),
    "join itself, outer": lambda s: _with_most(s, "who", "full"),
    "join itself, null is null": _null_safe,
    "join itself by another": lambda s: _with_most(s, "kind"),
    "without those": lambda s: s.join(s.where("n > 7").select("who"), "who", "left_anti"),
    "without all": lambda s: s.join(s.where("n > 8").select(F.col("kind").alias("k")), F.expr("kind = k"), "left_anti"),
    "window": lambda s: s.withColumn("n", F.sum("n").over(Window.partitionBy("who"))),
    "window by another": lambda s: s.withColumn("n", F.sum("n").over(Window.partitionBy("kind"))),
    "window over all": lambda s: s.withColumn("r", F.rank().over(Window.orderBy("n"))).where("r < 5").drop("r"),
    "limit": lambda s: s.orderBy("_batch_id", "_row").limit(5),
    "above the average": _above_average,
    "duplicates": lambda s: s.dropDuplicates(),
    "drop the key": lambda s: s.withColumn("who", F.first("who").over(Window.partitionBy("kind").orderBy("n", "_row"))),
}


def _total(s: DataFrame) -> DataFrame:
    return s.groupBy("who").agg(F.sum("n").alias("n"), F.count("*").alias("lines"))


def _share(s: DataFrame) -> DataFrame:
    per_kind = s.groupBy("who", "kind").agg(F.sum("n").alias("n"))
    return per_kind.withColumn("share", F.col("n") * 100 / F.sum("n").over(Window.partitionBy("who")))


def _sessions(s: DataFrame) -> DataFrame:
    found = s.groupBy("who", F.session_window("at", "5 minutes").alias("w")).agg(F.count("*").alias("lines"))
    return found.select("who", F.col("w.start").alias("began"), "lines")


def _summed(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"who": [rows.who.iloc[0]], "n": [rows.n.sum()]})


@dataclass(frozen=True)
class End:
    """What a function ends in, with the keys and the groups that it is declared with."""

    step: Step
    keys: tuple[str, ...]
    by: tuple[str, ...] = ()


ENDS: Mapping[str, End] = {
    "total": End(_total, ("who",)),
    "having": End(lambda s: _total(s).where("n > 9"), ("who",)),
    "by two": End(lambda s: s.groupBy("who", "kind").count(), ("who", "kind")),
    "by two, one group": End(lambda s: s.groupBy("who", "kind").count(), ("who", "kind"), ("who",)),
    "share": End(_share, ("who", "kind"), ("who",)),
    "share by its rows": End(_share, ("who", "kind")),
    "sessions": End(_sessions, ("who", "began")),
    "best": End(
        lambda s: s.withColumn("rank", F.row_number().over(_in_order())).where("rank < 3").select("who", "rank", "n"),
        ("who", "rank"),
    ),
    "history": End(
        lambda s: s.select("who", "_batch_id", "_row", F.lead("n").over(_in_order()).alias("until")),
        ("who", "_batch_id", "_row"),
        ("who",),
    ),
    "per day": End(lambda s: s.groupBy(F.to_date("at").alias("day")).agg(F.max("n").alias("n")), ("day",)),
    "top of all": End(lambda s: _total(s).orderBy(F.desc("n"), "who").limit(2), ("who",)),
    "pandas": End(lambda s: s.select("who", "n").groupBy("who").applyInPandas(_summed, "who string, n long"), ("who",)),
}


@dataclass(frozen=True)
class Life:
    """An upstream before a change feed and after it, and every image in the feed."""

    before: list[Row]
    images: list[Row]
    after: list[Row]


def life(seed: int) -> Life:
    """Return rows of which some were deleted, some updated, also to another group, and some inserted."""
    dice = random.Random(seed)
    start = dt.datetime(2026, 1, 5, 23, 30, tzinfo=dt.UTC)

    def row(batch: int, number: int) -> Row:
        at = start + dt.timedelta(minutes=dice.randrange(60))
        return (
            dice.choice([None, "a", "A", "b", "c", "d"]),
            dice.choice("xyz"),
            dice.randrange(1, 10),
            at,
            batch,
            number,
        )

    before = [row(0, number) for number in range(14)]
    touched = dice.sample(before, 4)
    updated = [(dice.choice([one[0], "d"]), one[1], dice.randrange(1, 10), *one[3:]) for one in touched[2:]]
    inserted = [row(1, number) for number in range(dice.randrange(3))]
    after = [one for one in before if one not in touched] + updated + inserted
    return Life(before, [*touched, *updated, *inserted], after)
