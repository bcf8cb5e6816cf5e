"""Promotion and rollback: a release is one commit to the registry; links follow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from kappa_assets.declare.code_version import code_version
from kappa_assets.errors import PromotionRefused, ReplayError
from kappa_assets.faults import reach
from kappa_assets.graph import Pipeline
from kappa_assets.host_status import host_alive, promotion_lock, read_status
from kappa_assets.lake import Lake
from kappa_assets.lock import exclusive
from kappa_assets.reached import position_of
from kappa_assets.registry import Generation, Registry, Release, Replay, State, events, mend_links
from kappa_assets.replay.build import Progress, build
from kappa_assets.streams.host import never
from kappa_assets.streams.query import Setting
from kappa_assets.tape import Tape

_PATIENCE = 60.0
"""Seconds to wait for the host to end its batches and stand aside."""


def replay_lock(lake: Lake) -> Path:
    return lake.system / "replay.lock"


def promote_replay(
    setting: Setting,
    pipeline: Pipeline,
    replay_id: str | None = None,
    *,
    progress: Progress = print,
    wanted: Callable[[], str | None] = never,
) -> Release:
    """Make the candidates of a held replay live, all at once, after they have drained the last of the tape.

    Raises PromotionRefused when there is no such replay, it is not compared, the logic changed since, or the candidates
    stay behind; RegistryConflict when somebody else promoted meanwhile.
    """
    with exclusive(replay_lock(setting.lake), "promote"):
        registry = Registry(setting.lake)
        replay = _held_replay(registry.state(), replay_id)
        return promote_candidates(setting, pipeline, registry, replay, progress, wanted)


def promote_candidates(
    setting: Setting,
    pipeline: Pipeline,
    registry: Registry,
    replay: Replay,
    progress: Progress,
    wanted: Callable[[], str | None],
) -> Release:
    """Do what `promote_replay` says; the caller holds the replay lock."""
    state = registry.state()
    if replay.comparison is None:
        raise PromotionRefused(f"replay {replay.id} is not compared", hint="Launch the replay again.")
    candidates = candidates_of(state, pipeline, replay)
    _refuse_other_logic(pipeline, candidates)
    build(setting, pipeline, candidates, progress, wanted)
    with exclusive(promotion_lock(setting.lake), "promote"):
        _await_host_aside(setting.lake, candidates)
        build(setting, pipeline, candidates, progress, wanted)
        return _release(setting.lake, pipeline, registry, replay, candidates, progress)


def _release(
    lake: Lake,
    pipeline: Pipeline,
    registry: Registry,
    replay: Replay,
    candidates: list[Generation],
    progress: Progress,
) -> Release:
    state = registry.state()
    behind = _behind(lake, pipeline, state, candidates)
    if behind:
        raise PromotionRefused(
            f"the candidates are behind the live tables: {', '.join(behind)}",
            hint="Promote again; if it stays so, look at the host's log: it did not stand aside.",
        )
    tables = {**(state.release.tables if state.release else {}), **replay.candidates}
    number = max(state.releases, default=0) + 1
    reach("registry_change", "registry")
    state = registry.commit(
        state,
        [
            events.release_created(number, tables, f"replay {replay.id}", replay=replay.id),
            events.replay_promoted(replay.id),
        ],
    )
    reach("registry_change", "links")
    mend_links(lake, state)
    progress(f"release {number} is live")
    return state.releases[number]


def rollback(lake: Lake, to: int | None = None, *, reason: str = "") -> Release:
    """Select an earlier release, or the one named; readers see its generations at once.

    Raises ReplayError when there is none. Its tables move on when the code that wrote them is deployed.
    """
    registry = Registry(lake)
    state = registry.state()
    number = state.previous_release if to is None else to
    if number is None or number not in state.releases:
        raise ReplayError(
            "there is no earlier release" if to is None else f"there is no release {to}",
            hint="kappa releases lists them.",
        )
    if number == state.current:
        raise ReplayError(f"release {number} is the current one already", hint="kappa releases lists them.")
    reach("registry_change", "registry")
    state = registry.commit(state, [events.release_selected(number, reason)])
    reach("registry_change", "links")
    mend_links(lake, state)
    return state.releases[number]


def discard_replay(lake: Lake, replay_id: str) -> None:
    """Give up a replay that is not promoted, and remove all it wrote. Raises ReplayError."""
    with exclusive(replay_lock(lake), "discard"):
        discard_candidates(lake, Registry(lake), replay_id)


def discard_candidates(lake: Lake, registry: Registry, replay_id: str) -> None:
    """Do what `discard_replay` says; the caller holds the replay lock."""
    state = registry.state()
    replay = state.replays.get(replay_id)
    if replay is None or replay.state not in ("building", "held"):
        raise ReplayError(f"there is no open replay {replay_id!r}", hint="Promoted ones are undone by kappa rollback.")
    registry.commit(state, [events.replay_discarded(replay_id)])
    for table, number in replay.candidates.items():
        for folder in (lake.folder(table, number), lake.checkpoint(table, number)):
            if folder.exists():
                shutil.rmtree(folder)


def candidates_of(state: State, pipeline: Pipeline, replay: Replay) -> list[Generation]:
    """Return a replay's candidates, upstream first."""
    return [
        state.generations[t.name, replay.candidates[t.name]] for t in pipeline.derived if t.name in replay.candidates
    ]


def _held_replay(state: State, replay_id: str | None) -> Replay:
    found = state.open_replay() if replay_id is None else state.replays.get(replay_id)
    if found is None or found.state != "held":
        what = "no replay waits to be promoted" if replay_id is None else f"replay {replay_id!r} does not wait"
        raise PromotionRefused(what, hint="kappa replay --promote hold makes one.")
    return found


def _refuse_other_logic(pipeline: Pipeline, candidates: list[Generation]) -> None:
    for candidate in candidates:
        deployed = code_version(pipeline.derived_table(candidate.table))
        if candidate.code_version != deployed:
            raise PromotionRefused(
                f"{candidate.table} g{candidate.number} was built by logic {candidate.code_version}; "
                f"deployed is {deployed}",
                hint="Discard the replay and launch it again with the deployed logic.",
            )


def _await_host_aside(lake: Lake, candidates: list[Generation]) -> None:
    """Wait until no host writes the live tables. One that does not answer in time is left: `_behind` then decides."""
    tables = {str(c.table) for c in candidates}
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        status = read_status(lake)
        alive = host_alive(lake)
        if alive is None or status is None or status.pid != alive.pid:
            return
        if all(q.state in ("stopped", "held", "parked") for q in status.queries if q.table in tables):
            return
        time.sleep(0.1)


def _behind(lake: Lake, pipeline: Pipeline, state: State, candidates: list[Generation]) -> list[str]:
    """Return the candidates that are not as far on the tape as the table they replace: readers must never go back."""
    found = []
    for candidate in candidates:
        live = state.live(candidate.table)
        if live is None:
            continue
        tape = Tape(lake, pipeline.tape_of(candidate.table))
        ours, theirs = (position_of(lake, pipeline, tape, g.table, g.number) for g in (candidate, live))
        if ours < theirs:
            found.append(f"{candidate.table} g{candidate.number}")
    return found
