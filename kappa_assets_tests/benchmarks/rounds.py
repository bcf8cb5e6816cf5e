"""A against B, in turn: A B A B, so that a machine whose speed drifts drifts for both."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One line of the table that `make bench` prints."""

    what: str
    ours: str
    other: str
    ratio: float | None
    target: str


def side_by_side(
    a: Callable[[int], Hashable], b: Callable[[int], Hashable], *, rounds: int, warm_up: bool = True
) -> tuple[list[float], list[float]]:
    """Return the seconds of each round of `a` and of `b`. The answers they return must agree in every round."""
    if warm_up:
        _same(a(-1), b(-1))
    took_a, took_b = [], []
    for number in range(rounds):
        began = time.perf_counter()
        answer_a = a(number)
        middle = time.perf_counter()
        answer_b = b(number)
        took_a.append(middle - began)
        took_b.append(time.perf_counter() - middle)
        _same(answer_a, answer_b)
        say(f"  round {number + 1}: {took_a[-1]:.1f} s against {took_b[-1]:.1f} s")
    return took_a, took_b


def median_ratio(above: list[float], below: list[float]) -> float:
    """Return the median of the ratios, pair by pair."""
    return statistics.median(x / y for x, y in zip(above, below, strict=True))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))]


def say(text: str) -> None:
    """Print progress, apart from the table."""
    print(text, file=sys.stderr, flush=True)


def _same(a: Hashable, b: Hashable) -> None:
    if a != b:
        raise AssertionError(f"the two sides disagree, so their times mean nothing:\n  {a}\n  {b}")
