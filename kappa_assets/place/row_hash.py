"""What of a row is hashed, so that two rows with the same hash are the same row, nulls and nested values included."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructType


def hash_parts(value: Column, kind: DataType) -> list[Column]:
    """Return what to give to `xxhash64` of a value: the value, and what that leaves out of it.

    Spark's hash leaves nulls out, at any depth, and hashes the elements of arrays one after the other: by the value
    alone {a: 1, b: null} is {a: null, b: 1}, and [[1], [2]] is [[1, 2]]. A map has no hash at all.
    """
    return [_left_out(value, kind), value]


def _left_out(value: Column, kind: DataType) -> Column:
    """Return where a value is null, and how long its arrays are, at any depth."""
    match kind:
        case StructType(fields=fields):
            return F.struct(F.isnull(value), *[_left_out(value.getField(f.name), f.dataType) for f in fields])
        case ArrayType(elementType=element):
            size = F.when(F.isnull(value), -1).otherwise(F.size(value))
            return F.struct(size, F.transform(value, lambda one: _left_out(one, element)))
    return F.isnull(value)
