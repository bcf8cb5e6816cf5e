"""`expect`: what a declaration says that each row of a table meets."""

from __future__ import annotations

from typing import cast, get_args

from kappa_assets.declare.origin import Origin, origin_of_caller
from kappa_assets.declare.refusals import check_list
from kappa_assets.declare.tables import Expectation, OnFail
from kappa_assets.errors import DeclarationError
from kappa_assets.names import TableName, identifier


def expect(name: str, condition: str, *, on_fail: str = "drop") -> Expectation:
    """Declare a condition on a Silver's output columns, in SQL. Rows that fail it are counted, and `on_fail` says more.

    `warn`: they are in the table all the same. `drop`: they are not, and lie in the side table with their address and
    the reasons. `quarantine`: the same, and they wait there for logic that takes them. `fail`: nothing of their batch
    is written, and the table parks until the logic or the expectation is mended. A condition that gives null has
    failed; of a row that fails several, `fail` goes before `drop`, `quarantine` and `warn`, in this order.

    Raises DeclarationError for an empty condition and an unknown `on_fail`.
    """
    origin = origin_of_caller()
    identifier(name, what="expectation", origin=origin)
    if not isinstance(condition, str) or not condition.strip():
        raise DeclarationError(
            f"condition of expectation {name!r} must be SQL text; got {condition!r}",
            origin=origin,
            hint="Write it on the output's columns: expect('priced', 'price IS NOT NULL').",
        )
    if on_fail not in get_args(OnFail):
        raise DeclarationError(
            f"on_fail of expectation {name!r} must be 'warn', 'drop', 'quarantine' or 'fail'; got {on_fail!r}",
            origin=origin,
            hint="Leave it out: rows that fail are dropped and counted.",
        )
    return Expectation(name, condition, cast("OnFail", on_fail))


def check_expectations(
    table: TableName, expect: object, origin: Origin, *, row_by_row: bool = False
) -> tuple[Expectation, ...]:
    """Return the expectations, each with a name of its own. Raises DeclarationError.

    Of a table that is not row by row, rows that fail cannot be set aside.
    """
    example = "[expect('priced', 'price IS NOT NULL')]"
    expectations = check_list(f"expect of {table}", expect, origin, Expectation, example)
    names = [e.name for e in expectations]
    if len(set(names)) < len(names):
        raise DeclarationError(
            f"expectations of {table} share a name: {names}",
            origin=origin,
            hint="Give each its own; counts are kept by name.",
        )
    aside = [e for e in expectations if e.on_fail in ("drop", "quarantine") and not row_by_row]
    if aside:
        raise DeclarationError(
            f"{table} expects {aside[0].name!r} with on_fail={aside[0].on_fail!r}: rows that are recomputed cannot be "
            "set aside",
            origin=origin,
            hint="Say on_fail='warn' or 'fail'; or declare it on the row-by-row Silver that it reads.",
        )
    return expectations
