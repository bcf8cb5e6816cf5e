"""Refusing `keep_inputs=` where nothing is recomputed from what would be kept."""

from __future__ import annotations

from kappa_assets.declare.origin import Origin
from kappa_assets.declare.tables import Gold
from kappa_assets.errors import DeclarationError


def check_kept_inputs(table: Gold, keep_inputs: object, origin: Origin) -> Gold:
    """Return a table. Raises DeclarationError where it is to keep its inputs, and its groups are not recomputed."""
    if not isinstance(keep_inputs, bool):
        raise DeclarationError(
            f"keep_inputs of {table.name} is True or False; got {keep_inputs!r}", origin=origin, hint="Leave it out."
        )
    several = bool(table.groups_of or len(table.reads) > 1)
    if keep_inputs and (several or table.combine or not table.keys):
        what = "reads several tables" if several else "is merged by combine" if table.combine else "has no keys"
        raise DeclarationError(
            f"keep_inputs of {table.name} is of a Gold whose groups are recomputed from one table, and it {what}",
            origin=origin,
            hint="Leave keep_inputs out; kappa explain says what a batch reads, and what would make it cheaper.",
        )
    return table
