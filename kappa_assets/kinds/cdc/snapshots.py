"""Full snapshots: the newest one that is whole says which keys there are, and its rows and newer ones what they hold.

All rows of one sequence are one snapshot, however they arrive. A key that the newest whole snapshot lacks is gone,
until a newer row tells of it. So of all rows those are needed that are of that snapshot or of newer ones, one of each
key and snapshot: they tell also when a newer one comes to be whole. That is a function of the set of rows.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import quoted
from kappa_assets.declare.options.cdc import Cdc

ENDS = "_cdc_ends"
"""Whether a row says that its snapshot is whole. One without a key says no more than that."""
_NEWEST = "_cdc_newest"


def has_key(cdc: Cdc) -> Column:
    """Return whether a row is one of a key."""
    return F.col(quoted(cdc.keys[0])).isNotNull()


def since_whole(cdc: Cdc, rows: DataFrame, sequence: Column) -> DataFrame:
    """Return those of rows, one of each key and snapshot, that are of the newest whole snapshot or of newer ones."""
    one = F.struct(*map(quoted, cdc.keys))
    of_each = rows.groupBy(sequence.alias(_NEWEST)).agg(
        F.count_distinct(F.when(has_key(cdc), one)).alias("keys"),
        (F.max(ENDS) if cdc.complete_when is not None else F.lit(True)).alias("ended"),
        (F.max(quoted(cdc.snapshot_rows)) if cdc.snapshot_rows is not None else F.lit(0)).alias("told"),
    )
    is_whole = F.col("ended") & F.coalesce(F.col("keys") >= F.col("told"), F.lit(False))
    newest = of_each.where(is_whole).agg(F.max(_NEWEST).alias(_NEWEST))
    return rows.join(F.broadcast(newest), F.col(_NEWEST).isNull() | (sequence >= F.col(_NEWEST)), "left_semi")


def deleted(shown: DataFrame, before: DataFrame, cdc: Cdc) -> tuple[int, int]:
    """Return how many keys a table has that it will not show any more, and how many it has."""
    keys = [quoted(name) for name in cdc.keys]
    there = before.select(*keys)
    gone = there.join(shown.select(*keys), [*cdc.keys], "left_anti")
    return gone.count(), there.count()
