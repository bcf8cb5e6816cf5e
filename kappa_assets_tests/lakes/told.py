"""What a lake's registry, tape and commit notes say, as plain JSON: read without Spark, through the code of today."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kappa_assets import TableName
from kappa_assets.delta_log import commits
from kappa_assets.graph import Pipeline
from kappa_assets.lake import Lake
from kappa_assets.registry import Generation, Registry, Release, Replay, State
from kappa_assets.tape import Tape


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
    """Return the notes as they are written again: what was not understood of one would be missing."""
    found = commits(lake.folder(table, number))
    return [{"version": c.version, "note": json.loads(c.note.to_json())} for c in found if c.note is not None]


def _named(tables: Mapping[TableName, int]) -> dict[str, int]:
    return {str(table): number for table, number in sorted(tables.items())}


def _key(key: tuple[TableName, int]) -> str:
    return f"{key[0]} g{key[1]}"
