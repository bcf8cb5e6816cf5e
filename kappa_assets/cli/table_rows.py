"""Rows of a Delta table as Python values, whatever Spark wrote into it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kappa_assets.place.local.stored_table import Where, stored

_FOUR_CENTURIES = 146_097
"""Days after which the calendar repeats itself."""
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def first_rows(where: Where, limit: int) -> pa.Table:
    """Return the first rows of a table, with its partition columns."""
    table = stored(where)
    return table.head(table.newest() or 0, limit)


def python_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as Python values; a time that Python has no equal of as text, bytes that are no text escaped."""
    columns = [_values(rows.column(n)) for n in range(rows.num_columns)]
    return [dict(zip(rows.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    """Return one value. Arrow fails on times that Python has no equal of, and on text that is no UTF-8."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_struct(kind):
        return {kind.field(n).name: _value(pc.struct_field(scalar, [n])) for n in range(kind.num_fields)}
    if pa.types.is_map(kind):
        entries = scalar.values
        return list(zip(_values(entries.field(0)), _values(entries.field(1)), strict=True))
    if pa.types.is_nested(kind):
        return _values(scalar.values)
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return _as_text(scalar)


def _as_text(scalar: Any) -> str:
    kind = scalar.type
    if pa.types.is_date(kind):
        return _day(scalar.cast(pa.int32()).as_py())
    if pa.types.is_timestamp(kind):
        days, rest = divmod(scalar.cast(pa.int64()).as_py(), 86_400 * _PER_SECOND[kind.unit])
        clock = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=rest * 10**6 // _PER_SECOND[kind.unit])
        return f"{_day(days)}T{clock.time().isoformat()}" + ("+00:00" if kind.tz else "")
    return str(scalar.as_buffer().to_pybytes(), "utf-8", "backslashreplace")


def _day(days: int) -> str:
    """Return a day since 1970 as Spark writes it, years outside 0 to 9999 with their sign."""
    cycles, rest = divmod(days, _FOUR_CENTURIES)
    day = dt.date(1970, 1, 1) + dt.timedelta(days=rest)
    year = day.year + 400 * cycles
    sign = "-" if year < 0 else "+" if year > dt.MAXYEAR else ""
    return f"{sign}{abs(year):04d}-{day:%m-%d}"
