"""How far on a tape a generation reflects, read from the notes in the logs."""

from __future__ import annotations

from kappa_assets.graph import Pipeline
from kappa_assets.log.logs import ON_DISK, Logs
from kappa_assets.log.note import BEFORE_THE_TAPE, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import State


def live_position(
    lake: Lake,
    state: State,
    pipeline: Pipeline,
    table: TableName,
    tape: Tape,
    *,
    logs: Logs = ON_DISK,
) -> Position:
    """Return how far on the tape the live generation reflects; BEFORE_THE_TAPE when it has no commit yet.

    A table is as far as its upstream was before the first rows that it has not read. Commits without rows
    (an empty file, a batch whose rows were all rejected) never reach a reader: the last note alone would
    lag for ever.
    """
    live = state.live(table)
    generation = 1 if live is None else live.number
    return position_of(lake, pipeline, tape, table, generation, logs)


def position_of(
    lake: Lake, pipeline: Pipeline, tape: Tape, table: TableName, generation: int, logs: Logs = ON_DISK
) -> Position:
    """Return how far on the tape any generation of a table reflects, as `live_position` does for the live one."""
    upstream = pipeline.upstreams.get(table)
    if upstream is None:
        return tape.head()
    found = logs.last_note(lake.table(table, generation))
    if found is None:
        return BEFORE_THE_TAPE
    own = found[1].position.get(str(tape.bronze), BEFORE_THE_TAPE)
    read = found[1].reads.get(str(upstream))
    if read is None or read.version < 0:  # in the upstream's first snapshot: its order says nothing
        return own
    above_table = lake.table(upstream, read.generation)
    # The upstream's position is taken before its log is looked at: what arrives in between is then unread.
    above = position_of(lake, pipeline, tape, upstream, read.generation, logs)
    unread = logs.first_data_after(above_table, read.version)
    if unread is None:
        return max(own, above)
    return max(own, _noted_before(above_table, unread, tape, upstream, logs))


def _noted_before(table: StoredTable, version: int, tape: Tape, upstream: TableName, logs: Logs) -> Position:
    """Return the tape position that an upstream had reached just before `version`."""
    if upstream == tape.bronze:
        return tape.position_before(version)
    found = logs.last_note(table, at_most=version - 1)
    return BEFORE_THE_TAPE if found is None else found[1].position.get(str(tape.bronze), BEFORE_THE_TAPE)
