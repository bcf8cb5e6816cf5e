"""How far every table is: generation, version, rows, position on the tape, lag. Read from registry and logs, no JVM."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable

from kappa_assets.commit import BEFORE_THE_TAPE, Position
from kappa_assets.declare.code_version import code_version
from kappa_assets.declare.tables import Bronze, Derived, Table
from kappa_assets.delta_log import commits, last_note, latest_version, read_commit
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
    """Age of the oldest commit on the tape that the table does not reflect; 0 when it is caught up."""
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


def table_statuses(lake: Lake, pipeline: Pipeline, *, now: dt.datetime | None = None) -> list[TableStatus]:
    """Return the status of every table of the pipeline, upstream first."""
    moment = now or dt.datetime.now(dt.UTC)
    state = Registry(lake).state()
    queries = _queries(read_status(lake)) if host_alive(lake) else {}
    tapes = {b.name: Tape(lake, b.name) for b in pipeline.bronzes}
    found: dict[TableName, TableStatus] = {}
    for table in pipeline:
        tape = tapes[pipeline.tape_of(table.name)]
        position = live_position(lake, state, pipeline, table.name, tape)
        found[table.name] = _status(lake, state, table, tape, position, moment, queries.get(str(table.name)))
    return list(found.values())


def live_position(lake: Lake, state: State, pipeline: Pipeline, table: TableName, tape: Tape) -> Position:
    """Return how far on the tape the live generation reflects; BEFORE_THE_TAPE when it has no rows yet.

    A table that has read everything its upstream holds is as far as the upstream, even if the upstream's last commits
    held no rows: those never reach a reader of its change feed.
    """
    upstream = pipeline.upstreams.get(table)
    if upstream is None:
        return tape.head()
    live = state.live(table)
    found = None if live is None else last_note(lake.folder(table, live.number))
    if live is None or found is None:
        return BEFORE_THE_TAPE
    note = found[1]
    own = note.position.get(str(tape.bronze), BEFORE_THE_TAPE)
    read = note.reads.get(str(upstream))
    if upstream == tape.bronze or read is None:
        return own
    rest = commits(lake.folder(upstream, live.upstream), after=read.version)
    if any(c.adds_data or c.removes_data for c in rest):
        return own
    above = last_note(lake.folder(upstream, live.upstream))
    return own if above is None else above[1].position.get(str(tape.bronze), own)


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
    version = None if folder is None else latest_version(folder)
    behind = [c for c in tape.commits() if c.batch > position.batch]
    last = None if folder is None or version is None else read_commit(folder, version)
    return TableStatus(
        table=table.name,
        generation=None if version is None else number,
        version=version,
        rows=None if folder is None or version is None else row_count(str(folder)),
        position={str(tape.bronze): position},
        head={str(tape.bronze): tape.head()},
        lag_batches=len(behind),
        lag_seconds=max(0.0, (now - behind[0].at).total_seconds()) if behind else 0.0,
        code_version=live.code_version if live else None,
        deployed_version=code_version(table) if isinstance(table, Derived) else None,
        last_commit_at=last.at if last else None,
        query=query,
    )


def row_count(folder: str) -> int:
    """Return the rows of a Delta table, from the statistics in its log."""
    actions = pa.table(DeltaTable(folder).get_add_actions(flatten=True))
    return int(sum(actions.column("num_records").to_pylist())) if actions.num_rows else 0


def _queries(status: HostStatus | None) -> dict[str, QueryStatus]:
    return {} if status is None else {q.table: q for q in status.queries}
