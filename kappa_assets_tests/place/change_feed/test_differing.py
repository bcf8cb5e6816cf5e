"""Rows of every type that two tables in memory differ in, told by a multiset of plain Python."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets.place.local.change_feed import differing as module
from kappa_assets.place.local.change_feed.differing import differing
from kappa_assets_tests.place.delta_write.both_writers import EVERY_TYPE, ROWS, counted, table_of

NONE = dict.fromkeys(EVERY_TYPE.names)
FLOATS = [NONE | {"double": x, "float": x} for x in (math.nan, -math.nan, 0.0, -0.0, None)]
NULLS: list[dict[str, Any]] = [
    NONE | {"inside": {"x": None, "deep": None}},
    NONE | {"inside": {"x": None, "deep": {"at": None, "t": None}}},
    NONE | {"list": [None]},
    NONE | {"list": []},
    NONE | {"list": [{"price": None, "clock": None}]},
    NONE | {"map": []},
    NONE | {"map": [("", None)]},
    NONE | {"text": b""},
    NONE,
]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows, and others some of which are the same."""
    some = st.lists(st.sampled_from(draw(st.lists(ROWS, min_size=1, max_size=6))), max_size=12)
    return draw(some), draw(some)


@settings(max_examples=100)
@given(pairs(), st.sampled_from([1, 1 << 62]))
@example((FLOATS, FLOATS[::-1]), 1)
@example(([*FLOATS, *FLOATS], FLOATS[1:]), 1 << 62)
@example((NULLS, NULLS[1:]), 1)
@example((NULLS[:-1], NULLS[::-1]), 1 << 62)
@example(([], []), 1)
def test_what_differs_between_two_tables_is_the_difference_of_two_multisets(
    rows: tuple[list[dict[str, Any]], list[dict[str, Any]]], most: int
) -> None:
    """`most`: numbers of rows are made small again for each column, or once in a while."""
    old, new = map(table_of, rows)
    kept, module._MOST = module._MOST, most
    try:
        found = differing(old, new)
    finally:
        module._MOST = kept
    before, after = (counted(table, EVERY_TYPE.names) for table in (old, new))
    said = {"delete": Counter[Any](), "insert": Counter[Any]()}
    for what in said if found is not None else ():
        assert found is not None
        said[what] = counted(found.filter(pa.compute.equal(found["_change_type"], what)), EVERY_TYPE.names)
    assert said == {"delete": before - after, "insert": after - before}
    assert (found is None) == (before == after)
