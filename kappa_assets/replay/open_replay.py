"""The one replay that is open: under way, waiting for a person, or dead on the way and gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kappa_assets.errors import ReplayError
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import REPLAYS, holder_of
from kappa_assets.place.registry import Generation, Replay, State
from kappa_assets.replay.tape_range import Asked


@dataclass(frozen=True)
class OpenReplay:
    """What a replay that died means for the one that is planned: gone on with, or removed first, or nothing."""

    resumes: str | None = None
    discards: str | None = None
    because: str | None = None
    candidates: Mapping[TableName, Generation] = field(default_factory=dict)
    """Those of the replay that is gone on with."""


def find_open(lake: Lake, pipeline: Pipeline, state: State, affected: set[TableName], asked: Asked) -> OpenReplay:
    """Return what is to be done with the open replay.

    Raises ReplayError when it is under way, waits for a person, or died while it built something else.
    """
    found = state.open_replay()
    if found is None:
        return OpenReplay()
    if found.state == "held":
        raise ReplayError(
            f"replay {found.id} waits to be promoted",
            hint=f"kappa promote {found.id}, or kappa discard {found.id}, first.",
        )
    working = holder_of(lake, REPLAYS)
    if working is not None:
        raise ReplayError(
            f"replay {found.id} is under way: {working}",
            hint="Let it finish, or stop it: its Dagster run's Terminate, or Ctrl-C in its terminal.",
        )
    if set(found.candidates) != affected or found.plan.get("asked") != asked.facts():
        raise ReplayError(
            f"replay {found.id} died while it was built, and was another one: {_described(found)}",
            hint=f"Launch the same again, and it goes on; or give it up: kappa discard {found.id}.",
        )
    outdated = _outdated(pipeline, state, found)
    if outdated is not None:
        return OpenReplay(discards=found.id, because=outdated)
    return OpenReplay(
        resumes=found.id, candidates={t: state.generations[t, number] for t, number in found.candidates.items()}
    )


def _described(replay: Replay) -> str:
    asked = ", ".join(f"{name} {value}" for name, value in replay.plan.get("asked", {}).items()) or "from inception"
    return f"{', '.join(replay.plan.get('tables', map(str, replay.candidates)))}, {asked}"


def _outdated(pipeline: Pipeline, state: State, replay: Replay) -> str | None:
    """Return why a dead replay's candidates cannot be gone on with, or None."""
    for table, number in replay.candidates.items():
        if state.generations[table, number].code_version != code_version(pipeline.derived_table(table)):
            return f"the logic of {table} changed since"
    moved = replaced_since(state, replay)
    return f"{moved[0]} was promoted or rolled back since" if moved else None


def replaced_since(state: State, replay: Replay) -> list[TableName]:
    """Return the tables of a replay whose live generation is not the one it started beside."""
    found = []
    for table in replay.candidates:
        live = state.live(table)
        if (None if live is None else live.number) != replay.live.get(table):
            found.append(table)
    return found
