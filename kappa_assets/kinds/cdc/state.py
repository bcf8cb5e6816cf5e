"""The state of a table of changes: those that later ones may still need, as this kind keeps them."""

from __future__ import annotations

import datetime as dt

from kappa_assets.declare.tables import Silver
from kappa_assets.kinds.kept_rows import KeptRows
from kappa_assets.place.port import StoredTable

KEPT_BY = "cdc"
"""In the note of a state: the declared options by which changes were merged."""
AGES = "ages"
"""Beside it, where deletes are forgotten: what is known of the ages of changes, as `forgetting` tells it."""


def changes_kept(stored: StoredTable, silver: Silver, generation: int, ordered_by: tuple[str, ...] = ()) -> KeptRows:
    """Return the state of one generation, held open to be written."""
    told = {name: option for name, option in vars(silver.cdc).items() if name != "max_deleted"}  # it keeps the same
    kept_by = {name: _plain(option) for name, option in told.items() if option}
    return KeptRows(stored, silver.name, generation, {KEPT_BY: kept_by}, ordered_by)


def _plain(option: object) -> object:
    """Return an option as a note has it."""
    if isinstance(option, dt.timedelta):
        return str(option)
    return [*option] if isinstance(option, tuple) else option
