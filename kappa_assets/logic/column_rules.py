"""Whether columns that a function gives can be kept, by their names and types, and meet what is expected of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    MapType,
    NullType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
    VariantType,
)

from kappa_assets.declare.tables import Derived, Silver
from kappa_assets.logic.analysed import analysed
from kappa_assets.logic.plan_rules import check_reads_no_table, check_same_answer, refuse, short

_KEPT = (
    BinaryType,
    BooleanType,
    DateType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
    VariantType,
)
_NOT_IN_DELTA = set(" ,;{}()\n\t=")
FAILS, JUDGED = "_fails_", "_judged_"
"""What names of columns begin with that rows have while they are judged: which expectations a row fails, and what
becomes of it."""
_CHANGE_FEED = {"_change_type", "_commit_version", "_commit_timestamp"}
"""Columns that Delta's change feed adds to those of the table. A Silver has one."""


def check_columns(table: Derived, schema: StructType, *, required: Sequence[str] = (), hint: str = "") -> None:
    """Refuse columns that are missing, with `hint`, or that Delta or we cannot keep.

    Raises LogicError with the column's name.
    """
    missing = [column for column in required if column not in schema.names]
    if missing:
        refuse(table, f"leaves out {', '.join(missing)}", hint)
    lower = [column.lower() for column in schema.names]
    for column in schema.names:
        if lower.count(column.lower()) > 1:
            refuse(table, f"has two columns named {column!r}", "Rename one, or select the columns by name.")
        if set(column) & _NOT_IN_DELTA:
            refuse(table, f"has a column named {column!r}, which Delta does not take", "Name it with alias().")
    stored = [path for field in schema for path, _ in _types(field.name, field.dataType)]
    for path in stored:
        if stored.count(path) > 1:
            hint = "Spark takes one for the other when it skips what a file holds: name it without a dot, with alias()."
            refuse(table, f"has a column named {path!r} beside a struct with such a field", hint)
    for field in schema:
        for path, kind in _types(repr(field.name), field.dataType):
            _check_type(table, path, kind)


def check_free_names(table: Derived, schema: StructType) -> None:
    """Refuse names of the change feed, which tables below read."""
    for column in schema.names:
        if column.lower() in _CHANGE_FEED:
            what = f"has a column named {column!r}, a name of the change feed that its Golds read"
            refuse(table, what, "Name it with alias().")


def check_judging_names(table: Derived, schema: StructType) -> None:
    """Refuse names of what rows are judged with, of a table that judges them."""
    judging = {"_rejected", *(f"_meets_{e.name}" for e in table.expectations)}
    for column in schema.names if table.judges else ():
        if column.lower() in judging or column.lower().startswith((FAILS, JUDGED)):
            what = f"has a column named {column!r}, a name that is used while its rows are judged"
            refuse(table, what, "Name it with alias().")


def with_expectations(table: Derived, output: DataFrame) -> DataFrame:
    """Return `output` filtered by every expectation: their columns are resolved, their plan is checked."""
    for expectation in table.expectations:
        try:
            output = output.filter(expectation.condition)
        except PySparkException as error:
            what = f"cannot meet its expectation {expectation.name!r}: {short(error)}"
            refuse(table, what, f"A condition is SQL on the output: {output.columns}.", error)
    return output


def check_expectations(table: Derived, output: DataFrame) -> None:
    """Check the expectations of a table that is not row by row. Raises LogicError."""
    check_judging_names(table, output.schema)
    plan = analysed(with_expectations(table, output)) if table.expectations else None
    if plan is not None:
        check_same_answer(table, plan.top)
        check_reads_no_table(table, plan.top)


def check_unique(table: Silver, schema: StructType) -> None:
    """Refuse columns by which rows are one that are none of the output, or that rows cannot be grouped by."""
    for column in table.unique:
        if column not in schema.names:
            refuse(table, f"is unique by {column!r}, which is no column of its output", f"It has {schema.names}.")
        kinds = [kind for _, kind in _types(column, schema[column].dataType)]
        if any(isinstance(kind, MapType | VariantType) for kind in kinds):
            what = f"is unique by {column!r}, which is of type {schema[column].dataType.simpleString()}"
            refuse(table, what, "Rows cannot be grouped by it: take what tells them apart out of it in the function.")


def check_event_time(table: Silver, schema: StructType) -> None:
    """Refuse a time of the event that is no column of the output, or neither a timestamp nor a date."""
    if table.late is None:
        return
    column = table.late.event_time
    if column not in schema.names:
        refuse(table, f"tells late rows by {column!r}, which is no column of its output", f"It has {schema.names}.")
    kind = schema[column].dataType
    if not isinstance(kind, TimestampType | TimestampNTZType | DateType):
        what = f"tells late rows by {column!r}, which is of type {kind.simpleString()}"
        refuse(table, what, "It must be a timestamp or a date: try_cast it in the function.")


def _check_type(table: Derived, path: str, kind: DataType) -> None:
    if isinstance(kind, NullType):
        hint = "Nothing but null is in it: give it a type, such as F.lit(None).cast('string')."
        refuse(table, f"has a column {path} of type void, which cannot be kept", hint)
    if isinstance(kind, StringType) and not kind.isUTF8BinaryCollation():
        hint = "Files are skipped by the order of bytes: cast it to string, and collate where it is read."
        refuse(table, f"has a column {path} of type {kind.simpleString()}, which Delta does not take", hint)
    if isinstance(kind, StructType) and not kind.fields:
        refuse(table, f"has a column {path}, a struct without fields", "Parquet does not take one: leave it out.")
    if not isinstance(kind, (*_KEPT, ArrayType, MapType, StructType)):
        hint = "Cast it: an interval to a number of days or seconds, a time of day to a string."
        refuse(table, f"has a column {path} of type {kind.simpleString()}, which Delta does not take", hint)


def _types(path: str, kind: DataType) -> Iterator[tuple[str, DataType]]:
    """Yield the type of a column, and of all that is in it, each with where it is."""
    yield path, kind
    match kind:
        case StructType():
            for field in kind:
                yield from _types(f"{path}.{field.name}", field.dataType)
        case ArrayType():
            yield from _types(f"{path}[]", kind.elementType)
        case MapType():
            yield from _types(f"{path} (its keys)", kind.keyType)
            yield from _types(f"{path} (its values)", kind.valueType)
