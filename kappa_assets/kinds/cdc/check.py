"""Whether a function gives changes that can be merged: the rules of what is row by row, and those of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    IntegralType,
    MapType,
    StructType,
    TimestampNTZType,
    TimestampType,
    VariantType,
)

from kappa_assets.columns import ARRIVAL_DATE, ARRIVED_AT
from kappa_assets.declare.options.cdc import IS_CURRENT, VALID_FROM, VALID_TO, Cdc
from kappa_assets.declare.tables import Expectation, Silver
from kappa_assets.kinds.cdc.merging import conditions, marked, shown
from kappa_assets.logic.logic_check import Answer, check_row_by_row
from kappa_assets.logic.plan_rules import refuse, short

_NESTED = (ArrayType, MapType, StructType, VariantType)
_OURS = "_cdc_"


def check_cdc(table: Silver, upstream: DataFrame, *, unique: Sequence[tuple[str, ...]] = ()) -> Answer:
    """Return what the table shows of the function's answer to `upstream`, which may be empty.

    Raises LogicError, with the file and line of the declaration, for what is not row by row, for columns of `cdc()`
    that the function does not give or that cannot be what they are to be, and for conditions that do not fit.
    """
    changes, cdc = check_changes(table, upstream, unique=unique)
    return Answer(shown(cdc, marked(cdc, changes)))


def check_changes(
    table: Silver, upstream: DataFrame, *, unique: Sequence[tuple[str, ...]] = ()
) -> tuple[DataFrame, Cdc]:
    """Return the changes that the function gives of `upstream`, and how they are merged. Raises as `check_cdc` does."""
    cdc = table.cdc
    assert cdc is not None  # noqa: S101 -- for mypy; a table of this kind has it
    changes = check_row_by_row(table, upstream, unique=unique).rows
    _check_names(table, cdc, changes)
    for name in cdc.keys:
        _check_key(table, name, changes.schema[name].dataType)
    for name in cdc.sequence_by:
        _check_sequence(table, name, changes.schema[name].dataType)
    if cdc.snapshot_rows is not None:
        _check_rows(table, cdc.snapshot_rows, changes)
    for option, condition in conditions(cdc).items():
        _check_condition(table, option, condition, changes)
    rules = tuple(Expectation(option, condition) for option, condition in conditions(cdc).items())
    check_row_by_row(replace(table, expectations=rules), upstream, unique=unique)
    return changes, cdc


def _check_names(table: Silver, cdc: Cdc, changes: DataFrame) -> None:
    for option in ("keys", "sequence_by", "track"):
        missing = next((name for name in getattr(cdc, option) if name not in changes.columns), None)
        if missing is not None:
            refuse(
                table, f"has {missing!r} in {option} of cdc(), and gives no such column", f"It has {changes.columns}."
            )
    taken = {VALID_FROM, VALID_TO, IS_CURRENT} if cdc.scd != 1 else set()
    for name in changes.columns:
        if name.lower() in taken or name.lower().startswith(_OURS):
            refuse(table, f"has a column named {name!r}, a name that cdc() gives itself", "Name it with alias().")


def _check_key(table: Silver, name: str, kind: DataType) -> None:
    if isinstance(kind, _NESTED):
        hint = "A key is a value that can be compared: take a field of it, or cast it to string."
        refuse(table, f"has the key {name!r}, which is a {kind.simpleString()}", hint)


def _check_sequence(table: Silver, name: str, kind: DataType) -> None:
    if isinstance(kind, (*_NESTED, BooleanType)):
        hint = "Order changes by numbers, texts, dates or times: the position in the source's log, or when it was made."
        refuse(table, f"orders its changes by {name!r}, which is a {kind.simpleString()} and orders none", hint)
    forgets = table.cdc is not None and table.cdc.forget_deletes is not None
    if forgets and not isinstance(kind, DateType | TimestampType | TimestampNTZType):
        hint = "It must be a timestamp or a date: try_cast it in the function, or leave forget_deletes out."
        refuse(table, f"forgets deletes by the age of {name!r}, which is a {kind.simpleString()}", hint)
    if name in (ARRIVED_AT, ARRIVAL_DATE):
        hint = "It may be unknown, and is the same for all of a file: name _batch_id and _row for the order of arrival."
        refuse(table, f"orders its changes by {name!r}", hint)


def _check_rows(table: Silver, name: str, changes: DataFrame) -> None:
    if name not in changes.columns:
        what = f"has {name!r} in snapshot_rows of cdc(), and gives no such column"
        refuse(table, what, f"It has {changes.columns}.")
    kind = changes.schema[name].dataType
    if not isinstance(kind, IntegralType):
        hint = "It is the number of keys of the snapshot: try_cast it to bigint in the function."
        refuse(table, f"counts the keys of a snapshot by {name!r}, which is a {kind.simpleString()}", hint)


def _check_condition(table: Silver, option: str, condition: str, changes: DataFrame) -> None:
    try:
        changes.filter(condition)
    except PySparkException as error:
        what = f"cannot tell {option} of cdc(), {condition!r}: {short(error)}"
        refuse(table, what, f"It has {changes.columns}.", error)
