"""Whether the values of a Parquet column fit the type that the tape has for it, without loss.

Writers change a column's type from file to file: pandas makes floats of integers beside a None, and a column of Nones
has no type at all. Spark alone would take that for `int`. So values are looked at, one file and one column at a time,
and only where the types differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    ByteType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from kappa_assets.columns import quoted
from kappa_assets.sources.column_names import column_name, same_name

_INTEGERS: Mapping[type[DataType], int] = {ByteType: 8, ShortType: 16, IntegerType: 32, LongType: 64}
_EXACT: Mapping[type[DataType], int] = {FloatType: 1 << 24, DoubleType: 1 << 53}
"""Integers below this in size are the same as floats. Above, a file may hold what was rounded when it was written."""


class DoesNotFit(Exception):
    """Why a column, or its values in one file, cannot be taken."""


@dataclass(frozen=True)
class Fit:
    """How a column becomes one of the tape: its type there, the expression, and whether its values must be checked."""

    kind: DataType
    column: Column
    checked: bool


def fits_of(path: str, schema: StructType, types: Mapping[str, DataType]) -> dict[str, Fit]:
    """Return how each column of a file, and of all that have the same schema, is taken. Raises DoesNotFit for all.

    `schema`: as Spark reads the file. `types`: what the tape has, by `same_name`.
    """
    arrow = pq.read_schema(path)
    found: dict[str, Fit] = {}
    wrong: list[str] = []
    for name, field in zip(schema.names, schema, strict=True):
        try:
            one = _fit(name, arrow.field(name).type, field.dataType, types.get(same_name(column_name(name))))
        except DoesNotFit as error:
            wrong.append(str(error))
            continue
        if one is not None:
            found[name] = one
    if wrong:
        raise DoesNotFit(", ".join(wrong))
    return found


def misfit(path: str, fits: Mapping[str, Fit]) -> str:
    """Return which values of a file are not the same in the tape's types; nothing when all are."""
    wrong = []
    file = pq.ParquetFile(path)
    for name in (name for name, one in fits.items() if one.checked):
        try:
            for batch in file.iter_batches(columns=[name]):
                _check(name, batch.column(name), fits[name].kind)
        except DoesNotFit as error:
            wrong.append(str(error))
    return ", ".join(wrong)


def _fit(name: str, file: pa.DataType, spark: DataType, tape: DataType | None) -> Fit | None:
    """Return how a file's column is taken; None where it holds nothing that a type could be told from.

    `file`: its type in Arrow's words; `spark`: as Spark reads it; `tape`: the column's type there, if it has one.
    Raises DoesNotFit for types that no value of one kind could go over to.
    """
    if pa.types.is_null(file):
        return None
    column = F.col(quoted(name))
    if pa.types.is_timestamp(file) and file.unit == "ns" and isinstance(spark, LongType):
        kind: DataType = TimestampType() if file.tz else TimestampNTZType()
        micros = F.expr(f"timestamp_micros({quoted(name)} DIV 1000)").cast(kind)
        if tape is not None and tape != kind:
            raise DoesNotFit(f"{name} is {kind.simpleString()}, not {tape.simpleString()}")
        return Fit(kind, micros, checked=True)
    if _holds(file, lambda t: pa.types.is_timestamp(t) and t.unit == "ns") and _holds_long_for_time(file, spark):
        raise DoesNotFit(f"{name} holds times in nanoseconds inside {spark.simpleString()}, which Spark cannot read")
    if tape is None:
        if _holds(file, pa.types.is_null):
            raise DoesNotFit(f"{name} holds empty values only, and no other file has told its type yet")
        return Fit(spark, column, checked=False)
    if spark.simpleString() == tape.simpleString() and not _holds(file, pa.types.is_null):
        return Fit(tape, column, checked=False)
    return Fit(tape, _converted(name, column, file, spark, tape), checked=True)


def _converted(name: str, column: Column, file: pa.DataType, spark: DataType, tape: DataType) -> Column:
    """Return the column in the tape's type, where each value may fit. Raises DoesNotFit where none could."""
    if pa.types.is_null(file):
        return F.lit(None).cast(tape)
    if spark.simpleString() == tape.simpleString():
        return column
    match spark, tape:
        case StructType(), StructType():
            return _struct(name, column, file, spark, tape)
        case ArrayType(), ArrayType():
            inner, target = spark.elementType, tape.elementType
            value = file.value_type
            return F.transform(column, lambda one: _converted(name, one, value, inner, target))
    if _are_numbers(file, spark, tape):
        return column.cast(tape)
    raise DoesNotFit(f"{name} is {spark.simpleString()}, not {tape.simpleString()}")


def _struct(name: str, column: Column, file: pa.DataType, spark: StructType, tape: StructType) -> Column:
    """Return a struct with the tape's fields, null where the file has none. A field more would be lost."""
    mine = {same_name(f.name): f for f in spark}
    more = mine.keys() - {same_name(f.name) for f in tape}
    if more:
        names = ", ".join(mine[key].name for key in sorted(more))
        raise DoesNotFit(f"{name} has the field {names}, which the tape's has not")
    arrow = {same_name(file.field(i).name): file.field(i).type for i in range(file.num_fields)}
    fields = []
    for f in tape:
        own = mine.get(same_name(f.name))
        value = F.lit(None).cast(f.dataType)
        if own is not None:
            part = column.getField(own.name)
            value = _converted(f"{name}.{f.name}", part, arrow[same_name(f.name)], own.dataType, f.dataType)
        fields.append(value.alias(f.name))
    return F.when(column.isNotNull(), F.struct(*fields))


def _are_numbers(file: pa.DataType, spark: DataType, tape: DataType) -> bool:
    """Return whether values of one type can be the same in the other. A decimal is no integer by chance."""
    numbers = (*_INTEGERS, *_EXACT)
    if isinstance(tape, DecimalType):
        return isinstance(spark, DecimalType) or pa.types.is_integer(file)
    # Unsigned integers of 64 bits are decimals for Spark.
    return (type(spark) in numbers or pa.types.is_integer(file)) and type(tape) in numbers


def _check(name: str, values: pa.Array, tape: DataType) -> None:
    kind = values.type
    if values.null_count == len(values):
        return
    if pa.types.is_timestamp(kind):
        try:
            values.cast(pa.timestamp("us", kind.tz))
        except pa.ArrowInvalid as error:
            raise DoesNotFit(f"{name} holds times finer than a microsecond") from error
        return
    if pa.types.is_struct(kind) and isinstance(tape, StructType):
        wanted = {same_name(f.name): f.dataType for f in tape}
        for index in range(kind.num_fields):
            field = kind.field(index)
            _check(f"{name}.{field.name}", pc.struct_field(values, [index]), wanted[same_name(field.name)])
        return
    if isinstance(tape, ArrayType):
        _check(name, pc.list_flatten(values), tape.elementType)
        return
    if not _same_in(values, tape):
        raise DoesNotFit(f"{name} holds {kind} values that are no {tape.simpleString()}")


def _same_in(values: pa.Array, tape: DataType) -> bool:
    kind = values.type
    if pa.types.is_floating(kind):
        if isinstance(tape, FloatType):
            narrow = values.cast(pa.float32(), safe=False).cast(kind)
            return _all(pc.or_(pc.equal(narrow, values), pc.is_nan(values)))
        if type(tape) in _INTEGERS:
            bits = min(_INTEGERS[type(tape)] - 1, 53)
            whole = pc.and_(pc.is_finite(values), pc.equal(pc.floor(values), values))
            return _all(pc.and_(whole, pc.less(pc.abs(values), float(1 << bits))))
        return True
    if pa.types.is_integer(kind):
        low, high = (int(v) for v in pc.min_max(values).as_py().values())
        match tape:
            case DecimalType():
                return bool(max(-low, high) < 10 ** (tape.precision - tape.scale))
            case FloatType() | DoubleType():
                return max(-low, high) <= _EXACT[type(tape)]
        bits = _INTEGERS[type(tape)] - 1
        return -(1 << bits) <= low and high < 1 << bits
    if isinstance(tape, DecimalType):
        try:
            values.cast(pa.decimal128(tape.precision, tape.scale))
        except pa.ArrowInvalid:
            return False
    return True


def _all(each: pa.Array) -> bool:
    return bool(pc.all(each).as_py())


def _holds(file: pa.DataType, what: object) -> bool:
    """Return whether a type, or one inside it, is `what`."""
    assert callable(what)  # noqa: S101 -- for mypy: pyarrow's predicates have no types
    return bool(what(file)) or any(_holds(t, what) for t in _inner(file))


def _inner(file: pa.DataType) -> list[pa.DataType]:
    if pa.types.is_struct(file):
        return [file.field(i).type for i in range(file.num_fields)]
    if pa.types.is_map(file):
        return [file.key_type, file.item_type]
    return [file.value_type] if hasattr(file, "value_type") else []


def _holds_long_for_time(file: pa.DataType, spark: DataType) -> bool:
    """Return whether Spark reads a time inside a value as a number, as it does with nanoseconds."""
    if pa.types.is_timestamp(file):
        return isinstance(spark, LongType)
    match spark:
        case StructType():
            pairs = [(file.field(i).type, f.dataType) for i, f in enumerate(spark)]
            return any(_holds_long_for_time(t, kind) for t, kind in pairs)
        case ArrayType():
            return _holds_long_for_time(file.value_type, spark.elementType)
    return _holds(file, lambda t: pa.types.is_timestamp(t) and t.unit == "ns")
