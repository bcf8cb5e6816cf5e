"""What may be declared as a table: a plain function of its upstreams, with a name."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from kappa_assets import gold, silver
from kappa_assets_tests.declare.refusals import line, refused


def orders(invoices: Any) -> Any:
    """One row per order."""
    return invoices


def two(invoices: Any, rates: Any) -> Any:
    return invoices, rates


def none() -> Any:
    return None


def starred(*invoices: Any) -> Any:
    return invoices


def double_starred(**invoices: Any) -> Any:
    return invoices


def by_name(*, invoices: Any) -> Any:
    return invoices


def with_default(invoices: Any = None) -> Any:
    return invoices


async def later(invoices: Any) -> Any:
    return invoices


def several(invoices: Any) -> Any:
    yield invoices


async def several_later(invoices: Any) -> Any:
    yield invoices


def Sales(invoices: Any) -> Any:  # noqa: N802
    return invoices


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (two, "silver.two has 2 upstreams, and no keys and by"),
        (none, "must read a table; its function has no parameters"),
        (starred, "takes its upstream by position; got '*invoices'"),
        (double_starred, "takes its upstream by position; got '**invoices'"),
        (by_name, "got keyword-only 'invoices'"),
        (with_default, "parameter 'invoices' of silver.with_default has a default"),
        (later, "got a coroutine"),
        (several, "got a generator"),
        (several_later, "got an asynchronous generator"),
        (Sales, "'Sales' is no identifier"),
        (lambda invoices: invoices, "got a lambda, which has none"),
    ],
)
def test_a_function_that_is_no_function_of_tables_is_refused(function: Any, text: str) -> None:
    refused(lambda: silver(function), text, at=function.__code__.co_firstlineno)


class Callable:
    def __call__(self, invoices: Any) -> Any:
        return invoices


@pytest.mark.parametrize("layer", [silver, gold])
@pytest.mark.parametrize(
    ("thing", "text"),
    [
        ("sales", "got str 'sales'"),
        (Callable, "got the class Callable"),
        (Callable(), "decorates a function; got "),
        (functools.partial(orders), "decorates a function; got "),
        (functools.lru_cache(orders), "decorates a function; got "),
        (staticmethod(orders), "decorates a function; got "),
        (silver(orders), "silver.orders, which is a table already"),
        (gold(orders), "gold.orders, which is a table already"),
    ],
)
def test_what_is_no_function_is_refused_at_the_line_of_the_decorator(layer: Any, thing: Any, text: str) -> None:
    refused(lambda: layer(thing), text, at=line())
    refused(lambda: layer(version="1")(thing), text, at=line())


def test_a_wrapped_function_declares_the_parameter_of_the_one_inside() -> None:
    @functools.wraps(orders)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return orders(*args, **kwargs)

    assert silver(wrapper).reads == {"invoices": "invoices"}
