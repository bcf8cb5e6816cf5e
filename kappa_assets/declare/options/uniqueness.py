"""What a Silver says of rows that come twice: by which columns they are one, and how far apart."""

from __future__ import annotations

from kappa_assets.declare.options.lateness import check_free_reasons
from kappa_assets.declare.options.spans import whole_days
from kappa_assets.declare.origin import Origin
from kappa_assets.declare.refusals import check_column, check_list, check_named_once
from kappa_assets.declare.tables import DUPLICATE, Expectation
from kappa_assets.errors import DeclarationError
from kappa_assets.names import TableName


def check_unique(
    table: TableName,
    unique: object,
    within: object,
    keys: tuple[str, ...],
    expectations: tuple[Expectation, ...],
    origin: Origin,
) -> tuple[tuple[str, ...], int | None]:
    """Return the columns by which rows are one, and within how many days of arrival; None: however far apart.

    Raises DeclarationError.
    """
    columns = check_list(f"unique of {table}", unique, origin, str, "['event_id']")
    for column in columns:
        check_column(f"unique of {table}", column, origin)
    check_named_once(f"unique of {table} names", columns, origin)
    if columns and keys:
        raise DeclarationError(
            f"{table} has keys and unique: rows of a group are recomputed, and are not added one by one",
            origin=origin,
            hint="Declare unique on the row-by-row Silver that it reads.",
        )
    if within is not None and not columns:
        raise DeclarationError(
            f"{table} has unique_within, and no unique: it does not say which rows are one",
            origin=origin,
            hint="Add unique=['event_id'], or leave unique_within out.",
        )
    if columns:
        check_free_reasons(table, (DUPLICATE,), expectations, origin)
    return columns, None if within is None else whole_days(f"unique_within of {table}", within, origin, "7 days")
