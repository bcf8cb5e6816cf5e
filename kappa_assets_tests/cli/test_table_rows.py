"""What a table holds is shown, also what Python has no equal of."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from kappa_assets.cli.answer import to_json, to_text
from kappa_assets.cli.table_rows import first_rows, python_rows

UTC_TIMES, CLOCKS = pa.timestamp("us", "UTC"), pa.timestamp("us")
FOREVER = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)


def odd_text(*stored: bytes) -> pa.Array:
    """Return a string column of any bytes, which Arrow's may hold as Spark's may."""
    return pa.array(stored, pa.binary()).view(pa.string())


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pa.array([2932896, 2932897, 6667932], pa.int32()).cast(pa.date32()), ["9999-12-31", "+10000-01-01", None]),
        (pa.array([-719163, -719528, -719893], pa.int32()).cast(pa.date32()), ["0000-12-31", "0000-01-01", None]),
        (
            pa.array([253402300799999999, 253402300800000000, None], UTC_TIMES),
            [None, "+10000-01-01T00:00:00+00:00", None],
        ),
        (pa.array([-62135596800000001], CLOCKS), ["0000-12-31T23:59:59.999999"]),
        (pa.array([-(2**63), 2**63 - 1], UTC_TIMES), ["-290308-12-21T19:59:05.224192+00:00", None]),
        (odd_text(b"Troms\xf8", "ü".encode()), ["Troms\\xf8", "ü"]),
        (pa.array([[253402300800000000], None], pa.list_(CLOCKS)), [["+10000-01-01T00:00:00"], None]),
        (pa.StructArray.from_arrays([odd_text(b"\xff")], ["x"]), [{"x": "\\xff"}]),
    ],
    ids=str,
)
def test_what_python_has_no_equal_of_is_shown_as_text(values: pa.Array, shown: list[Any]) -> None:
    rows = python_rows(pa.table({"x": values}))
    found = json.loads(to_json(rows))
    for row, expected in zip(found, shown, strict=True):
        if expected is not None:
            assert row == {"x": expected}
    assert all(isinstance(to_text(row["x"]), str) for row in rows)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=9)
MAPS = st.dictionaries(TEXTS, st.integers(0, 9), max_size=3).map(lambda m: [*m.items()])


@given(st.lists(st.tuples(st.none() | st.dates(), st.none() | MAPS, st.none() | TEXTS), min_size=1))
def test_what_python_knows_is_shown_as_arrow_gives_it(rows: list[tuple[Any, ...]]) -> None:
    kinds = {"day": pa.date32(), "map": pa.map_(pa.string(), pa.int64()), "text": pa.string()}
    columns = zip(kinds.items(), zip(*rows, strict=True), strict=True)
    table = pa.table({name: pa.array(values, kind) for (name, kind), values in columns})
    assert python_rows(table) == table.to_pylist()


def test_early_years_are_shown_with_their_zeros() -> None:
    assert to_text(dt.datetime(987, 1, 5, tzinfo=dt.UTC)) == "0987-01-05 00:00:00"
    assert to_text(FOREVER) == "9999-12-31 23:59:59"


def test_rows_are_read_up_to_the_limit_with_their_partition(tmp_path: Path) -> None:
    days = [dt.date(2026, 1, 5), None, dt.date(2026, 1, 6)]
    write_deltalake(tmp_path, pa.table({"n": [1, 2, 3], "day": pa.array(days)}), partition_by=["day"])
    found = python_rows(first_rows(tmp_path, 9))
    assert sorted((r["n"], r["day"]) for r in found) == [(1, days[0]), (2, None), (3, days[2])]
    assert first_rows(tmp_path, 2).num_rows == 2
