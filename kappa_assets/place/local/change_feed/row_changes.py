"""Which rows differ between files that are taken away and those that are added: what the change feed has to say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructType

from kappa_assets.columns import quoted
from kappa_assets.place.row_hash import hash_parts

CHANGE = "_change_type"
_DIGESTS = ("_digest_1", "_digest_2")
_NEITHER = {"map", "variant", "geometry", "geography", "interval"}
"""Types by which Spark groups no rows, for want of an equality; and maps, whose null values it gives back as 0 when it
has grouped by them (4.2.0: `{b: null}` of map<string,int> came out as `{b: 0}`)."""
_FEW = 100_000
"""So many digests of 16 bytes are sent to every task. Where more rows differ, all are grouped."""


def tells_rows_apart(kind: DataType) -> bool:
    """Return whether Spark groups by values of this type, and gives back what it grouped."""
    match kind:
        case StructType():
            return all(tells_rows_apart(field.dataType) for field in kind)
        case ArrayType():
            return tells_rows_apart(kind.elementType)
    return kind.typeName() not in _NEITHER


@contextmanager
def changed_rows(old: DataFrame, new: DataFrame) -> Iterator[DataFrame | None]:
    """Give the rows that are more often in the one than in the other, each as often as that, with `_change_type`.

    None where no row differs. Equal as groups are: null to null, and nan to nan. Two rows that a function gives of one
    row of its input may be equal, so it is how often that counts.

    First digests of 128 bits are counted, then the rows behind those that differ: to group 2 x 400,000 whole rows took
    longer than to compute and write them.
    """
    digests = _digests(new.schema)
    keyed = [rows.withColumns(dict(zip(_DIGESTS, digests, strict=True))) for rows in (old, new)]
    old_digests, new_digests = (rows.select(*_DIGESTS) for rows in keyed)
    differing = _counted(old_digests, new_digests, list(_DIGESTS), each=False).persist()
    try:
        number = differing.count()
        if number > _FEW:
            yield _counted(old, new, new.columns)
        elif number:
            some = F.broadcast(differing.select(*_DIGESTS))
            old_rows, new_rows = (rows.join(some, list(_DIGESTS), "left_semi") for rows in keyed)
            yield _counted(old_rows, new_rows, new.columns)
        else:
            yield None
    finally:
        differing.unpersist()


def _counted(old: DataFrame, new: DataFrame, columns: list[str], *, each: bool = True) -> DataFrame:
    """Return what is more often in the one than in the other; `each`: as often as that, and which of both it is."""
    wanted = [F.col(quoted(name)) for name in columns]
    both = old.select(*wanted, F.lit(-1).alias(CHANGE)).unionAll(new.select(*wanted, F.lit(1).alias(CHANGE)))
    counted = both.groupBy(*wanted).agg(F.sum(CHANGE).alias(CHANGE)).where(F.col(CHANGE) != 0)
    if not each:
        return counted.select(*wanted)
    times = F.explode(F.array_repeat(F.lit(0), F.abs(CHANGE).cast("int"))).alias("_time")
    what = F.when(F.col(CHANGE) > 0, "insert").otherwise("delete").alias(CHANGE)
    return counted.select(*wanted, what, times).drop("_time")


def _digests(schema: StructType) -> list[Column]:
    """Return two hashes of a row."""
    parts = [part for f in schema for part in hash_parts(F.col(quoted(f.name)), f.dataType)]
    return [F.xxhash64(*parts), F.xxhash64(F.lit(1), *parts)]
