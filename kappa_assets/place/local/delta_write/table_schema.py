"""The columns of a table: which may be added to it, and whose types Spark and Arrow hold alike."""

from __future__ import annotations

from collections.abc import Iterator

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


_BY_A_REPLAY = (
    "What is removed, renamed or of another type needs a replay, which computes the old rows anew beside the live "
    "table: kappa replay, or the job replay. Delta's widening of types is not known to delta-rs, which writes here."
)


def check_schema(name: str, known: StructType, wanted: StructType) -> list[StructField]:
    """Return the columns of `wanted` that `known` lacks, or has with fewer fields inside of it.

    A struct may have got fields behind those it had, at any depth; a tape's `_source` anywhere. Raises LogicError, with
    all that differs, when a column or a field is removed or has another type.
    """
    by_name = {f.name.lower(): f for f in wanted}
    wider, refused = [], []
    for field in known:
        found = by_name.get(field.name.lower())
        if found is None:
            refused.append(f"has a column {field.name!r} ({field.dataType.simpleString()}) that its function does not")
        elif _is_wider_source(field, found):
            wider.append(found)
        elif _said(field.dataType) != _said(found.dataType):
            differences = list(_differing(field.name, field.dataType, found.dataType))
            refused += differences
            wider += [] if differences else [StructField(field.name, found.dataType, True)]
    names = {f.name.lower() for f in known}
    fresh = [f for f in wanted if f.name.lower() not in names]
    if refused:
        raise LogicError(f"{name} {'; '.join([*refused, *_also_new(fresh)])}", hint=_BY_A_REPLAY)
    return list(nullable(StructType([*wider, *fresh])))


def _differing(path: str, known: DataType, wanted: DataType) -> Iterator[str]:
    """Yield what cannot be had by adding fields: what is at a path inside of a column, and what the function gives."""
    match known, wanted:
        case StructType(), StructType():
            for number, field in enumerate(known):
                at = f"{path}.{field.name}"
                if number >= len(wanted) or wanted[number].name != field.name:
                    given = ", ".join(f.name for f in wanted)
                    yield f"has a field {at!r} where its function gives {path!r} with {given}; new fields come last"
                    return  # those that follow are at other places too
                yield from _differing(at, field.dataType, wanted[number].dataType)
        case ArrayType(), ArrayType():
            yield from _differing(f"{path}[]", known.elementType, wanted.elementType)
        case MapType(), MapType() if _said(known.keyType) == _said(wanted.keyType):
            yield from _differing(f"{path}{{}}", known.valueType, wanted.valueType)
        case _ if _said(known) != _said(wanted):
            yield f"has {path!r} as {_said(known)}, but its function gives {_said(wanted)}"


def _also_new(fresh: list[StructField]) -> list[str]:
    """Return in words which columns are new: one that was renamed is gone under one name, and new under another."""
    told = ", ".join(f"{f.name!r} ({_said(f.dataType)})" for f in fresh)
    return [f"new is {told}"] if fresh else []


def _said(kind: DataType) -> str:
    return kind.simpleString()


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
