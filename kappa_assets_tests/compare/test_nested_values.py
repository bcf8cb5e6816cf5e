"""Contents that differ within a struct or an array alone: where a null is, or where an inner array ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kappa_assets.compare.aggregates import aggregates
from kappa_assets.compare.differences import differences

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCHEMA = "k INT, s STRUCT<a: INT, b: INT>, l ARRAY<INT>, ll ARRAY<ARRAY<STRUCT<c: INT, d: INT>>>, m MAP<STRING, INT>"

_NUMBER = st.sampled_from([None, 1])
_PAIR = st.none() | st.tuples(_NUMBER, _NUMBER)
_PAIRS = st.none() | st.lists(_PAIR, max_size=2)
ROW = st.tuples(
    _PAIR,
    st.none() | st.lists(_NUMBER, max_size=3),
    st.none() | st.lists(_PAIRS, max_size=3),
    st.none() | st.dictionaries(st.just("x"), _NUMBER),
)
ONE = (1, None)
MANY: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = [
    ((ONE, [1], [], None), ((None, 1), [1], [], None)),
    ((None, [None, 1], None, {}), (None, [1, None], None, {})),
    ((None, [], [[ONE], [ONE]], None), (None, [], [[ONE, ONE]], None)),
    ((None, [], [[], [ONE]], None), (None, [], [[ONE], []], None)),
    ((None, [1], None, {"x": None}), (None, [1], None, None)),
    ((ONE, None, [None], None), (ONE, None, [[]], None)),
    ((ONE, None, [[None]], {}), (ONE, None, [[(None, None)]], {})),
]
"""Pairs of rows that a hash of their values alone takes for the same."""


@settings(max_examples=5)
@given(st.lists(st.tuples(ROW, ROW), min_size=8, max_size=8))
@example(MANY)
def test_a_value_that_differs_within_is_a_value_that_differs(
    spark: SparkSession, pairs: list[tuple[tuple[Any, ...], tuple[Any, ...]]]
) -> None:
    live, candidate = (
        spark.createDataFrame([(k, *pair[side]) for k, pair in enumerate(pairs)], SCHEMA) for side in (0, 1)
    )
    changed = [k for k, (old, new) in enumerate(pairs) if old != new]
    found = differences(live, candidate, ("k",))
    assert found.changed == len(changed)
    by_column = {name: sum(old[i] != new[i] for old, new in pairs) for i, name in enumerate(("s", "l", "ll", "m"))}
    assert found.columns == {name: n for name, n in by_column.items() if n}
    slices = aggregates(live, candidate, ("k",), "k").differing
    assert sorted(map(int, slices)) == changed
