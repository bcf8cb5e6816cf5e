"""Which rows of a batch are there already, against plain Python that walks them one by one."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from kappa_assets.kinds.unique.duplicates import Once, with_duplicates

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = tuple[int, str | None, float | None, int, bool, str]
"""`_row`, both columns of the key, the day, whether it is asked, and what is in it."""
There = tuple[str, float, int]
MAY_FIRST = dt.date(2024, 5, 1)
SCHEMA = "_batch_id long, _row long, a string, b double, _arrival_date date, asked boolean, text string"


def walked(rows: list[Row], there: list[There], within: int | None) -> list[bool]:
    """Return of each row, in the order of their addresses and then of their content, whether it is a duplicate."""
    kept = [(a, repr(b + 0.0), day) for a, b, day in there]
    found = []
    for _, a, b, day, asked, _ in rows:
        key = None if a is None or b is None or not asked else (a, repr(b + 0.0))
        near = [one for one in kept if one[:2] == key and (within is None or abs(one[2] - day) <= within)]
        found.append(bool(near))
        if key is not None and not near:
            kept.append((*key, day))
    return found


def day(number: int) -> dt.date:
    return MAY_FIRST + dt.timedelta(days=number)


NUMBER = st.sampled_from([0.0, -0.0, 1.0, float("nan")])
ROW = st.tuples(
    st.integers(0, 30),
    st.sampled_from(["a", "b", None]),
    NUMBER | st.none(),
    st.integers(0, 25),
    st.booleans(),
    st.just(""),
)
CHAIN: list[Row] = [(n, "a", 1.0, day, True, "") for n, day in enumerate([0, 5, 7, 8, 11, 16, 15, 30, 23])]
ONE_ADDRESS: list[Row] = [(7, "b", 0.0, 3, True, text) for text in ("x", "y", "z")]


@pytest.mark.parametrize("how_many", ["few", "many"])
@settings(max_examples=6)
@given(
    st.lists(ROW, max_size=25),
    st.lists(st.tuples(st.sampled_from("ab"), NUMBER, st.integers(0, 25)), max_size=6),
    st.none() | st.integers(0, 9),
)
@example([*CHAIN, *ONE_ADDRESS], [], 7)
@example([*CHAIN, *ONE_ADDRESS], [("a", 1.0, 12), ("b", -0.0, 9)], 4)
@example(CHAIN, [("b", 1.0, 1)], None)
def test_a_row_is_a_duplicate_of_one_that_was_kept_before_it(
    interpreted: SparkSession, how_many: str, rows: list[Row], there: list[There], within: int | None
) -> None:
    # The function may give several rows of one: these are alike here, or differ in what is no key.
    ordered = sorted({(*row[:5], f"{row[5]}{n}") for n, row in enumerate(rows)}, key=lambda row: (row[0], str(row)))
    alike = {row[0]: row[1:5] for row in ordered}
    ordered = sorted(((row[0], *alike[row[0]], row[5]) for row in ordered), key=lambda row: (row[0], row[5]))
    told = [(0, row[0], row[1], row[2], day(row[3]), row[4], row[5]) for row in reversed(ordered)]
    batch = interpreted.createDataFrame(told, SCHEMA)
    held = interpreted.createDataFrame([(a, b, day(d)) for a, b, d in there], "a string, b double, _arrival_date date")
    once = Once(("a", "b"), within)
    judged = with_duplicates(batch, once, F.col("asked"), held if there else None, "again", few=how_many == "few")
    assert judged.columns == [*batch.columns, "again"]
    found = sorted(judged.collect(), key=lambda row: (row["_row"], row["text"]))
    assert [row["again"] for row in found] == walked(ordered, there, within)
