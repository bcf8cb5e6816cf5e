"""What is kept of changes, and what a table shows of it: functions of sets, whatever the order in which they come.

A change is a row of the user's function with two marks beside it. Of a set of changes `merged` keeps those that any
later one may still need, by maxima alone: merging what was kept with more changes gives what merging all of them at
once does. `shown` makes of the kept changes of a key what the table shows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructType

from kappa_assets.columns import ADDRESS, LINEAGE, quoted
from kappa_assets.declare.options.cdc import IS_CURRENT, VALID_FROM, VALID_TO, Cdc
from kappa_assets.kinds.cdc.snapshots import ENDS, has_key, since_whole
from kappa_assets.kinds.comparable import comparable

DELETES, TRUNCATES = "_cdc_deletes", "_cdc_truncates"
"""Whether a change deletes its key, or all of them: then it is kept under a key of nulls."""
MARKS = (DELETES, TRUNCATES, ENDS)
_PLACE, _LIFE, _PREVIOUS, _OPENS, _ENDS = (f"_cdc_{n}" for n in ("place", "life", "previous", "opens", "ends"))
_SO_FAR = (Window.unboundedPreceding, Window.currentRow)


def marked(cdc: Cdc, changes: DataFrame) -> DataFrame:
    """Return what the function gave, each row with its marks."""
    truncates = _holds(cdc.truncate_when)
    rows = changes.withColumns({TRUNCATES: truncates, DELETES: truncates | _holds(cdc.delete_when)})
    if cdc.snapshots:
        return rows.withColumn(ENDS, _holds(cdc.complete_when))
    if cdc.truncate_when is None:
        return rows
    return rows.withColumns({name: F.when(~F.col(TRUNCATES), F.col(quoted(name))) for name in cdc.keys})


def merged(cdc: Cdc, changes: DataFrame) -> DataFrame:
    """Return those of the marked changes that are still needed, whatever else comes.

    With scd=1 the newest of each key; with scd=2 one of each key and sequence. Where changes do not tell all values, of
    each key also the newest that tells a column, since it was last deleted; and with scd=2 all that differ. Of
    snapshots one of each key and snapshot, since the newest whole one.
    """
    if cdc.snapshots:
        of_one = Window.partitionBy(*map(quoted, (*cdc.keys, *cdc.sequence_by)), ENDS)
        once = _first(changes, of_one.orderBy(*_newest_first(_order(cdc, changes.schema))))
        return since_whole(cdc, once, _sequence(cdc))
    partial = _partial(cdc, changes.schema)
    if partial and cdc.scd == 1:
        return _needed(cdc, changes, partial)
    names = cdc.keys if cdc.scd == 1 else (*cdc.keys, *cdc.sequence_by)
    told = _order(cdc, changes.schema)
    within = [F.col(TRUNCATES), *(told if partial else ())]
    window = Window.partitionBy(*map(quoted, names), *within).orderBy(*_newest_first(told))
    return _first(changes, window)


def _needed(cdc: Cdc, changes: DataFrame, partial: Sequence[str]) -> DataFrame:
    """Return the newest of each key, its last delete, and what tells each column newest since then."""
    newest_first = Window.partitionBy(*map(quoted, cdc.keys), TRUNCATES).orderBy(
        *_newest_first(_order(cdc, changes.schema))
    )
    later = newest_first.rowsBetween(Window.unboundedPreceding, -1)

    def is_first(holds: Column) -> Column:
        return holds & (F.coalesce(F.count_if(holds).over(later), F.lit(0)) == 0)

    told = [is_first(_is_told(cdc, name)) for name in partial]
    deleted = F.coalesce(F.count_if(F.col(DELETES)).over(later), F.lit(0)) > 0
    since = reduce(Column.__or__, [F.row_number().over(newest_first) == 1, F.col(DELETES), *told]) & ~deleted
    return changes.withColumn(_PLACE, since).where(_PLACE).drop(_PLACE)


def shown(cdc: Cdc, kept: DataFrame) -> DataFrame:
    """Return what the table shows of all kept changes of some keys, and those that truncate."""
    return _newest(cdc, kept) if cdc.scd == 1 else _versions(cdc, kept)


def _newest(cdc: Cdc, kept: DataFrame) -> DataFrame:
    there = kept
    if cdc.snapshots:
        of_a_key = Window.partitionBy(*map(quoted, cdc.keys))
        there = _first(kept.where(has_key(cdc)), of_a_key.orderBy(*_newest_first(_order(cdc, kept.schema))))
    if cdc.truncate_when is not None:
        emptied = kept.where(TRUNCATES).agg(F.max(_sequence(cdc)).alias(_PLACE))
        later = F.col(_PLACE).isNull() | (_sequence(cdc) > F.col(_PLACE))
        there = kept.where(~F.col(TRUNCATES)).join(F.broadcast(emptied), later, "left_semi")
    if _partial(cdc, kept.schema):
        there = _filled(cdc, there, cdc.keys)
    return there.where(~F.col(DELETES)).drop(*MARKS)


def _filled(cdc: Cdc, changes: DataFrame, names: Sequence[str]) -> DataFrame:
    """Return the newest changes of each value of `names`, with the values that they do not tell.

    These are as the changes of the key before them left them, since its last delete.
    """
    order = _order(cdc, changes.schema)
    of_a_key = Window.partitionBy(*map(quoted, cdc.keys))
    oldest_first = [*(column.asc() for column in order), *(F.col(name).desc() for name in ADDRESS)]
    place = F.row_number().over(Window.partitionBy(*map(quoted, names)).orderBy(*_newest_first(order)))
    life = F.count_if(F.col(DELETES)).over(of_a_key.orderBy(*oldest_first).rowsBetween(*_SO_FAR))
    of_a_life = Window.partitionBy(*map(quoted, cdc.keys), _LIFE).orderBy(*oldest_first)
    told = {
        name: _latest(F.when(_is_told(cdc, name), F.struct(F.col(quoted(name)).alias("told"))), of_a_life)["told"]
        for name in _partial(cdc, changes.schema)
    }
    found = changes.withColumn(_PLACE, place).withColumn(_LIFE, life).withColumns(told)
    return found.where(F.col(_PLACE) == 1).drop(_PLACE, _LIFE)


def _versions(cdc: Cdc, kept: DataFrame) -> DataFrame:
    """Return the versions of each key: changes in a row that say the same in all tracked columns are one."""
    changes = kept if cdc.truncate_when is None else _truncated(cdc, kept)
    if _partial(cdc, kept.schema):
        changes = _filled(cdc, changes, (*cdc.keys, *cdc.sequence_by))
    tracked = _comparable(changes.schema, cdc.track or _content(cdc, changes.schema))
    by_sequence = Window.partitionBy(*map(quoted, cdc.keys)).orderBy(*map(quoted, cdc.sequence_by))
    is_change = ~F.col(DELETES)
    before = F.lag(F.struct(F.col(DELETES).alias("deletes"), F.struct(*tracked).alias("content"))).over(by_sequence)
    goes_on = ~F.col(f"{_PREVIOUS}.deletes") & F.col(f"{_PREVIOUS}.content").eqNullSafe(F.struct(*tracked))
    opens = is_change & ~F.coalesce(goes_on, F.lit(False))
    rows = changes.withColumn(_PREVIOUS, before).withColumn(_OPENS, opens)
    next_opens = F.lead(F.col(_OPENS) | F.col(DELETES), 1, True).over(by_sequence)
    rows = rows.withColumns(
        {
            _ENDS: is_change & next_opens,
            VALID_FROM: _latest(F.when(F.col(_OPENS), _sequence(cdc)), by_sequence),
            VALID_TO: F.lead(_sequence(cdc)).over(by_sequence),
        }
    )
    versions = rows.where(_ENDS).withColumn(IS_CURRENT, F.col(VALID_TO).isNull())
    return versions.drop(*MARKS, _PREVIOUS, _OPENS, _ENDS)


def _truncated(cdc: Cdc, kept: DataFrame) -> DataFrame:
    """Return the changes, and for each key what truncates as a change that deletes it."""
    changes, emptied = kept.where(~F.col(TRUNCATES)), kept.where(TRUNCATES)
    keys = changes.select(*map(quoted, cdc.keys)).distinct()
    deletes = F.broadcast(emptied.drop(*cdc.keys)).crossJoin(keys).select(*map(quoted, kept.columns))
    return merged(cdc, changes.unionByName(deletes.withColumn(TRUNCATES, F.lit(False))))


def _latest(value: Column, window: WindowSpec) -> Column:
    return F.last(value, ignorenulls=True).over(window.rowsBetween(*_SO_FAR))


def _first(changes: DataFrame, window: WindowSpec) -> DataFrame:
    return changes.withColumn(_PLACE, F.row_number().over(window)).where(F.col(_PLACE) == 1).drop(_PLACE)


def _newest_first(order: Sequence[Column]) -> list[Column]:
    """Return an order that no two changes share: of those that are the same in all, the first to come is first."""
    return [*(column.desc() for column in order), *(F.col(name).asc() for name in ADDRESS)]


def _partial(cdc: Cdc, schema: StructType) -> tuple[str, ...]:
    """Return the columns whose values a change may not tell."""
    if cdc.unavailable is None:
        return ()
    return tuple(name for name in _content(cdc, schema) if isinstance(schema[name].dataType, StringType))


def _is_told(cdc: Cdc, name: str) -> Column:
    return ~F.col(DELETES) & ~F.col(quoted(name)).eqNullSafe(F.lit(cdc.unavailable))


def _holds(condition: str | None) -> Column:
    return F.lit(False) if condition is None else F.coalesce(F.expr(condition), F.lit(False))


def _sequence(cdc: Cdc) -> Column:
    """Return what orders the changes of a key, as one value."""
    columns = [F.col(quoted(name)) for name in cdc.sequence_by]
    return columns[0] if len(columns) == 1 else F.struct(*columns)


def _order(cdc: Cdc, schema: StructType) -> list[Column]:
    """Return by what the newest of some changes is told: no two that differ in what they say are equal in it."""
    told = [F.col(quoted(name)) for name in cdc.sequence_by]
    return [*told, F.col(DELETES), *_comparable(schema, _content(cdc, schema))]


def _content(cdc: Cdc, schema: StructType) -> tuple[str, ...]:
    """Return the columns in which a change says something: all but keys, sequence, lineage and marks."""
    others = {*cdc.keys, *cdc.sequence_by, *LINEAGE, *MARKS}
    return tuple(name for name in schema.names if name not in others)


def _comparable(schema: StructType, names: Sequence[str]) -> list[Column]:
    """Return columns as values that Spark can compare; of none, one that is the same in all rows."""
    return comparable(schema, names) or [F.lit(0)]


def touches(cdc: Cdc, changes: DataFrame) -> DataFrame:
    """Return the keys that some marked changes are of; without those of changes that truncate, which touch all."""
    own = changes if cdc.truncate_when is None else changes.where(~F.col(TRUNCATES))
    return own.select(*map(quoted, cdc.keys)).distinct()


def conditions(cdc: Cdc) -> dict[str, str]:
    """Return the declared conditions on a change, by the name of their option."""
    named = {
        "delete_when": cdc.delete_when,
        "truncate_when": cdc.truncate_when,
        "complete_when": cdc.complete_when,
    }
    return {name: condition for name, condition in named.items() if condition is not None}
