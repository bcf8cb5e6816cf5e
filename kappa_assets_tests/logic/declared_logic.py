"""Tables declared around a function of a test, and what the check of their logic says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kappa_assets import gold, silver
from kappa_assets.declare.tables import Derived
from kappa_assets.errors import LogicError
from kappa_assets.kinds.known_kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

    Logic = Callable[[DataFrame], DataFrame]

TAPE = "_batch_id long, _row long, _arrived_at timestamp, _arrival_date date, value string, kind string"
SALES = f"{TAPE}, day date, country string, price decimal(10,2), units int, weight double"
KEYS = ["day", "country"]


def silver_of(logic: Logic, **options: object) -> object:
    """Declare a Silver that does what `logic` does."""

    def lines(tape: DataFrame) -> DataFrame:
        return logic(tape)

    return silver(**options)(lines)  # type: ignore[call-overload]


def gold_of(logic: Logic, **options: object) -> object:
    """Declare a Gold that does what `logic` does."""

    def totals(sales: DataFrame) -> DataFrame:
        return logic(sales)

    return gold(**options)(totals)  # type: ignore[call-overload]


def check(table: object, upstream: DataFrame) -> DataFrame:
    assert isinstance(table, Derived)
    return kind_of(table).check(table, upstream).rows


def refusal(table: object, upstream: DataFrame) -> str:
    """Return what the check says, after seeing that it names the place and gives a hint."""
    with pytest.raises(LogicError) as refused:
        check(table, upstream)
    assert refused.value.what.startswith(f"{__file__}:")
    assert refused.value.hint
    return str(refused.value)
