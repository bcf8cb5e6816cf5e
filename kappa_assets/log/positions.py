"""Offsets turned into positions on the tape. The one module that knows how Delta's stream counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from kappa_assets.errors import CheckpointMismatch, TapeGap
from kappa_assets.log.delta_log import Commit, commits, last_note, notes_back, read_commit
from kappa_assets.log.note import BEFORE_THE_TAPE, CommitNote, InputRange, Offset, Position
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.stored_table import Where


def input_range(upstream: Where, generation: int, since: Offset | None, until: Offset) -> InputRange:
    """Return what a batch read of `upstream`, with the last version that is wholly in."""
    return InputRange(generation, since, until, wholly_read(upstream, until))


def wholly_read(upstream: Where, offset: Offset) -> int:
    """Return the last version of `upstream` that `offset` has wholly passed; -1 while in the first snapshot.

    `(v, -1, not starting)` means everything before v. An index in v means that so many of its files are read: the
    stream rests there after a commit with change files, and between two halves of a large commit.
    """
    if offset.starting:
        return -1
    if offset.index < 0:
        return offset.version - 1
    files = read_commit(upstream, offset.version).stream_files
    return offset.version if offset.index >= files - 1 else offset.version - 1


def holds_all_read(offset: Offset) -> int:
    """Return the first version of an upstream that holds all that was read up to `offset`, and perhaps more."""
    return offset.version - 1 if offset.index < 0 and not offset.starting else offset.version


def may_hold_deletes(upstream: Where, read: InputRange) -> bool:
    """Return whether a batch may hold rows that were taken away, as the commits it read tell.

    A first snapshot holds none, but the batch that ends it goes on with the commits behind it. Where one batch is all
    of the snapshot, no offset says which version that was.
    """
    since, until = read.since, read.until
    if until.starting:
        return False
    if since is None:
        return True
    before = since.version if since.starting else wholly_read(upstream, since)
    return any(c.removes_data for c in commits(upstream, after=before, upto=holds_all_read(until)))


def ends_with_a_version(read: InputRange) -> bool:
    """Return whether a batch ended at the end of a version of its upstream, and not inside one."""
    return not read.until.starting and read.version == holds_all_read(read.until)


def exact_version(note: CommitNote, upstream: str) -> int | None:
    """Return the version of `upstream` of which a Gold's commit shows all and nothing more; None where there is none.

    None inside the first snapshot, inside a version, and while some of its groups are ahead of the others.
    """
    read = note.reads.get(upstream)
    if read is None:
        return None
    exact = ends_with_a_version(read) if note.recomputed is None else note.recomputed == read.version
    return read.version if exact else None


@dataclass(frozen=True)
class Landed:
    """What came with a batch, as the commits tell that it read."""

    bytes: float
    """The size of the files; infinite for a first snapshot, whose part is not known."""
    rows: int | None
    """Rows of the feed; None where the log does not tell, and where a batch begins or ends inside of a version."""


def landed(upstream: Where, read: InputRange) -> Landed:
    """Return what came with a batch."""
    since, until = read.since, read.until
    if since is None or since.starting or until.starting:
        return Landed(math.inf, None)
    found = list(commits(upstream, after=since.version - 1, upto=holds_all_read(until)))
    return Landed(sum(commit.bytes for commit in found), _rows_between(found, since, until))


def read_bytes(upstream: Where, read: InputRange) -> float:
    """Return the size of the files that a batch read; infinite for a first snapshot, whose part is not known."""
    return landed(upstream, read).bytes


def _rows_between(found: Iterable[Commit], since: Offset, until: Offset) -> int | None:
    rows = 0
    for commit in found:
        last = commit.stream_files - 1
        begins_inside = commit.version == since.version and since.index >= 0
        if begins_inside and since.index >= last:
            continue  # the batch before has read all of it
        ends_inside = commit.version == until.version and 0 <= until.index < last
        if begins_inside or ends_inside or commit.feed_rows is None:
            return None
        rows += commit.feed_rows
    return rows


def position_of_bronze_version(tape: Tape, version: int) -> Position:
    """Return the tape position of a reader that has wholly read Bronze up to `version`."""
    return BEFORE_THE_TAPE if version < 0 else tape.position_at(version)


def positions_of_version(table: Where, version: int) -> dict[str, Position]:
    """Return the tape positions, by Bronze table, that a table had reached at `version`.

    Empty before its first commit of ours.
    """
    found = None if version < 0 else last_note(table, at_most=version)
    return {} if found is None else dict(found[1].position)


def check_repeated(
    table: str, written: Where, upstream: str, number: int, offsets: tuple[Offset | None, Offset]
) -> None:
    """Raise CheckpointMismatch unless the commit of micro-batch `number` read from the one offset to the other.

    The number alone proves nothing: a new checkpoint, or one put back from an older day, gives it to other rows.
    """
    notes = (note for _, note in notes_back(written) if note.batch == number and upstream in note.reads)
    found = next(notes, None)
    if found is not None and (found.reads[upstream].since, found.reads[upstream].until) == offsets:
        return
    wrote = "is not in its log any more"
    if found is not None:
        wrote = f"went from {found.reads[upstream].since} to {found.reads[upstream].until}"
    raise CheckpointMismatch(
        f"the checkpoint of {table} is at its batch {number}, from {offsets[0]} to {offsets[1]}, but the commit of "
        f"batch {number} {wrote}",
        hint="Its checkpoint and its table do not belong together: put back both of one and the same moment, or replay "
        "the table to build both anew.",
    )


def check_tiles(table: str, before: InputRange | None, now: InputRange) -> None:
    """Raise TapeGap unless `now` begins exactly where `before`, the range of the last commit, ended."""
    expected = None if before is None else before.until
    if now.since != expected:
        raise TapeGap(
            f"{table} would go on from {now.since}, but its last commit ended at {expected}",
            hint="Its checkpoint and its table do not belong together; replay the table to build both anew.",
        )
