"""Which kind of table a Gold is, by what its declaration says."""

from __future__ import annotations

from kappa_assets.declare.tables import Gold
from kappa_assets.kinds.aggregate import AggregateQuery
from kappa_assets.kinds.combined import CombinedQuery
from kappa_assets.kinds.keyed import KeyedQuery
from kappa_assets.kinds.whole import WholeQuery


def kind_of(gold: Gold) -> type[AggregateQuery]:
    """Return the query that writes a Gold: merged with `combine`, by touched groups with `keys`, else whole."""
    if gold.combine:
        return CombinedQuery
    return KeyedQuery if gold.keys else WholeQuery
