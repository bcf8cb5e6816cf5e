"""Delta's file statistics, taken from Parquet footers, so that readers skip files as if Delta had written them."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_INDEXED_COLUMNS = 32
"""Delta's default `delta.dataSkippingNumIndexedCols`."""
_STRING_PREFIX = 32
"""Delta's default `dataSkipping.stringPrefixLength`."""
_ABOVE_ANY_TEXT = "\U0010ffff"
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 -- Parquet's own statistics are naive UTC


def file_stats(path: Path) -> tuple[int, str]:
    """Return the file's row count and its statistics as the JSON text of the Delta protocol.

    Columns inside lists and maps, booleans and binaries get null counts at most, as in Delta itself.
    """
    footer = pq.read_metadata(path)
    schema = footer.schema.to_arrow_schema()
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    nulls: dict[str, Any] = {}
    for index in range(min(footer.num_columns, _INDEXED_COLUMNS)):
        column = footer.schema.column(index)
        if column.max_repetition_level:  # inside a list or a map
            continue
        parts = column.path.split(".")
        field = _leaf(schema, parts)
        if field is None:
            continue
        count, low, high = _over_row_groups(footer, index)
        if count is not None:
            _put(nulls, parts, count)
        low, high = _low(low, field), _high(high, field)
        if low is not None and high is not None:
            _put(lows, parts, low)
            _put(highs, parts, high)
    stats = {"numRecords": footer.num_rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}
    return footer.num_rows, _encode(stats)


def _leaf(schema: pa.Schema, parts: list[str]) -> pa.DataType | None:
    try:
        found = schema.field(parts[0]).type
        for part in parts[1:]:
            found = found.field(part).type
    except (KeyError, AttributeError):
        return None
    return found


def _over_row_groups(footer: pq.FileMetaData, index: int) -> tuple[int | None, Any, Any]:
    """Return null count, least and greatest value over all row groups; None for what is not known everywhere."""
    nulls, low, high, known = 0, None, None, True
    for group in range(footer.num_row_groups):
        chunk = footer.row_group(group).column(index)
        stats = chunk.statistics
        if stats is None or not stats.has_null_count:
            return None, None, None
        nulls += stats.null_count
        if stats.has_min_max:
            low = stats.min if low is None else min(low, stats.min)
            high = stats.max if high is None else max(high, stats.max)
        elif stats.null_count < chunk.num_values:
            known = False
    return nulls, (low if known else None), (high if known else None)


def _low(value: Any, kind: pa.DataType) -> Any:
    if isinstance(value, str):
        return value[:_STRING_PREFIX]
    return _plain(value, kind, round_up=False)


def _high(value: Any, kind: pa.DataType) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _STRING_PREFIX else value[:_STRING_PREFIX] + _ABOVE_ANY_TEXT
    return _plain(value, kind, round_up=True)


def _plain(value: Any, kind: pa.DataType, *, round_up: bool) -> Any:
    """Return a bound as Delta's JSON wants it, or None for types without bounds."""
    if value is None or pa.types.is_boolean(kind):
        return None
    if pa.types.is_integer(kind):
        return int(value)
    if pa.types.is_floating(kind):
        return float(value) if math.isfinite(value) else None
    if pa.types.is_decimal(kind):
        return decimal.Decimal(value)
    if pa.types.is_timestamp(kind):
        return _milliseconds(value, round_up=round_up) + ("Z" if kind.tz else "")
    if pa.types.is_date(kind):
        return value.isoformat()
    return None


def _milliseconds(value: dt.datetime, *, round_up: bool) -> str:
    """Return a time cut to milliseconds, as Delta keeps it: a lower bound down, an upper bound up."""
    micros = (value.replace(tzinfo=None) - _EPOCH) // dt.timedelta(microseconds=1)
    millis = -(-micros // 1000) if round_up else micros // 1000
    return (_EPOCH + dt.timedelta(milliseconds=millis)).isoformat(timespec="milliseconds")


def _put(tree: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
    tree[parts[-1]] = value


def _encode(value: Any) -> str:
    """Return JSON with decimals as exact numbers, which `json.dumps` cannot write."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_encode(v)}" for k, v in value.items()) + "}"
    return format(value, "f") if isinstance(value, decimal.Decimal) else json.dumps(value)
