"""Columns as values that Spark puts in order and compares, whatever is in them."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StructType, VariantType

from kappa_assets.columns import quoted


def comparable(schema: StructType, names: Iterable[str]) -> list[Column]:
    """Return columns as they are, and those that hold a map or a variant as JSON."""
    return [
        F.col(quoted(name)) if _has_order(schema[name].dataType) else F.to_json(F.struct(quoted(name)))
        for name in names
    ]


def _has_order(kind: DataType) -> bool:
    match kind:
        case MapType() | VariantType():
            return False
        case ArrayType():
            return _has_order(kind.elementType)
        case StructType():
            return all(_has_order(field.dataType) for field in kind)
    return True
