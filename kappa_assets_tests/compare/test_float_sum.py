"""Sums of doubles, all of them: exact, the same in any order, and never an error."""

from __future__ import annotations

import decimal
import math
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from kappa_assets.compare.aggregates import aggregates
from kappa_assets.compare.float_sum import float_sum

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXACT = decimal.Context(prec=1_500)  # a double has at most 767 digits, and two may be 617 places apart
EXTREME = st.sampled_from([math.inf, -math.inf, math.nan, 1e308, -1e308, 5e-324, -0.0])


def in_decimals(values: list[float]) -> float:
    total = decimal.Decimal(0)
    for value in values:
        total = EXACT.add(total, decimal.Decimal(value))
    return float(total)


@given(st.lists(st.floats() | EXTREME, max_size=8), st.randoms(use_true_random=False))
def test_a_sum_is_exact_and_the_same_in_any_order(values: list[float], order: object) -> None:
    found = float_sum(values)
    shuffled = list(values)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own Random
    infinite = {value for value in values if math.isinf(value)}
    if any(map(math.isnan, values)) or len(infinite) == 2:
        assert math.isnan(found)
        assert math.isnan(float_sum(shuffled))
    else:
        assert found == (infinite.pop() if infinite else in_decimals(values))
        assert float_sum(shuffled) == found


OF_SLICES = {
    (math.inf, -math.inf, 0.0): "nan",
    (math.nan, 1.0, 0.0): "nan",
    (1e308, 1e308, 0.0): "inf",
    (1e308, 1e308, -1e308): "1e+308",
    (-math.inf, 1e308, 1e308): "-inf",
    (-0.0, -0.0, -0.0): "0",
}
"""What a column holds in each of three slices, and what is told of all of it."""


def test_slices_of_any_doubles_are_compared(spark: SparkSession) -> None:
    names = [f"x{n}" for n in range(len(OF_SLICES))]
    values = zip(*OF_SLICES, strict=True)
    rows = spark.createDataFrame(
        [(f"2026-01-0{day}", *of_day) for day, of_day in enumerate(values, 1)],
        "d string, " + ", ".join(f"{name} double" for name in names),
    )
    found = aggregates(rows, rows, ("d",), "d")
    told = {a.measure: (a.live, a.candidate) for a in found.measures if a.measure != "rows"}
    assert told == {name: (total, total) for name, total in zip(names, OF_SLICES.values(), strict=True)}
    assert found.differing == ()
