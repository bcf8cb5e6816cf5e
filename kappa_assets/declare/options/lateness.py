"""`late`: how a Silver says which of its rows come late, or from the future, and what becomes of them."""

from __future__ import annotations

from typing import cast, get_args

from kappa_assets.declare.options.spans import time_span
from kappa_assets.declare.origin import Origin, origin_of_caller
from kappa_assets.declare.refusals import check_column, check_made, described
from kappa_assets.declare.tables import AHEAD, LATE, AheadPolicy, Expectation, Late, LatePolicy
from kappa_assets.errors import DeclarationError
from kappa_assets.names import TableName

_EXAMPLE = "late('sold_at', after='2 days')"


def late(
    event_time: str,
    *,
    after: str | None = None,
    policy: str | None = None,
    ahead: str | None = None,
    ahead_policy: str | None = None,
) -> Late:
    """Declare which rows of a Silver are late, by a column of its output, and what becomes of them.

    A row is late when `event_time` lies more than `after` before the moment it arrived, and ahead when it lies more
    than `ahead` behind that. Both are told by the row alone, so that a replay judges each as the live stream did. A row
    whose arrival nobody knows, or whose `event_time` is null, is neither. A date stands for its midnight, UTC.

    Args:
        event_time: a column of the output: a timestamp or a date.
        after: such as "2 days", "36 hours", "10 minutes".
        policy: `update` (left out): late rows are in the table, and counted. `drop`, `quarantine`: they are set aside.
        ahead: the same for rows from the future, which clocks that go wrong write.
        ahead_policy: `update` (left out) or `quarantine`.

    Raises DeclarationError.
    """
    origin = origin_of_caller()
    if not isinstance(event_time, str):
        raise DeclarationError(
            f"event_time of late() is the name of a column; got {described(event_time)}",
            origin=origin,
            hint=f"Write {_EXAMPLE}.",
        )
    check_column("late()", event_time, origin)
    if after is None and ahead is None:
        raise DeclarationError(
            "late() says neither after nor ahead: no row is late", origin=origin, hint=f"Write {_EXAMPLE}."
        )
    for name, given, bound, value in (
        ("policy", policy, "after", after),
        ("ahead_policy", ahead_policy, "ahead", ahead),
    ):
        if given is not None and value is None:
            raise DeclarationError(
                f"late() has {name}={given!r}, and no {bound}: no row would fall under it",
                origin=origin,
                hint=f"Say {bound}='2 days' too, or leave {name} out.",
            )
    return Late(
        event_time,
        after=None if after is None else time_span("after of late()", after, origin, "2 days"),
        policy=cast("LatePolicy", _one_of("policy", policy, get_args(LatePolicy), origin)),
        ahead=None if ahead is None else time_span("ahead of late()", ahead, origin, "10 minutes"),
        ahead_policy=cast("AheadPolicy", _one_of("ahead_policy", ahead_policy, get_args(AheadPolicy), origin)),
    )


def check_late(
    table: TableName, given: object, keys: tuple[str, ...], expectations: tuple[Expectation, ...], origin: Origin
) -> Late | None:
    """Return what a Silver says of late rows. Raises DeclarationError for one with keys, and for names that clash."""
    if given is None:
        return None
    found = check_made(f"late of {table}", given, Late, _EXAMPLE, origin)
    if keys:
        raise DeclarationError(
            f"{table} has keys and late: rows that are recomputed have no moment of arrival",
            origin=origin,
            hint="Declare it on the row-by-row Silver that it reads.",
        )
    check_free_reasons(table, (LATE, AHEAD), expectations, origin)
    return found


def check_free_reasons(
    table: TableName, reasons: tuple[str, ...], expectations: tuple[Expectation, ...], origin: Origin
) -> None:
    """Refuse an expectation by whose name rows are set aside for another reason."""
    clash = next((e.name for e in expectations if e.name in reasons), None)
    if clash is not None:
        raise DeclarationError(
            f"{table} has an expectation named {clash!r}, a reason for which its rows are set aside anyway",
            origin=origin,
            hint="Rename the expectation: counts and reasons are kept by name.",
        )


def _one_of(name: str, given: str | None, known: tuple[str, ...], origin: Origin) -> str:
    if given is None:
        return "update"
    if given not in known:
        raise DeclarationError(
            f"{name} of late() must be one of {', '.join(map(repr, known))}; got {given!r}",
            origin=origin,
            hint="Leave it out: the rows are in the table, and counted.",
        )
    return given
