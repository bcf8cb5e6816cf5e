"""From a pipeline and a registry to queries: which generation each table's query writes, and which tables are held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from kappa_assets.declare.tables import Derived
from kappa_assets.faults import fault_point
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.kinds.kind import Standing
from kappa_assets.kinds.known_kinds import is_sliced, kind_of, unique_in
from kappa_assets.kinds.query import Setting, TableQuery
from kappa_assets.kinds.tape.tape_query import TapeQuery
from kappa_assets.log.tape import Tape
from kappa_assets.logic.tape_readers import Reader
from kappa_assets.names import TableName
from kappa_assets.place.registry import Event, Generation, Registry, State, events


@dataclass(frozen=True)
class LiveQueries:
    """The queries of what readers see, upstream first, and the tables that are held, with the reason."""

    queries: tuple[TableQuery, ...]
    held: Mapping[TableName, str]


def register(registry: Registry, pipeline: Pipeline) -> State:
    """Give every table that has none its first generation, and record logic that goes `forward`.

    Raises RegistryConflict when another process changes the registry at the same moment.
    """
    state = registry.state()
    made: list[Event] = []
    tables: dict[TableName, int] = dict(state.release.tables) if state.release else {}
    for table in pipeline.derived:
        live = state.live(table.name)
        deployed = code_version(table)
        if live is None:
            number = state.next_generation(table.name)
            first, *others = pipeline.upstreams[table.name]
            made.append(
                events.generation_created(
                    table.name,
                    number,
                    deployed,
                    upstream=tables.get(first, 1),
                    reads=first,
                    also_reads={other: tables.get(other, 1) for other in others},
                )
            )
            tables[table.name] = number
        elif live.code_version != deployed and table.on_change == "forward":
            made.append(events.logic_forwarded(table.name, live.number, deployed))
    if state.release is None or tables != state.release.tables:
        made.append(events.release_created(max(state.releases, default=0) + 1, tables, "first data of new tables"))
    if not made:
        return state
    fault_point("registry_change", "registry")
    return registry.commit(state, made)


def live_queries(setting: Setting, pipeline: Pipeline, state: State, tapes: Mapping[TableName, Tape]) -> LiveQueries:
    """Return the queries of the current release. A table whose deployed logic did not write it is held."""
    queries: list[TableQuery] = [
        TapeQuery(setting, b, tapes[b.name], source=source, readers=_readers(pipeline, b.name))
        for b in pipeline.bronzes
        for source in b.sources
    ]
    held: dict[TableName, str] = {}
    for table in pipeline.derived:
        live = state.live(table.name)
        if live is None:
            continue
        reason = hold_reason(live, table)
        if reason is not None:
            held[table.name] = reason
        else:
            queries.append(query_of(setting, pipeline, live, tapes))
    return LiveQueries(tuple(queries), held)


def _readers(pipeline: Pipeline, bronze: TableName) -> tuple[Reader, ...]:
    return tuple(partial(kind_of(t).check, t) for t in pipeline.derived if bronze in pipeline.upstreams[t.name])


def hold_reason(live: Generation, table: Derived) -> str | None:
    """Return why a table may not go on with the deployed logic, or None when it may."""
    deployed = code_version(table)
    if live.code_version == deployed:
        return None
    return (
        f"{table.origin}: generation {live.number} was written by logic {live.code_version}, deployed is {deployed}: "
        f"replay {live.table} and promote it, or deploy the old logic again"
    )


def query_of(
    setting: Setting, pipeline: Pipeline, generation: Generation, tapes: Mapping[TableName, Tape]
) -> TableQuery:
    """Return the query that writes one generation of a derived table, with the deployed logic."""
    table = pipeline.derived_table(generation.table)
    standing = Standing(
        pipeline.upstreams[table.name],
        tuple(tapes[tape] for tape in pipeline.tapes_of(table.name)),
        code_version(table),
        frozenset(name for name in pipeline.upstreams[table.name] if is_sliced(pipeline[name])),
        unique_in(pipeline, table),
        is_read=bool(pipeline.readers(table.name)),
    )
    return kind_of(table).query(setting, table, generation, standing)


def tapes_of(setting: Setting, pipeline: Pipeline) -> dict[TableName, Tape]:
    """Return the tapes of a pipeline, shared by its queries."""
    return {b.name: Tape(setting.lake, b.name) for b in pipeline.bronzes}
