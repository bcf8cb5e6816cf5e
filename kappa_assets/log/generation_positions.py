"""How far on a tape a generation reflects, read from the notes in the logs."""

from __future__ import annotations

from kappa_assets.log.logs import ON_DISK, Logs
from kappa_assets.log.note import BEFORE_THE_TAPE, InputRange, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import State


def live_position(lake: Lake, state: State, table: TableName, tape: Tape, *, logs: Logs = ON_DISK) -> Position:
    """Return how far on the tape the live generation reflects; BEFORE_THE_TAPE when it has no commit yet.

    A table is as far as its upstreams were before the first rows that it has not read. Commits without rows
    (an empty file, a batch whose rows were all rejected) never reach a reader: the last note alone would
    lag for ever.
    """
    live = state.live(table)
    generation = 1 if live is None else live.number
    return position_of(lake, tape, table, generation, logs)


def position_of(lake: Lake, tape: Tape, table: TableName, generation: int, logs: Logs = ON_DISK) -> Position:
    """Return how far on the tape any generation of a table reflects, as `live_position` does for the live one."""
    if table.is_tape:
        return tape.head() if table == tape.bronze else BEFORE_THE_TAPE
    found = logs.last_note(lake.table(table, generation))
    if found is None:
        return BEFORE_THE_TAPE
    own = found[1].position.get(str(tape.bronze), BEFORE_THE_TAPE)
    reads = {TableName.parse(name): read for name, read in found[1].reads.items()}
    passed = [
        _passed(lake, tape, name, read, logs) for name, read in reads.items() if _is_on(lake, tape, name, read, logs)
    ]
    return max(own, min(passed, default=own))


def _is_on(lake: Lake, tape: Tape, upstream: TableName, read: InputRange, logs: Logs) -> bool:
    """Return whether an upstream stands on the tape: another says nothing of how far that is reflected."""
    if upstream.is_tape:
        return upstream == tape.bronze
    found = logs.last_note(lake.table(upstream, read.generation))
    return found is not None and str(tape.bronze) in found[1].position


def _passed(lake: Lake, tape: Tape, upstream: TableName, read: InputRange, logs: Logs) -> Position:
    """Return how far a reader of `upstream`, which has read that much of it, reflects the tape at least."""
    if read.version < 0:  # in the upstream's first snapshot: its order says nothing
        return BEFORE_THE_TAPE
    above_table = lake.table(upstream, read.generation)
    # The upstream's position is taken before its log is looked at: what arrives in between is then unread.
    above = position_of(lake, tape, upstream, read.generation, logs)
    unread = logs.first_data_after(above_table, read.version)
    if unread is None:
        return above
    return _noted_before(above_table, unread, tape, upstream, logs)


def _noted_before(table: StoredTable, version: int, tape: Tape, upstream: TableName, logs: Logs) -> Position:
    """Return the tape position that an upstream had reached just before `version`."""
    if upstream == tape.bronze:
        return tape.position_before(version)
    found = logs.last_note(table, at_most=version - 1)
    return BEFORE_THE_TAPE if found is None else found[1].position.get(str(tape.bronze), BEFORE_THE_TAPE)
