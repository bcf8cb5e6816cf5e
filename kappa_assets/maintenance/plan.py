"""What maintenance will do, decided from registry, logs and folders. Planning changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from kappa_assets.graph import Pipeline
from kappa_assets.maintenance.gate import Gate, Unwanted
from kappa_assets.maintenance.needed import at_rest, discarded, expired, needed
from kappa_assets.maintenance.steps import CleanLog, Expire, MaintenanceStep, Optimize, Vacuum, fold_registry, tidy
from kappa_assets.maintenance.upstreams import Key, known_upstreams
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Event, State, events


@dataclass(frozen=True)
class MaintenancePlan:
    """The steps, and what the registry has to say before the first is done."""

    state: State
    events: tuple[Event, ...]
    steps: tuple[MaintenanceStep, ...]


def plan_maintenance(gate: Gate, pipeline: Pipeline, state: State) -> MaintenancePlan:
    """Return what there is to do, given what the registry says."""
    lake, policy = gate.lake, gate.policy
    known = known_upstreams(lake, state)
    said: list[Event] = []
    steps: list[MaintenanceStep] = []
    gone = expired(state, known, policy, gate.now)
    said += [events.generation_expired(g.table, g.number) for g in gone]
    for key in sorted({(g.table, g.number) for g in gone} | state.expired | discarded(state)):
        lying = lake.lying(*key)
        steps += [] if lying is None else [Expire(key, *lying)]
    if policy.optimize:
        steps += _optimize(lake, pipeline, state, gate.now)
    if policy.vacuum:
        bronzes: set[Key] = {(b.name, 1) for b in pipeline.bronzes}
        for key in sorted(bronzes | needed(state, known, policy, gate.now)):
            found = gate.unwanted(state, known, key)
            steps += _vacuum(_name(key), lake.table(*key), key, found)
            steps += _vacuum(f"the state of {_name(key)}", lake.state_of(*key), key, gate.unwanted_state(key))
            if found is not None and found.upto > state.vacuumed.get(key, -1):
                said.append(events.vacuumed(*key, found.upto))
        for table in _side_tables(lake, pipeline):
            steps += _vacuum(table.name, table, None, gate.unwanted_beside(table))
    return MaintenancePlan(state, tuple(said), tuple(steps))


def _optimize(lake: Lake, pipeline: Pipeline, state: State, now: dt.datetime) -> Iterator[MaintenanceStep]:
    tables: set[Key] = {(b.name, 1) for b in pipeline.bronzes} | at_rest(state)
    rejects = [(table.name, table) for table in _rejects(lake, pipeline)]
    for name, table in [*((_name(key), lake.table(*key)) for key in sorted(tables)), *rejects]:
        found = table.upkeep().small_files(name, before=now.date())
        if found:
            yield Optimize(name, table, tuple(found))
    for bronze in pipeline.bronzes:
        index = lake.index_of(bronze.name)
        yield from tidy(index.name, index)
    yield from fold_registry(lake.events)


def _vacuum(name: str, table: StoredTable, key: Key | None, found: Unwanted | None) -> Iterator[MaintenanceStep]:
    if found is not None and found.files.sizes:
        yield Vacuum(name, table, key, found.files)
    if found is not None and found.entries.sizes:
        yield CleanLog(name, table, key, found.entries)


def _side_tables(lake: Lake, pipeline: Pipeline) -> Iterator[StoredTable]:
    """Yield our own tables beside the data: rejects, tape indexes, the registry."""
    yield from _rejects(lake, pipeline)
    for bronze in pipeline.bronzes:
        yield lake.index_of(bronze.name)
    yield lake.events


def _rejects(lake: Lake, pipeline: Pipeline) -> list[StoredTable]:
    return [lake.set_aside(table.name) for table in pipeline]


def _name(key: tuple[TableName, int]) -> str:
    table, number = key
    return str(table) if table.is_tape else f"{table} g{number}"
