"""Which kind a derived table is, by what it is declared as."""

from __future__ import annotations

from functools import singledispatch

from kappa_assets.columns import ADDRESS
from kappa_assets.declare.tables import Derived, Gold, Silver, Table
from kappa_assets.errors import LogicError
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.append import APPEND
from kappa_assets.kinds.cdc.cdc_query import CDC
from kappa_assets.kinds.combined import COMBINED
from kappa_assets.kinds.joined.joined_query import JOINED
from kappa_assets.kinds.joined.kept_join import KEPT_JOIN
from kappa_assets.kinds.joined.several_query import WHOLE_OF_SEVERAL
from kappa_assets.kinds.keyed.kept_inputs import KEPT_INPUTS
from kappa_assets.kinds.keyed.keyed_query import KEYED
from kappa_assets.kinds.kind import Kind
from kappa_assets.kinds.unique.unique_query import UNIQUE
from kappa_assets.kinds.whole import WHOLE


def is_sliced(table: Table) -> bool:
    """Return whether a table's rows lie in slices, which are partitions in Dagster: a tape's do, and by its kind."""
    return not isinstance(table, Derived) or kind_of(table).keeps_addresses


def unique_in(pipeline: Pipeline, table: Derived) -> tuple[tuple[str, ...], ...]:
    """Return, for each upstream of a table, the columns by which no two of its rows are the same; none: not known."""
    above = [pipeline[name] for name in pipeline.upstreams[table.name]]
    return tuple(kind_of(one).unique_by(one) if isinstance(one, Derived) else ADDRESS for one in above)


@singledispatch
def kind_of(table: Derived) -> Kind:
    """Return a table's kind. A kind of one's own is registered for its type: `@kind_of.register`. Raises LogicError."""
    raise LogicError(
        f"{table.origin}: {table.name} is declared as {type(table).__name__}, of which no kind is known",
        hint=f"Register one in the pipeline's module: @kind_of.register for {type(table).__name__}.",
    )


@kind_of.register
def _(table: Silver) -> Kind:
    if table.cdc is not None:
        return CDC
    if table.keys:
        return KEPT_JOIN if table.keep_inputs else JOINED
    return UNIQUE if table.unique else APPEND


@kind_of.register
def _(table: Gold) -> Kind:
    if table.groups_of:
        return KEPT_JOIN if table.keep_inputs else JOINED
    if len(table.reads) > 1:
        return WHOLE_OF_SEVERAL
    if table.combine:
        return COMBINED
    if table.keep_inputs:
        return KEPT_INPUTS
    return KEYED if table.keys else WHOLE
