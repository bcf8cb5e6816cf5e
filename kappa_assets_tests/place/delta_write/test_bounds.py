"""Bounds hold every value that a Spark type can hold, and those that cannot be told are left out."""

from __future__ import annotations

import datetime as dt
import json
import math
import struct
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kappa_assets.place.local.delta_write.file_stats import file_stats

UTC_TIMES, CLOCKS = pa.timestamp("us", "UTC"), pa.timestamp("us")
FOREVER = 253_402_300_799_999_999
"""9999-12-31 23:59:59.999999 in microseconds, the usual end of what has none."""
YEAR_1 = -62_135_596_800_000_000
LAST_DAY, DAY_1 = 2_932_896, -719_162
_files = count()


def integers(bits: int, *around: int) -> st.SearchStrategy[int]:
    """Return numbers of the whole range, and often some near the edges of what can be told."""
    near = st.sampled_from([0, *around]).flatmap(lambda n: st.integers(n - 1_000_000, n + 1_000_000))
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) | near


def statistics(folder: Path, values: pa.Array) -> dict[str, Any]:
    path = folder / f"{next(_files)}.parquet"
    # Small row groups: the bounds of several are put together.
    pq.write_table(pa.table({"x": values}), path, row_group_size=2, coerce_timestamps="us")
    rows, text = file_stats(path)
    stats: dict[str, Any] = json.loads(text, parse_float=Decimal)
    assert rows == stats["numRecords"] == len(values)
    assert stats["nullCount"]["x"] == values.null_count
    return stats


def bounds(folder: Path, values: pa.Array) -> tuple[Any, Any]:
    stats = statistics(folder, values)
    return stats["minValues"].get("x"), stats["maxValues"].get("x")


def micros(text: str) -> int:
    at = dt.datetime.fromisoformat(text)
    return (at.replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


@pytest.mark.parametrize("kind", [UTC_TIMES, CLOCKS], ids=str)
@given(st.lists(st.none() | integers(64, FOREVER, YEAR_1), min_size=1, max_size=5))
@example([FOREVER])
@example([YEAR_1 - 1])
@example([-(2**63), 2**63 - 1])
def test_times_of_any_year(tmp_path: Path, kind: pa.DataType, stored: list[int | None]) -> None:
    values = [v for v in stored if v is not None]
    low, high = bounds(tmp_path, pa.array(stored, pa.int64()).cast(kind))
    assert (low is not None) == bool(values and YEAR_1 <= min(values) <= FOREVER)
    assert (high is not None) == bool(values and YEAR_1 - 999 <= max(values) <= FOREVER - 999)
    for bound in filter(None, (low, high)):
        assert bound.endswith("Z") == (kind == UTC_TIMES)
        assert bound[:4].isdigit(), "Spark and delta-rs read years of four digits"
    assert low is None or 0 <= min(values) - micros(low) < 1000
    assert high is None or 0 <= micros(high) - max(values) < 1000


@given(st.lists(integers(32, LAST_DAY, DAY_1), min_size=1, max_size=5))
@example([LAST_DAY])
@example([DAY_1 - 1])
def test_days_of_any_year(tmp_path: Path, stored: list[int]) -> None:
    low, high = bounds(tmp_path, pa.array(stored, pa.int32()).cast(pa.date32()))
    for bound, value in ((low, min(stored)), (high, max(stored))):
        told = DAY_1 <= value <= LAST_DAY
        assert bound == ((dt.date(1970, 1, 1) + dt.timedelta(days=value)).isoformat() if told else None)


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@given(st.data())
def test_integers_of_any_size(tmp_path: Path, bits: int, data: st.DataObject) -> None:
    stored = data.draw(st.lists(integers(bits).map(lambda n: n % 2**bits - 2 ** (bits - 1)), min_size=1, max_size=5))
    found = bounds(tmp_path, pa.array(stored, {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[bits]))
    assert found == (min(stored), max(stored))


@pytest.mark.parametrize(("digits", "places"), [(1, 0), (9, 2), (18, 18), (38, 0), (38, 9), (38, 38)])
@given(st.data())
def test_decimals_to_the_last_digit(tmp_path: Path, digits: int, places: int, data: st.DataObject) -> None:
    unscaled = st.integers(-(10**digits) + 1, 10**digits - 1)
    stored = [Decimal(f"{n}E-{places}") for n in data.draw(st.lists(unscaled, min_size=1, max_size=5))]
    values = pa.array(stored, pa.decimal128(digits, places))
    found = bounds(tmp_path, values)
    assert found == (min(stored), max(stored))
    # Spark keeps decimals of up to 18 digits as integers.
    path = tmp_path / f"{next(_files)}.parquet"
    pq.write_table(pa.table({"x": values}), path, store_decimal_as_integer=True)
    stats = json.loads(file_stats(path)[1], parse_float=Decimal)
    assert (stats["minValues"]["x"], stats["maxValues"]["x"]) == found


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [(pa.float32(), st.floats(width=32, allow_nan=False)), (pa.float64(), st.floats(allow_nan=False))],
    ids=["float", "double"],
)
@given(st.data())
def test_floating_point_numbers(
    tmp_path: Path, kind: pa.DataType, numbers: st.SearchStrategy[float], data: st.DataObject
) -> None:
    stored = data.draw(st.lists(numbers, min_size=1, max_size=5))
    low, high = (None if b is None else float(b) for b in bounds(tmp_path, pa.array(stored, kind)))
    assert low == (min(stored) if math.isfinite(min(stored)) else None)
    assert high == (max(stored) if math.isfinite(max(stored)) else None)


def array_of_bytes(stored: list[bytes]) -> pa.Array:
    """Return a string column of any bytes, as Spark's may hold: Arrow's does not look either."""
    ends = [0]
    for text in stored:
        ends.append(ends[-1] + len(text))
    offsets = pa.py_buffer(struct.pack(f"<{len(ends)}i", *ends))
    return pa.Array.from_buffers(pa.string(), len(stored), [None, offsets, pa.py_buffer(b"".join(stored))])


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(str.encode)
LONG = st.sampled_from([b"a", "ü".encode(), "\U0001f600".encode(), b"\xf4\x8f\xbf\xbf"]).map(lambda c: c * 32)


@given(
    st.lists(
        ANY_TEXT | st.binary(max_size=6) | st.tuples(LONG, ANY_TEXT | st.binary(max_size=6)).map(b"".join), min_size=1
    )
)
@example([b"Troms\xf8"])
@example([b"\xff"])
@example([b"a" * 32 + b"\xff"])
@example([b"a" * 32 + 2 * "\U0010ffff".encode()])
@example([b"a" * 32 + "\U0010ffff".encode()])
@example([b"\xe2\x80\xa8", b"\x00"])
def test_texts_of_any_bytes(tmp_path: Path, stored: list[bytes]) -> None:
    low, high = bounds(tmp_path, array_of_bytes(stored))
    assert low is None or low.encode() <= min(stored)
    assert high is None or high.encode() >= max(stored)
    if all(is_text(text) and len(text) <= 32 for text in stored):
        assert (low, high) == (min(stored).decode(), max(stored).decode())


def is_text(stored: bytes) -> bool:
    try:
        stored.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_types_without_bounds_have_none(tmp_path: Path) -> None:
    for values in (
        pa.array([b"\xff", b"a"]),
        pa.array([True, None]),
        pa.array([None, None], pa.string()),
        pa.array([1, 2], pa.duration("us")).cast(pa.int64()).cast(pa.duration("us")),
        pa.array([1, 2], pa.time64("us")),
        pa.array([b"\xff\xff"], pa.binary(2)),
        pa.array([1.5], pa.float16()),
    ):
        assert bounds(tmp_path, values) == (None, None), values.type


def test_lists_and_maps_have_no_statistics_and_leave_the_columns_after_them_theirs(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "list": pa.array([[{"at": 1, "n": 7}], None], pa.list_(pa.struct({"at": UTC_TIMES, "n": pa.int64()}))),
            "map": pa.array([[("k", [1])], []], pa.map_(pa.string(), pa.list_(pa.date32()))),
            "in": pa.array([{"a.b": {"c": 5}}, None], pa.struct({"a.b": pa.struct({"c": pa.int64()})})),
            "after": [3, 4],
        }
    )
    pq.write_table(rows, tmp_path / "f.parquet")
    stats = json.loads(file_stats(tmp_path / "f.parquet")[1])
    assert stats["minValues"] == {"in": {"a.b": {"c": 5}}, "after": 3}
    assert stats["maxValues"] == {"in": {"a.b": {"c": 5}}, "after": 4}
    assert stats["nullCount"] == {"in": {"a.b": {"c": 1}}, "after": 0}


def test_a_column_with_a_dot_is_not_taken_for_one_of_a_struct(tmp_path: Path) -> None:
    columns = {"a": pa.array([{"b": 1}]), "a.b": pa.array([99]), "a.c": pa.array(["x"])}
    for names in (("a", "a.b", "a.c"), ("a.c", "a.b", "a")):
        pq.write_table(pa.table({name: columns[name] for name in names}), tmp_path / "f.parquet")
        stats = json.loads(file_stats(tmp_path / "f.parquet")[1])
        assert stats["minValues"] == stats["maxValues"] == {"a": {"b": 1}, "a.b": 99, "a.c": "x"}
