"""What maintenance will do, decided from registry, logs and folders. Planning changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kappa_assets.graph import Pipeline
from kappa_assets.maintenance.gate import Gate, Unwanted
from kappa_assets.maintenance.needed import at_rest, discarded, expired, needed
from kappa_assets.maintenance.optimize import small_files
from kappa_assets.maintenance.steps import CleanLog, Expire, MaintenanceStep, Optimize, Vacuum, fold_registry, tidy
from kappa_assets.maintenance.upstreams import Key, known_upstreams
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
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
        steps += [Expire(key, tuple(folders))] if (folders := gate.folders(key)) else []
    if policy.optimize:
        steps += _optimize(lake, pipeline, state, gate.now)
    if policy.vacuum:
        bronzes: set[Key] = {(b.name, 1) for b in pipeline.bronzes}
        for key in sorted(bronzes | needed(state, known, policy, gate.now)):
            found = gate.unwanted(state, known, key)
            steps += _vacuum(_name(key), lake.folder(*key), key, found)
            if found is not None and found.upto > state.vacuumed.get(key, -1):
                said.append(events.vacuumed(*key, found.upto))
        for name, folder in _side_tables(lake, pipeline):
            steps += _vacuum(name, folder, None, gate.unwanted_beside(folder))
    return MaintenancePlan(state, tuple(said), tuple(steps))


def _optimize(lake: Lake, pipeline: Pipeline, state: State, now: dt.datetime) -> Iterator[MaintenanceStep]:
    tables: set[Key] = {(b.name, 1) for b in pipeline.bronzes} | at_rest(state)
    for name, folder in [*((_name(key), lake.folder(*key)) for key in sorted(tables)), *_rejects(lake, pipeline)]:
        found = small_files(name, folder, before=now.date())
        if found:
            yield Optimize(name, folder, tuple(found))
    for bronze in pipeline.bronzes:
        yield from tidy(f"tape index of {bronze.name}", lake.tape_index(bronze.name))
    yield from fold_registry(lake.registry)


def _vacuum(name: str, folder: Path, key: Key | None, found: Unwanted | None) -> Iterator[MaintenanceStep]:
    if found is not None and found.files.sizes:
        yield Vacuum(name, folder, key, found.files)
    if found is not None and found.entries.sizes:
        yield CleanLog(name, folder, key, found.entries)


def _side_tables(lake: Lake, pipeline: Pipeline) -> Iterator[tuple[str, Path]]:
    """Yield our own tables beside the data: rejects, tape indexes, the registry."""
    yield from _rejects(lake, pipeline)
    for bronze in pipeline.bronzes:
        yield f"tape index of {bronze.name}", lake.tape_index(bronze.name)
    yield "registry", lake.registry


def _rejects(lake: Lake, pipeline: Pipeline) -> list[tuple[str, Path]]:
    return [(f"rejects of {table.name}", lake.rejects(table.name)) for table in pipeline]


def _name(key: tuple[TableName, int]) -> str:
    table, number = key
    return str(table) if table.is_tape else f"{table} g{number}"
