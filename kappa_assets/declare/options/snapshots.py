"""Full snapshots as changes: when one is whole, and how many keys it may lack of those that were there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kappa_assets.declare.origin import Origin
from kappa_assets.declare.refusals import check_column, described
from kappa_assets.errors import DeclarationError

_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%")
_ALL = 100.0


def check_snapshots(
    given: object, complete_when: str | None, rows_told: object, others: Mapping[str, object], origin: Origin
) -> None:
    """Refuse what says nothing of snapshots, or contradicts them. Raises DeclarationError.

    `others`: the other options of the changes, by name.
    """
    if given not in (True, False):
        raise DeclarationError(
            f"snapshots of cdc() is True or left out; got {described(given)}",
            origin=origin,
            hint="Say by complete_when or snapshot_rows when one is whole.",
        )
    told = {"complete_when": complete_when, "snapshot_rows": rows_told, "max_deleted": others["max_deleted"]}
    if not given:
        extra = next((name for name, one in told.items() if one is not None), None)
        if extra is not None:
            raise DeclarationError(
                f"{extra} of cdc() is about full snapshots, and the rows are changes",
                origin=origin,
                hint=f"Say snapshots=True too, or leave {extra} out.",
            )
        return
    if complete_when is None and rows_told is None:
        raise DeclarationError(
            "cdc() has snapshots, and does not say when one is whole: a truncated one would delete what it lacks",
            origin=origin,
            hint="Say snapshot_rows='in_all', a column with how many keys it has, or complete_when=\"op = 'end'\".",
        )
    if rows_told is not None:
        if not isinstance(rows_told, str):
            raise DeclarationError(
                f"snapshot_rows of cdc() is the name of a column; got {described(rows_told)}",
                origin=origin,
                hint="Name the column that tells how many keys a snapshot has.",
            )
        check_column("snapshot_rows of cdc()", rows_told, origin)
    if others["scd"] != 1:
        raise DeclarationError(
            f"cdc() has snapshots and scd={others['scd']}: what a snapshot lacks is gone, and no version ends by it",
            origin=origin,
            hint="Say scd=1: the table holds the newest snapshot.",
        )
    for name in ("truncate_when", "unavailable", "forget_deletes"):
        if others[name] is not None:
            raise DeclarationError(
                f"snapshots and {name} of cdc() exclude each other: a snapshot tells all values of all keys",
                origin=origin,
                hint=f"Leave {name} out.",
            )


def share_of(given: object, origin: Origin) -> float | None:
    """Return a share such as "10 %" as a number from 0 to 1; None for None. Raises DeclarationError."""
    if given is None:
        return None
    match = _SHARE.fullmatch(given.strip()) if isinstance(given, str) else None
    if match is None or float(match[1]) > _ALL:
        raise DeclarationError(
            f"max_deleted of cdc() is a share of the keys; got {described(given)}",
            origin=origin,
            hint="Write max_deleted='10 %'.",
        )
    return float(match[1]) / _ALL
