"""Which kind a derived table is, by what it is declared as."""

from __future__ import annotations

from functools import singledispatch

from kappa_assets.declare.tables import Derived, Gold, Silver, Table
from kappa_assets.errors import LogicError
from kappa_assets.kinds.append import APPEND
from kappa_assets.kinds.combined import COMBINED
from kappa_assets.kinds.keyed import KEYED
from kappa_assets.kinds.kind import Kind
from kappa_assets.kinds.whole import WHOLE


def is_sliced(table: Table) -> bool:
    """Return whether a table's rows lie in slices, which are partitions in Dagster: a tape's do, and by its kind."""
    return not isinstance(table, Derived) or kind_of(table).keeps_addresses


@singledispatch
def kind_of(table: Derived) -> Kind:
    """Return a table's kind. A kind of one's own is registered for its type: `@kind_of.register`. Raises LogicError."""
    raise LogicError(
        f"{table.origin}: {table.name} is declared as {type(table).__name__}, of which no kind is known",
        hint=f"Register one in the pipeline's module: @kind_of.register for {type(table).__name__}.",
    )


@kind_of.register
def _(table: Silver) -> Kind:  # noqa: ARG001 -- all of them are of one kind
    return APPEND


@kind_of.register
def _(table: Gold) -> Kind:
    if table.combine:
        return COMBINED
    return KEYED if table.keys else WHOLE
