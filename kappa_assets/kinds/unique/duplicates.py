"""Which rows of a batch are there already, in the table or in the batch itself: a column beside each row.

The rows are taken in the order of their addresses on the tape. A row is a duplicate when one that was kept before has
the same key, and arrived at most `within` days earlier or later; it is then itself no reason why a third should be one.
Of the rows of one key and one day only the first can be kept, whatever became of it: so the walk is over days, and is
made once for each key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from kappa_assets.columns import ADDRESS, ARRIVAL_DATE, quoted
from kappa_assets.kinds.comparable import comparable

_ASKED, _FIRST, _DAYS, _THERE, _KEPT = "_judged_asked", "_judged_first", "_judged_days", "_judged_there", "_judged_kept"


@dataclass(frozen=True)
class Once:
    """By which columns rows are one, and within how many days of arrival; None: however far apart they arrived."""

    columns: tuple[str, ...]
    within: int | None = None

    @property
    def keys(self) -> list[str]:
        """The columns, as Spark takes them."""
        return [*map(quoted, self.columns)]


def with_duplicates(
    rows: DataFrame, once: Once, asked: Column, there: DataFrame | None, name: str, *, few: bool = False
) -> DataFrame:
    """Return the rows with a column `name`: whether a row is a duplicate.

    Args:
        asked: whether a row is to be added at all, if it is none. One with a null in a column of the key is no
            duplicate, and neither is one that is not asked.
        there: the rows of the table that may have a key of these, with the columns of the key and their slice; None: it
            has none.
        few: whether the rows are few, so that it pays to look for their keys alone in `there`.
    """
    has_key = ~F.array_contains(F.array(*[F.col(key).isNull() for key in once.keys]), True)
    known = rows.withColumn(_ASKED, F.coalesce(asked, F.lit(False)) & has_key)
    met = _met(known, once, there, few=few)
    of_key = Window.partitionBy(*once.keys, F.when(~F.col(_ASKED), F.struct(*ADDRESS)))
    # The function may give several rows of one, which have one address: all that is in them puts these in order.
    in_order = [*map(F.col, ADDRESS), *comparable(rows.schema, [name for name in rows.columns if name not in ADDRESS])]
    if once.within is None:
        judged = met.withColumn(_FIRST, F.row_number().over(of_key.orderBy(*in_order)) == 1)
        is_new = F.col(_FIRST) & F.col(_THERE).isNull()
    else:
        of_day = Window.partitionBy(*once.keys, F.when(~F.col(_ASKED), F.struct(*ADDRESS)), ARRIVAL_DATE)
        judged = _walked(met, of_key, of_day.orderBy(*in_order), in_order, once.within)
        day = F.unix_date(ARRIVAL_DATE)
        before = F.coalesce(F.col(_THERE), F.array().cast("array<int>"))
        is_new = F.col(_FIRST) & F.array_contains(_KEPT, day) & ~F.array_contains(before, day)
    return judged.withColumn(name, F.col(_ASKED) & ~is_new).select(*map(quoted, rows.columns), name)


def _met(rows: DataFrame, once: Once, there: DataFrame | None, *, few: bool) -> DataFrame:
    """Return the rows with the days, in column _THERE, on which rows of their key arrived that the table has."""
    if there is None:
        return rows.withColumn(_THERE, F.lit(None).cast("array<int>"))
    if few:
        keys = rows.where(_ASKED).select(*once.keys).distinct()
        there = there.join(F.broadcast(keys), [*once.columns], "left_semi")
    days = there.groupBy(*once.keys).agg(F.collect_set(F.unix_date(ARRIVAL_DATE)).alias(_THERE))
    met = rows.join(F.broadcast(days) if few else days, [*once.columns], "left")
    return met.select(*map(quoted, rows.columns), _THERE)


def _walked(
    rows: DataFrame, of_key: WindowSpec, of_day: WindowSpec, in_order: Sequence[Column], within: int
) -> DataFrame:
    """Return the rows with whether each is the first of its key and day, and the days that hold one of its key then."""
    first = F.row_number().over(of_day) == 1
    rows = rows.withColumn(_FIRST, first)
    told = F.when(F.col(_FIRST), F.struct(*ADDRESS, F.unix_date(ARRIVAL_DATE).alias("day")))
    rows = rows.withColumn(_DAYS, F.collect_list(told).over(of_key))

    def is_far(kept: Column, one: Column) -> Column:
        return ~F.exists(kept, lambda day: F.abs(day - one["day"]) <= within)

    before = F.coalesce(F.col(_THERE), F.array().cast("array<int>"))
    walked = F.aggregate(
        F.array_sort(_DAYS),
        before,
        lambda kept, one: F.when(is_far(kept, one), F.array_append(kept, one["day"])).otherwise(kept),
    )
    # The walk is made beside the first row of a key alone, and then told to all.
    is_first_of_key = F.row_number().over(of_key.orderBy(*in_order)) == 1
    return rows.withColumn(_KEPT, F.when(is_first_of_key, walked)).withColumn(
        _KEPT, F.first(_KEPT, ignorenulls=True).over(of_key)
    )
