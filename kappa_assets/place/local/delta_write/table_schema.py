"""The columns of a table: which may be added to it, and whose types Spark and Arrow hold alike."""

from __future__ import annotations

from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType

from kappa_assets.columns import SOURCE
from kappa_assets.errors import LogicError

SAME_IN_ARROW = frozenset(
    {
        "binary",
        "boolean",
        "byte",
        "date",
        "decimal",
        "double",
        "float",
        "integer",
        "long",
        "short",
        "string",
        "timestamp",
        "timestamp_ntz",
    }
)
"""Types that go through this process as they are, by the names that Spark and the schema of a Delta table have for
them, without a decimal's digits."""


def check_schema(name: str, known: StructType, wanted: StructType) -> list[StructField]:
    """Return the columns of `wanted` that `known` lacks, or has with fewer fields: a tape's `_source`.

    Raises LogicError for a removed or re-typed one.
    """
    by_name = {f.name.lower(): f for f in wanted}
    wider: list[StructField] = []
    for field in known:
        found = by_name.get(field.name.lower())
        if found is None:
            raise LogicError(
                f"{name} has a column {field.name!r} that its function no longer gives",
                hint="A removed or renamed column needs a replay: its old rows are computed anew.",
            )
        if _is_wider_source(field, found):
            wider.append(found)
        elif found.dataType.simpleString() != field.dataType.simpleString():
            raise LogicError(
                f"column {field.name!r} of {name} is {field.dataType.simpleString()}, "
                f"but its function gives {found.dataType.simpleString()}",
                hint="A changed type needs a replay: its old rows are computed anew.",
            )
    names = {f.name.lower() for f in known}
    return list(nullable(StructType([*wider, *(f for f in wanted if f.name.lower() not in names)])))


def _is_wider_source(known: StructField, wanted: StructField) -> bool:
    """Return whether a tape's `_source` has the fields that are known, as they are, and more: of another source."""
    before, now = known.dataType, wanted.dataType
    if known.name != SOURCE or not isinstance(before, StructType) or not isinstance(now, StructType):
        return False
    told = {field.name: field.dataType.simpleString() for field in now}
    kept = all(told.get(field.name) == field.dataType.simpleString() for field in before)
    return kept and len(told) > len(before)


def nullable(schema: StructType) -> StructType:
    """Return the schema with every column nullable, those inside others too: a batch may lack what another one had.

    A field of a struct that must not be null is an invariant of the table for Delta: beside a column of timestamps
    without zone, which raises the protocol, Spark refuses to read a table that does not name that feature.
    """
    return StructType([StructField(f.name, _nullable_inside(f.dataType), True) for f in schema])


def _nullable_inside(kind: DataType) -> DataType:
    match kind:
        case StructType():
            return nullable(kind)
        case ArrayType():
            return ArrayType(_nullable_inside(kind.elementType), True)
        case MapType():
            return MapType(_nullable_inside(kind.keyType), _nullable_inside(kind.valueType), True)
    return kind
