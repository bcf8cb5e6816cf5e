"""Which rows differ between files that are taken away and those that are added: what the change feed has to say."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructType

from kappa_assets.columns import quoted

_CHANGE = "_change_type"
_NEITHER = {"map", "variant", "geometry", "geography", "interval"}
"""Types by which Spark groups no rows, for want of an equality; and maps, whose null values it gives back as 0 when it
has grouped by them (4.2.0: `{b: null}` of map<string,int> came out as `{b: 0}`)."""


def tells_rows_apart(kind: DataType) -> bool:
    """Return whether Spark groups by values of this type, and gives back what it grouped."""
    match kind:
        case StructType():
            return all(tells_rows_apart(field.dataType) for field in kind)
        case ArrayType():
            return tells_rows_apart(kind.elementType)
    return kind.typeName() not in _NEITHER


def changed_rows(old: DataFrame, new: DataFrame) -> DataFrame:
    """Return the rows that are more often in the one than in the other, each as often as that, with `_change_type`.

    Equal as groups are: null to null, and nan to nan. Two rows that a function gives of one row of its input may be
    equal, so it is how often that counts.
    """
    columns = [F.col(quoted(name)) for name in new.columns]
    both = old.withColumn(_CHANGE, F.lit(-1)).unionAll(new.withColumn(_CHANGE, F.lit(1)))
    counted = both.groupBy(*columns).agg(F.sum(_CHANGE).alias(_CHANGE)).where(F.col(_CHANGE) != 0)
    times = F.explode(F.array_repeat(F.lit(0), F.abs(_CHANGE).cast("int"))).alias("_time")
    what = F.when(F.col(_CHANGE) > 0, "insert").otherwise("delete").alias(_CHANGE)
    return counted.select(*columns, what, times).drop("_time")
