"""What became of old releases: which can be selected again, and which of their tables can go on from where they are."""

from __future__ import annotations

from typing import Literal

from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import InputRange
from kappa_assets.log.unread import unread_of
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Release, State

ReleaseCondition = Literal["kept", "needs replay", "expired"]
"""Whether a release can be selected, and whether its tables can then go on."""


def release_condition(lake: Lake, state: State, release: Release) -> ReleaseCondition:
    """Return whether a release can be selected: `kept`; `needs replay`: readable, but not all tables can go on;
    `expired`: one of its generations was removed.
    """
    if expired_tables(state, release):
        return "expired"
    return "needs replay" if stuck_tables(lake, state, release) else "kept"


def expired_tables(state: State, release: Release) -> list[TableName]:
    """Return the tables of a release whose generation was removed."""
    return [table for table, number in release.tables.items() if (table, number) in state.expired]


def stuck_tables(lake: Lake, state: State, release: Release) -> list[TableName]:
    """Return the tables of a release that would go on from a version whose files, or log entries, are gone."""
    return [table for table, number in release.tables.items() if _is_stuck(lake, state, table, number)]


def stuck_remark(lake: Lake, state: State, release: Release) -> str | None:
    """Return what to say to somebody who selects a release whose tables cannot go on; None when all can."""
    stuck = stuck_tables(lake, state, release)
    if not stuck:
        return None
    names = ", ".join(map(str, stuck))
    return f"{names} can be read, but cannot go on: rows that it has not read were vacuumed. Replay before streaming."


def _is_stuck(lake: Lake, state: State, table: TableName, number: int) -> bool:
    found = last_note(lake.table(table, number))
    reads = {} if found is None else found[1].reads
    return any(_is_gone(lake, state, TableName.parse(name), read) for name, read in reads.items())


def _is_gone(lake: Lake, state: State, upstream: TableName, read: InputRange) -> bool:
    table = lake.table(upstream, read.generation)
    unread, log = unread_of(table, read), table.versions()
    if not log or unread.version < log[0]:
        return True
    return unread.data is not None and unread.data <= state.vacuumed.get((upstream, read.generation), -1)
