"""How far every table is: generation, version, rows, position, lag. Read from registry and logs, no JVM."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from deltalake import DeltaTable

from kappa_assets import delta_log
from kappa_assets.commit import BEFORE_THE_TAPE, CommitNote, Position
from kappa_assets.declare.code_version import code_version
from kappa_assets.declare.tables import Bronze, Derived, Table
from kappa_assets.errors import TapeGap
from kappa_assets.graph import Pipeline
from kappa_assets.host_status import HostStatus, QueryStatus, host_alive, read_status
from kappa_assets.lake import Lake
from kappa_assets.registry import Registry, State
from kappa_assets.table import TableName
from kappa_assets.tape import Tape


@dataclass(frozen=True)
class TableStatus:
    """One table of the release that readers see. `version` is Delta's; positions are by Bronze table."""

    table: TableName
    generation: int | None
    version: int | None
    rows: int | None
    position: Mapping[str, Position]
    """How far on each tape the table reflects; for a Bronze, its own head."""
    head: Mapping[str, Position]
    """Where each tape ends now."""
    lag_batches: int
    lag_seconds: float
    """Age of the oldest rows on the tape that the table does not reflect; 0 when it is caught up."""
    code_version: str | None
    """The logic that wrote the live generation."""
    deployed_version: str | None
    """The logic that is deployed now."""
    last_commit_at: dt.datetime | None
    query: QueryStatus | None
    """What the living host says about the table's query; None without a host."""

    @property
    def state(self) -> str:
        """`running`, `waiting`, `backoff`, `parked`, `held` as the host says; `stopped` without a host."""
        return "stopped" if self.query is None else self.query.state


@dataclass(frozen=True)
class Lag:
    """How far a position is behind the head of its tape. Commits without rows are not waited for."""

    batches: int
    seconds: float


class Logs(Protocol):
    """What positions are computed from: the logs on disk, or what somebody who follows them remembers."""

    def last_note(self, folder: Path, *, at_most: int | None = None) -> tuple[int, CommitNote] | None:
        """Return the newest (version, note) of ours, at or before version `at_most`."""
        ...

    def first_data_after(self, folder: Path, version: int) -> int | None:
        """Return the first version after `version` that changed rows, or None."""
        ...


class LogsOnDisk:
    """The logs as they are now."""

    def last_note(self, folder: Path, *, at_most: int | None = None) -> tuple[int, CommitNote] | None:
        return delta_log.last_note(folder, at_most=at_most)

    def first_data_after(self, folder: Path, version: int) -> int | None:
        """Return the first version after `version` that changed rows; a cleaned one counts as such."""
        try:
            found = delta_log.commits(folder, after=version)
            return next((c.version for c in found if c.adds_data or c.removes_data), None)
        except TapeGap:
            return version + 1


def table_statuses(lake: Lake, pipeline: Pipeline, *, now: dt.datetime | None = None) -> list[TableStatus]:
    """Return the status of every table of the pipeline, upstream first."""
    moment = now or dt.datetime.now(dt.UTC)
    state = Registry(lake).state()
    queries = query_statuses(living_host(lake))
    tapes = {b.name: Tape(lake, b.name) for b in pipeline.bronzes}
    found = []
    for table in pipeline:
        tape = tapes[pipeline.tape_of(table.name)]
        position = live_position(lake, state, pipeline, table.name, tape)
        found.append(_status(lake, state, table, tape, position, moment, queries.get(str(table.name))))
    return found


def living_host(lake: Lake) -> HostStatus | None:
    """Return the last heartbeat of the host that holds the lake's lock; None without one, or while it starts.

    What an earlier host left behind is not taken for the word of the one that lives now.
    """
    alive = host_alive(lake)
    status = read_status(lake) if alive else None
    return status if alive and status and status.pid == alive.pid and status.ended is None else None


def query_statuses(host: HostStatus | None) -> dict[str, QueryStatus]:
    """Return what a host says about its queries, by table."""
    return {} if host is None else {q.table: q for q in host.queries}


def live_position(
    lake: Lake,
    state: State,
    pipeline: Pipeline,
    table: TableName,
    tape: Tape,
    *,
    logs: Logs | None = None,
) -> Position:
    """Return how far on the tape the live generation reflects; BEFORE_THE_TAPE when it has no commit yet.

    A table is as far as its upstream was before the first rows that it has not read. Commits without rows
    (an empty file, a batch whose rows were all rejected) never reach a reader: the last note alone would
    lag for ever.
    """
    live = state.live(table)
    generation = 1 if live is None else live.number
    return _position(lake, pipeline, tape, table, generation, logs or LogsOnDisk())


def lag_behind(tape: Tape, position: Position, now: dt.datetime) -> Lag:
    """Return how far `position` is behind the head of its tape."""
    batches, oldest = 0, None
    for commit in reversed(tape.commits()):
        if commit.batch <= position.batch:
            break
        if commit.rows:
            batches, oldest = batches + 1, commit.at
    return Lag(batches, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)


def row_count(folder: str | Path) -> int:
    """Return the rows of a Delta table: from the statistics in its log, or counted where a file has none."""
    table = DeltaTable(folder)
    actions = pa.table(table.get_add_actions(flatten=True))
    counts = actions.column("num_records").to_pylist() if actions.num_rows else []
    if None in counts:
        return int(table.to_pyarrow_dataset().count_rows())
    return int(sum(counts))


def _position(lake: Lake, pipeline: Pipeline, tape: Tape, table: TableName, generation: int, logs: Logs) -> Position:
    upstream = pipeline.upstreams.get(table)
    if upstream is None:
        return tape.head()
    found = logs.last_note(lake.folder(table, generation))
    if found is None:
        return BEFORE_THE_TAPE
    own = found[1].position.get(str(tape.bronze), BEFORE_THE_TAPE)
    read = found[1].reads.get(str(upstream))
    if read is None or read.version < 0:  # in the upstream's first snapshot: its order says nothing
        return own
    folder = lake.folder(upstream, read.generation)
    # The upstream's position is taken before its log is looked at: what arrives in between is then unread.
    above = _position(lake, pipeline, tape, upstream, read.generation, logs)
    unread = logs.first_data_after(folder, read.version)
    if unread is None:
        return max(own, above)
    return max(own, _noted_before(folder, unread, tape, upstream, logs))


def _noted_before(folder: Path, version: int, tape: Tape, upstream: TableName, logs: Logs) -> Position:
    """Return the tape position that an upstream had reached just before `version`."""
    if upstream == tape.bronze:
        earlier = (c.position for c in reversed(tape.commits()) if c.version < version)
        return next(earlier, BEFORE_THE_TAPE)
    found = logs.last_note(folder, at_most=version - 1)
    return BEFORE_THE_TAPE if found is None else found[1].position.get(str(tape.bronze), BEFORE_THE_TAPE)


def _status(
    lake: Lake,
    state: State,
    table: Table,
    tape: Tape,
    position: Position,
    now: dt.datetime,
    query: QueryStatus | None,
) -> TableStatus:
    live = state.live(table.name)
    number = 1 if isinstance(table, Bronze) else (live.number if live else None)
    folder = None if number is None else lake.folder(table.name, number)
    version = None if folder is None else delta_log.latest_version(folder)
    last = None if folder is None or version is None else delta_log.read_commit(folder, version)
    lag = lag_behind(tape, position, now)
    return TableStatus(
        table=table.name,
        generation=None if version is None else number,
        version=version,
        rows=None if folder is None or version is None else row_count(folder),
        position={str(tape.bronze): position},
        head={str(tape.bronze): tape.head()},
        lag_batches=lag.batches,
        lag_seconds=lag.seconds,
        code_version=live.code_version if live else None,
        deployed_version=code_version(table) if isinstance(table, Derived) else None,
        last_commit_at=last.at if last else None,
        query=query,
    )
