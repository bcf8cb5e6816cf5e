"""What a lake's registry, tape and commit notes say, as plain JSON: read without Spark, through the code of today."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kappa_assets import TableName
from kappa_assets.graph import Pipeline
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import CommitNote, Offset
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Generation, Registry, Release, Replay, State


def told(lake: Lake, pipeline: Pipeline) -> dict[str, Any]:
    """Return the registry's events and what they add up to, each tape's commits, and each table's notes."""
    registry = Registry(lake)
    state = registry.state()
    facts = {
        "events": [{"at": e.at, "kind": e.kind, "body": e.body} for e in registry.history()],
        "state": _state(state),
        "tapes": {str(b.name): [_commit(c) for c in Tape(lake, b.name).commits()] for b in pipeline.bronzes},
        "notes": {
            f"{table} g{number}": _notes(lake, table, number)
            for table, number in [*((b.name, 1) for b in pipeline.bronzes), *sorted(state.generations)]
        },
    }
    return dict(json.loads(json.dumps(facts)))


def _state(state: State) -> dict[str, Any]:
    return {
        "generations": {_key(key): _generation(state, g) for key, g in state.generations.items()},
        "releases": {str(number): _release(release) for number, release in state.releases.items()},
        "current": state.current,
        "replays": {name: _replay(replay) for name, replay in state.replays.items()},
        "expired": sorted(_key(key) for key in state.expired),
        "vacuumed": {_key(key): version for key, version in sorted(state.vacuumed.items())},
    }


def _generation(state: State, found: Generation) -> dict[str, Any]:
    return {
        "code_version": found.code_version,
        "reads": None if found.reads is None else str(found.reads),
        "upstream": found.upstream,
        "from_batch": found.from_batch,
        "to_batch": found.to_batch,
        "kept_from": found.kept_from,
        "replay": found.replay,
        "created_at": found.created_at,
        "state": state.state_of(found),
    }


def _release(found: Release) -> dict[str, Any]:
    facts = {"reason": found.reason, "replay": found.replay, "created_at": found.created_at}
    return facts | {"tables": _named(found.tables)}


def _replay(found: Replay) -> dict[str, Any]:
    facts = {"state": found.state, "created_at": found.created_at, "plan": found.plan, "comparison": found.comparison}
    return facts | {"candidates": _named(found.candidates), "live": _named(found.live)}


def _commit(found: Any) -> dict[str, Any]:
    facts = {"batch": found.batch, "version": found.version, "rows": found.rows, "slices": dict(found.slices)}
    return facts | {"at": found.at.isoformat()}


def _notes(lake: Lake, table: TableName, number: int) -> list[Any]:
    found = commits(lake.folder(table, number))
    return [{"version": c.version, "note": _note(c.note)} for c in found if c.note is not None]


def _note(found: CommitNote) -> dict[str, Any]:
    reads = {
        name: {
            "generation": read.generation,
            "since": _offset(read.since),
            "until": _offset(read.until),
            "version": read.version,
        }
        for name, read in found.reads.items()
    }
    repair = found.repair
    facts = {
        "table": found.table,
        "generation": found.generation,
        "batch": found.batch,
        "code_version": found.code_version,
        "reads": reads,
        "position": {name: [at.batch, at.version] for name, at in found.position.items()},
        "tape_batch": found.tape_batch,
        "rows": found.rows,
        "rejected": dict(found.rejected),
        "source": dict(found.source),
        "replay": found.replay,
        "repair": repair and [repair.slice, repair.batch, repair.version, repair.replaced],
        "checkpoint": found.checkpoint,
        "inputs": found.inputs,
        "recomputed": found.recomputed,
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, {})}


def _offset(found: Offset | None) -> list[Any] | None:
    return None if found is None else [found.version, found.index, found.starting]


def _named(tables: Mapping[TableName, int]) -> dict[str, int]:
    return {str(table): number for table, number in sorted(tables.items())}


def _key(key: tuple[TableName, int]) -> str:
    return f"{key[0]} g{key[1]}"
