"""Which rows in quarantine go into the table: told by their addresses, and by what is in them.

The function may give several rows of one on the tape, and they share its address. An address goes in whole where all
that was set aside of it is chosen, all that the function gives of it today passes, and the table holds nothing of it
that the function would not give today. Else a row goes in alone: where today's function gives just the row that was set
aside, and it passes. Either way the table gets what it lacks of that, and never a row that it has.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import ADDRESS, quoted
from kappa_assets.declare.tables import DUPLICATE
from kappa_assets.logic.column_rules import JUDGED

QUARANTINE = "quarantine"
"""What the side table says in `on_fail` of a row in quarantine."""
TEXT, PASSES = f"{JUDGED}text", f"{JUDGED}passes"
"""Columns of rows that are looked at: what is in the row, as JSON; whether nothing sets it aside."""
CHOSEN, TAKEN, ADDED = f"{JUDGED}chosen", f"{JUDGED}taken", f"{JUDGED}added"
"""Of rows that are equal: how many are chosen, how many of these leave the quarantine, and how many the table gets."""
_OTHERS, _GIVEN, _PASSING, _THERE = (f"{JUDGED}{name}" for name in ("others", "given", "passing", "there"))
_COUNTS = (CHOSEN, _OTHERS, _GIVEN, _PASSING, _THERE)
_WHOLE, _TWICE, _PLACE, _LEAVES = (f"{JUDGED}{name}" for name in ("whole", "twice", "place", "leaves"))
_EQUAL = (*ADDRESS, TEXT)
_RELEASED, _THERE_ALREADY = f"{QUARANTINE}/released", f"{QUARANTINE}/{DUPLICATE}"


def text_of(schema: StructType) -> Column:
    """Return what is in a row, in the words in which the side table keeps it."""
    return F.to_json(F.struct(*map(quoted, schema.names)))


def decided(chosen: DataFrame, others: DataFrame, given: DataFrame, there: DataFrame | None) -> DataFrame:
    """Return for each address and TEXT how many rows are CHOSEN, TAKEN and ADDED.

    Args:
        chosen: rows in quarantine; all others are of their addresses.
        others: rows that are set aside, and not chosen.
        given: what today's function gives, with PASSES.
        there: what the table holds; None: nothing.
    """
    one = F.lit(1)
    told = [_counted(chosen, {CHOSEN: one}), _counted(others, {_OTHERS: one})]
    told.append(_counted(given, {_GIVEN: one, _PASSING: F.col(PASSES).cast("int")}))
    told += [] if there is None else [_counted(there, {_THERE: one})]
    sums = reduce(DataFrame.unionByName, told).groupBy(*_EQUAL).agg(*[F.sum(name).alias(name) for name in _COUNTS])
    of_address = Window.partitionBy(*ADDRESS)

    def in_all(count: Column) -> Column:
        return F.sum(count).over(of_address)

    others_, given_, passing, held = (F.col(name) for name in (_OTHERS, _GIVEN, _PASSING, _THERE))
    passes = (in_all(given_) == in_all(passing)) & (in_all(given_) > 0)
    whole = passes & (in_all(others_) == 0) & (in_all(F.greatest(held - given_, F.lit(0))) == 0)
    alone = F.greatest(F.least(passing - held, F.col(CHOSEN)), F.lit(0))
    return sums.withColumn(_WHOLE, whole).withColumns(
        {
            TAKEN: F.when(F.col(_WHOLE), F.col(CHOSEN)).otherwise(F.least(F.col(CHOSEN), passing)),
            ADDED: F.when(F.col(_WHOLE), given_ - held).otherwise(alone),
        }
    )


def added(given: DataFrame, decision: DataFrame) -> DataFrame:
    """Return those rows of today's function that the table gets, with their TEXT."""
    place = F.row_number().over(Window.partitionBy(*_EQUAL).orderBy(TEXT))
    of_each = decision.where(F.col(ADDED) > 0).select(*_EQUAL, _THERE, ADDED)
    rows = given.where(PASSES).withColumn(_PLACE, place).join(of_each, [*_EQUAL])
    lacks = (F.col(_PLACE) > F.col(_THERE)) & (F.col(_PLACE) <= F.col(_THERE) + F.col(ADDED))
    return rows.where(lacks).select(*[quoted(name) for name in given.columns if name != PASSES])


def with_repeated(decision: DataFrame, repeated: DataFrame | None) -> DataFrame:
    """Return the decision with how many of the rows to be added, with TEXT, are duplicates; None: there are none."""
    if repeated is None:
        return decision.withColumn(_TWICE, F.lit(0))
    counts = repeated.groupBy(*_EQUAL).agg(F.count(F.lit(1)).alias(_TWICE))
    known = decision.join(counts, [*_EQUAL], "left").withColumn(_TWICE, F.coalesce(_TWICE, F.lit(0)))
    of_address = F.sum(_TWICE).over(Window.partitionBy(*ADDRESS))
    return known.withColumn(_TWICE, F.when(F.col(_WHOLE), of_address).otherwise(F.col(_TWICE)))


def leaving(aside: DataFrame, decision: DataFrame, generation: int) -> DataFrame:
    """Return the rows of the side table that are equal to some that leave the quarantine."""
    return aside.where(_waits(generation)).join(_taken(decision), [*ADDRESS, "row"], "left_semi")


def marked(aside: DataFrame, decision: DataFrame, generation: int, number: int) -> DataFrame:
    """Return rows of the side table, those that leave the quarantine marked as what release `number` is to settle."""
    rows = aside.join(_taken(decision), [*ADDRESS, "row"], "left").withColumn(_LEAVES, _waits(generation))
    of_equal = Window.partitionBy(_LEAVES, *ADDRESS, "row").orderBy("batch")
    rows = rows.withColumn(_PLACE, F.row_number().over(of_equal))
    leaves = F.col(_LEAVES) & F.coalesce(F.col(_PLACE) <= F.col(TAKEN), F.lit(False))
    rows = rows.withColumn(_LEAVES, leaves)
    together = Window.partitionBy(_LEAVES, *ADDRESS, F.when(~F.col(_WHOLE), F.col("row"))).orderBy("row", _PLACE)
    rows = rows.withColumn(_PLACE, F.row_number().over(together))
    mark = F.when(F.col(_PLACE) <= F.col(_TWICE), _mark(_THERE_ALREADY, number)).otherwise(_mark(_RELEASED, number))
    fate = F.when(F.col(_LEAVES), mark).otherwise(F.col("on_fail"))
    return rows.withColumn("on_fail", fate).select(*aside.columns)


def is_marked(number: int) -> Column:
    """Return whether a row of the side table is marked by release `number`."""
    return F.col("on_fail").isin(f"{_RELEASED}/{number}", f"{_THERE_ALREADY}/{number}")


def settled(aside: DataFrame, number: int, *, released: bool) -> DataFrame:
    """Return rows of the side table without the marks of a release, whose rows are in the table, or are not."""
    fate = F.col("on_fail")
    if not released:
        return aside.withColumn("on_fail", F.when(is_marked(number), F.lit(QUARANTINE)).otherwise(fate))
    twice = fate.eqNullSafe(_mark(_THERE_ALREADY, number))
    return aside.where(~fate.eqNullSafe(_mark(_RELEASED, number))).withColumns(
        {
            "reasons": F.when(twice, F.array(F.lit(DUPLICATE))).otherwise(F.col("reasons")),
            "on_fail": F.when(twice, F.lit("drop")).otherwise(fate),
        }
    )


def number_of(mark: str) -> int | None:
    """Return which release has marked a row, as its `on_fail` tells; None: none has."""
    of, _, number = mark.rpartition("/")
    return int(number) if of in (_RELEASED, _THERE_ALREADY) else None


def _counted(rows: DataFrame, counts: dict[str, Column]) -> DataFrame:
    told = [counts.get(name, F.lit(0)).cast("long").alias(name) for name in _COUNTS]
    return rows.select(*_EQUAL, *told)


def _taken(decision: DataFrame) -> DataFrame:
    return decision.where(F.col(TAKEN) > 0).select(*ADDRESS, F.col(TEXT).alias("row"), TAKEN, _WHOLE, _TWICE)


def _waits(generation: int) -> Column:
    return (F.col("generation") == generation) & F.col("on_fail").eqNullSafe(QUARANTINE)


def _mark(what: str, number: int) -> Column:
    return F.lit(f"{what}/{number}")
