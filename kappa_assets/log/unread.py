"""What a reader that has come to an offset has not read of its upstream."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kappa_assets.log.logs import ON_DISK
from kappa_assets.log.note import InputRange, Offset
from kappa_assets.place.local.stored_table import Where


@dataclass(frozen=True)
class Unread:
    """What a reader has not read of its upstream yet."""

    version: int
    """Where it goes on, or lists commits again: the log must be there from this version on."""
    data: int | None
    """The first version whose files it still needs; None when nothing there changed rows (OPTIMIZE did not)."""


def unread_after(table: Where, offset: Offset) -> Unread:
    """Return what a reader that has come to `offset` has not read of a table.

    One that is in its first snapshot needs the files of that version until it has read them all.
    """
    if offset.starting or offset.index >= 0:
        return Unread(offset.version, offset.version)
    return Unread(offset.version, ON_DISK.first_data_after(table, offset.version - 1))


def unread_of(table: Where, read: InputRange) -> Unread:
    """Return what a reader whose last batch was `read` has not read of a table.

    Spark plans that batch once more when the query starts, though it is done: it lists its commits again, or the
    version of a first snapshot. Without their entries in the log it fails, at each start (Spark 4.2.0, Delta
    4.4.0: DELTA_MISSING_FILES_UNEXPECTED_VERSION). It opens no file of them.
    """
    unread = unread_after(table, read.until)
    began = read.until.version - 1 if read.since is None else read.since.version
    return replace(unread, version=max(0, min(unread.version, began)))
