"""Rows of a Delta table as Python values, whatever Spark wrote into it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from kappa_assets.place.local.delta_write.held_files import held_files

_FOUR_CENTURIES = 146_097
"""Days after which the calendar repeats itself."""
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def first_rows(folder: Path, limit: int) -> pa.Table:
    """Return the first rows of a table, with its partition columns."""
    table = DeltaTable(folder)
    try:
        return table.to_pyarrow_dataset().head(limit)
    except ValueError:  # statistics of Spark's with days outside the years 1 to 9999, which delta-rs makes Python's of
        return _read(table, folder, limit)


def python_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as Python values; a time that Python has no equal of as text, bytes that are no text escaped."""
    columns = [_values(rows.column(n)) for n in range(rows.num_columns)]
    return [dict(zip(rows.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _read(table: DeltaTable, folder: Path, limit: int) -> pa.Table:
    schema = pa.schema(table.schema().to_arrow())
    found, count = [schema.empty_table()], 0
    for held in held_files(table):
        with pq.ParquetFile(folder / held["path"]) as file:
            for batch in file.iter_batches(limit):
                if count < limit:
                    found.append(_fitted(pa.table(batch), held, schema))
                    count += batch.num_rows
    return pa.concat_tables(found).slice(0, limit)


def _fitted(rows: pa.Table, held: dict[str, Any], schema: pa.Schema) -> pa.Table:
    columns = [
        rows.column(f.name).cast(f.type)
        if f.name in rows.column_names
        else pa.chunked_array([pa.repeat(pa.scalar(held.get(f"partition.{f.name}"), f.type), rows.num_rows)])
        for f in schema
    ]
    return pa.table(columns, schema=schema)


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
