"""Sums of floating point numbers that are the same in any order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction


def float_sum(values: Iterable[float]) -> float:
    """Return the exact sum, rounded once; infinite where it is too large, nan of a nan or of both infinities.

    `math.fsum` raises for inf - inf, and for 1e308 + 1e308, even where -1e308 follows.
    """
    finite, others = Fraction(0), 0.0
    for value in values:
        if math.isfinite(value):
            finite += Fraction(value)
        else:
            others += value
    if others:  # nan is true
        return others
    try:
        return float(finite)
    except OverflowError:
        return math.inf if finite > 0 else -math.inf
