"""What maintenance will do, decided from registry, logs and folders. Planning changes nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from kappa_assets.graph import Pipeline
from kappa_assets.lake import Lake
from kappa_assets.maintenance.clean_log import find_old_entries
from kappa_assets.maintenance.compact import small_files
from kappa_assets.maintenance.needed import Key, at_rest, discarded, expired, moving, needed
from kappa_assets.maintenance.policy import Policy
from kappa_assets.maintenance.readers import Unread, first_entry, first_kept, readers_of, unread_by
from kappa_assets.maintenance.steps import CleanLog, Expire, Optimize, Step, Vacuum, tidy
from kappa_assets.maintenance.sweep import find_unneeded
from kappa_assets.registry import Event, State, events
from kappa_assets.table import Layer, TableName


@dataclass(frozen=True)
class Plan:
    """The steps, and what the registry has to say before the first is done."""

    state: State
    events: tuple[Event, ...]
    steps: tuple[Step, ...]


def plan_maintenance(lake: Lake, pipeline: Pipeline, state: State, policy: Policy, now: dt.datetime) -> Plan:
    """Return what there is to do, given what the registry says."""
    said: list[Event] = []
    steps: list[Step] = []
    gone = expired(state, pipeline, policy, now)
    said += [events.generation_expired(g.table, g.number) for g in gone]
    for key in sorted({(g.table, g.number) for g in gone} | state.expired | discarded(state)):
        steps += _remove(lake, key)
    if policy.optimize:
        steps += _optimize(lake, pipeline, state, now)
    if policy.vacuum:
        bronzes: set[Key] = {(b.name, 1) for b in pipeline.bronzes}
        for key in sorted(bronzes | needed(state, pipeline, policy, now)):
            more, version = _vacuum(lake, pipeline, state, key, policy, now)
            steps += more
            if version > state.vacuumed.get(key, -1):
                said.append(events.vacuumed(*key, version))
        for name, folder in _side_tables(lake, pipeline):
            steps += _vacuum_folder(name, folder, [], policy, now)[0]
    return Plan(state, tuple(said), tuple(steps))


def _remove(lake: Lake, key: Key) -> list[Step]:
    folders = tuple(f for f in (lake.folder(*key), lake.checkpoint(*key)) if f.exists())
    return [Expire(str(key[0]), key[1], folders)] if folders else []


def _optimize(lake: Lake, pipeline: Pipeline, state: State, now: dt.datetime) -> Iterator[Step]:
    tables: set[Key] = {(b.name, 1) for b in pipeline.bronzes} | at_rest(state)
    for name, folder in [*((_name(key), lake.folder(*key)) for key in sorted(tables)), *_rejects(lake, pipeline)]:
        found = small_files(name, folder, before=now.date())
        if found:
            yield Optimize(name, folder, tuple(found))
    for bronze in pipeline.bronzes:
        yield from tidy(f"tape index of {bronze.name}", lake.tape_index(bronze.name))
    yield from tidy("registry", lake.registry)


def _vacuum(
    lake: Lake, pipeline: Pipeline, state: State, key: Key, policy: Policy, now: dt.datetime
) -> tuple[list[Step], int]:
    """Return the steps for one generation, and the newest version whose files or log entries they remove."""
    readers = readers_of(state, pipeline, *key, moving(state))
    unread = [u for u in (unread_by(lake, reader, key[0]) for reader in readers) if u is not None]
    return _vacuum_folder(_name(key), lake.folder(*key), unread, policy, now, known=state.vacuumed.get(key, -1))


def _vacuum_folder(
    name: str, folder: Path, unread: list[Unread], policy: Policy, now: dt.datetime, known: int = -1
) -> tuple[list[Step], int]:
    if not DeltaTable.is_deltatable(str(folder)):
        return [], -1
    since = policy.since(now)
    kept = first_kept(folder, unread, since)
    steps: list[Step] = []
    unneeded = find_unneeded(folder, kept, since, known_upto=known)
    if unneeded.paths:
        steps.append(Vacuum(name, folder, unneeded))
    old = find_old_entries(folder, first_entry(folder, kept, unread, policy.keep_commits), now)
    if old.paths:
        steps.append(CleanLog(name, old))
    return steps, max(unneeded.removed_upto, old.cleaned_upto)


def _side_tables(lake: Lake, pipeline: Pipeline) -> Iterator[tuple[str, Path]]:
    """Yield our own tables beside the data: rejects, tape indexes, the registry."""
    yield from _rejects(lake, pipeline)
    for bronze in pipeline.bronzes:
        yield f"tape index of {bronze.name}", lake.tape_index(bronze.name)
    yield "registry", lake.registry


def _rejects(lake: Lake, pipeline: Pipeline) -> list[tuple[str, Path]]:
    tables = [t.name for t in pipeline if t.name.layer is not Layer.GOLD]
    return [(f"rejects of {name}", lake.rejects(name)) for name in tables]


def _name(key: tuple[TableName, int]) -> str:
    table, number = key
    return str(table) if table.layer is Layer.BRONZE else f"{table} g{number}"
