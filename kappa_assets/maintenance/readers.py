"""How far each reader of a table has read, and so which versions' files and log entries must stay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.unread import Unread, unread_after, unread_of
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.stored_table import Where, stored
from kappa_assets.place.registry import Generation


def unread_by(lake: Lake, reader: Generation, upstream: TableName) -> Unread | None:
    """Return what a reader has not read of `upstream`; None when it will begin anew."""
    table = lake.table(upstream, reader.generation_of(upstream))
    found = last_note(lake.table(reader.table, reader.number))
    read = None if found is None else found[1].reads.get(str(upstream))
    if read is not None:
        return unread_of(table, read)
    offset = Checkpoint(lake.checkpoint_of(reader.table, reader.number)).newest_offset()
    return None if offset is None else unread_after(table, offset)


def first_kept(where: Where, unread: Iterable[Unread], since: dt.datetime) -> int:
    """Return the version from which on everything stays: what was removed earlier is needed by nobody.

    The first commit at or after `since`, or the first whose rows somebody has not read, whichever is earlier; one above
    the newest when there is neither. 0 for a table that does not exist. Each commit is looked at: a clock that went
    back leaves an old time on a commit after a young one.
    """
    table = stored(where)
    known = table.versions()
    if not known:
        return 0
    young = next((v for v in known if table.committed_at(v) >= since.timestamp()), known[-1] + 1)
    return min([young, *(u.data for u in unread if u.data is not None)])


def first_entry(where: Where, kept: int, unread: Iterable[Unread], most: int) -> int:
    """Return the version from which on the log must stay readable: `kept`, or its newest `most` if those are fewer.

    Earlier where a reader has not read so far, or a position is computed from it: the newest note says how far the
    table is; the one before what a reader has not read, how far that reader is.
    """
    table = stored(where)
    newest = table.newest() or 0
    starts = [u.version for u in unread]
    notes = [last_note(table), *(last_note(table, at_most=version - 1) for version in starts)]
    needed = [*starts, *(note[0] for note in notes if note is not None)]
    return min([*needed, max(kept, newest + 1 - most)])
