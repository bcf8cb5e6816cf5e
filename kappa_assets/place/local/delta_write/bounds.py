"""The bounds of a column as Delta's statistics tell them: exact where they can be told, left out where not.

They are made of values as Parquet stores them, because Arrow fails to make Python's of some: of years after 9999, of
text that is no UTF-8. A lower bound is never too high and an upper bound never too low, or a reader would skip rows.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import pyarrow as pa

_STRING_PREFIX = 32
"""Delta's default `dataSkipping.stringPrefixLength`."""
_ABOVE_ANY_TEXT = "\U0010ffff"
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 -- Parquet's times are naive, or UTC
_FIRST_DAY, _LAST_DAY = ((day - _EPOCH.date()).days for day in (dt.date.min, dt.date.max))
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def comparable(stored: Any, kind: pa.DataType) -> Any:
    """Return a least or greatest value of one row group as one that can be compared with another's.

    Decimals become their digits as an integer; None is a value of a type that has no bounds.
    """
    if pa.types.is_decimal(kind):
        return int.from_bytes(stored, "big", signed=True) if isinstance(stored, bytes) else stored
    has_bounds = (
        pa.types.is_signed_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_date32(kind)
        or _is_text(kind)
    )
    return stored if has_bounds and isinstance(stored, bytes) == _is_text(kind) else None


def lower_bound(stored: Any, kind: pa.DataType) -> Any:
    """Return what no value is below, as Delta's JSON wants it; None where that cannot be told."""
    text = _text(stored, kind)
    return text[:_STRING_PREFIX] if text is not None else _plain(stored, kind, round_up=False)


def upper_bound(stored: Any, kind: pa.DataType) -> Any:
    """Return what no value is above, as Delta's JSON wants it; None where that cannot be told."""
    text = _text(stored, kind)
    if text is None:
        return _plain(stored, kind, round_up=True)
    start, rest = text[:_STRING_PREFIX], text[_STRING_PREFIX:]
    if rest > _ABOVE_ANY_TEXT:
        return None
    return start + _ABOVE_ANY_TEXT if rest else start


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _text(stored: Any, kind: pa.DataType) -> str | None:
    """Return a stored text. A Spark string may hold any bytes, and JSON only text."""
    if stored is None or not _is_text(kind):
        return None
    try:
        return str(stored, "utf-8")
    except UnicodeDecodeError:
        return None


def _plain(stored: Any, kind: pa.DataType, *, round_up: bool) -> Any:
    if stored is None or _is_text(kind):
        return None
    if pa.types.is_decimal(kind):
        return decimal.Decimal(f"{stored}E{-kind.scale}")
    if pa.types.is_floating(kind):
        return float(stored) if math.isfinite(stored) else None
    if pa.types.is_timestamp(kind):
        return _milliseconds(stored, kind, round_up=round_up)
    if pa.types.is_date(kind):
        return (_EPOCH.date() + dt.timedelta(days=stored)).isoformat() if _FIRST_DAY <= stored <= _LAST_DAY else None
    return int(stored)


def _milliseconds(stored: int, kind: pa.DataType, *, round_up: bool) -> str | None:
    """Return a time cut to milliseconds, as Delta keeps it: a lower bound down, an upper bound up.

    Years are written with four digits: the one above 9999-12-31 23:59:59.999 has five.
    """
    sign = -1 if round_up else 1
    millis = sign * (sign * stored * 1_000 // _PER_SECOND[kind.unit])
    if not _FIRST_DAY <= millis // 86_400_000 <= _LAST_DAY:
        return None
    at = _EPOCH + dt.timedelta(milliseconds=millis)
    return at.isoformat(timespec="milliseconds") + ("Z" if kind.tz else "")
