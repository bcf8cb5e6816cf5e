"""How far every table is: generation, version, rows, position, lag. Read from registry and logs, no JVM."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from kappa_assets.declare.tables import Bronze, Derived, Table
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.host.host_status import HostStatus, QueryStatus, host_alive, read_status
from kappa_assets.log import delta_log
from kappa_assets.log.generation_positions import live_position
from kappa_assets.log.note import Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Registry, State


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
    """Age of the oldest rows on a tape that the table does not reflect; 0 when it is caught up."""
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


def table_statuses(lake: Lake, pipeline: Pipeline, *, now: dt.datetime | None = None) -> list[TableStatus]:
    """Return the status of every table of the pipeline, upstream first."""
    moment = now or dt.datetime.now(dt.UTC)
    state = Registry(lake).state()
    queries = query_statuses(living_host(lake))
    tapes = {b.name: Tape(lake, b.name) for b in pipeline.bronzes}
    found = []
    for table in pipeline:
        on = [tapes[name] for name in pipeline.tapes_of(table.name)]
        stands = [stand_on(tape, live_position(lake, state, table.name, tape), moment) for tape in on]
        found.append(_status(lake, state, table, stands, queries.get(str(table.name))))
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
    return {} if host is None else {q.table: host.query(q.table) or q for q in host.queries}


@dataclass(frozen=True)
class Stand:
    """How far a table reflects one tape, and how far that is behind its head."""

    tape: TableName
    position: Position
    head: Position
    lag: Lag

    @property
    def behind(self) -> tuple[float, int]:
        """What orders stands: the one furthest behind is the greatest."""
        return self.lag.seconds, self.lag.batches


def stand_on(tape: Tape, position: Position, now: dt.datetime) -> Stand:
    """Return how a table that reflects a tape up to `position` stands on it."""
    return Stand(tape.bronze, position, tape.head(), lag_behind(tape, position, now))


def lag_behind(tape: Tape, position: Position, now: dt.datetime) -> Lag:
    """Return how far `position` is behind the head of its tape."""
    batches, oldest = 0, None
    for commit in reversed(tape.commits(position.batch + 1)):
        if commit.rows:
            batches, oldest = batches + 1, commit.at
    return Lag(batches, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)


def row_count(table: StoredTable, version: int) -> int:
    """Return the rows of one version: from the statistics in its log, or counted where a file has none."""
    actions = table.files(version)
    counts = actions.column("num_records").to_pylist() if actions.num_rows else []
    if None in counts:
        return int(table.arrow(version).count_rows())
    return int(sum(counts))


def _status(
    lake: Lake,
    state: State,
    table: Table,
    stands: list[Stand],
    query: QueryStatus | None,
) -> TableStatus:
    live = state.live(table.name)
    number = 1 if isinstance(table, Bronze) else (live.number if live else None)
    stored = None if number is None else lake.table(table.name, number)
    version = None if stored is None else stored.newest()
    last = None if stored is None or version is None else delta_log.read_commit(stored, version)
    lag = max(stands, key=lambda stand: stand.behind).lag
    return TableStatus(
        table=table.name,
        generation=None if version is None else number,
        version=version,
        rows=None if stored is None or version is None else row_count(stored, version),
        position={str(stand.tape): stand.position for stand in stands},
        head={str(stand.tape): stand.head for stand in stands},
        lag_batches=lag.batches,
        lag_seconds=lag.seconds,
        code_version=live.code_version if live else None,
        deployed_version=code_version(table) if isinstance(table, Derived) else None,
        last_commit_at=last.at if last else None,
        query=query,
    )
