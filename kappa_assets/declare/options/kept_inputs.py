"""Refusing `keep_inputs=` where nothing is recomputed from what would be kept."""

from __future__ import annotations

from typing import TypeVar

from kappa_assets.declare.origin import Origin
from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.errors import DeclarationError

Grouped = TypeVar("Grouped", Silver, Gold)


def check_kept_inputs(table: Grouped, origin: Origin) -> Grouped:
    """Return a table. Raises DeclarationError where it is to keep its inputs, and its groups are not recomputed."""
    keep_inputs: object = table.keep_inputs
    if not isinstance(keep_inputs, bool):
        raise DeclarationError(
            f"keep_inputs of {table.name} is True or False; got {keep_inputs!r}", origin=origin, hint="Leave it out."
        )
    merged = isinstance(table, Gold) and bool(table.combine)
    if keep_inputs and (merged or not table.keys):
        what = "is merged by combine" if merged else "has no keys"
        raise DeclarationError(
            f"keep_inputs of {table.name} is of a table whose groups are recomputed, and it {what}",
            origin=origin,
            hint="Leave keep_inputs out; kappa explain says what a batch reads, and what would make it cheaper.",
        )
    return table
