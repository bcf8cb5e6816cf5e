"""Promotion and rollback: a release is one commit to the registry; links follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from kappa_assets.errors import PromotionRefused, ReplayError
from kappa_assets.faults import fault_point
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.graph import Pipeline
from kappa_assets.host.host_status import host_alive, read_status
from kappa_assets.host.wanted import never
from kappa_assets.kinds.query import Setting
from kappa_assets.log.generation_positions import position_of
from kappa_assets.log.releases import expired_tables
from kappa_assets.log.tape import Tape
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import PROMOTION, REPLAYS, lease
from kappa_assets.place.registry import Event, Generation, Registry, Release, Replay, State, events, mend_links
from kappa_assets.replay.build import build
from kappa_assets.replay.carry_over import CarriedOver, live_turns
from kappa_assets.replay.open_replay import replaced_since
from kappa_assets.replay.tape_progress import Say

_PATIENCE = 60.0
"""Seconds to wait for the host to end its batches and stand aside."""


def promote_replay(
    setting: Setting,
    pipeline: Pipeline,
    replay_id: str | None = None,
    *,
    force: bool = False,
    progress: Say = print,
    wanted: Callable[[], str | None] = never,
) -> Release:
    """Make the candidates of a held replay live, all at once, after they have drained the last of the tape.

    `force` takes what the comparison found, or that there is none, or that candidates stay behind, into account, and
    says so in the release's reason. Raises PromotionRefused when there is no such replay, it is a validation, the
    comparison found faults, the candidates stay behind, the logic changed since, or somebody else promoted or rolled
    back one of its tables since it started; RegistryConflict when that happens at the same moment.
    """
    purpose = f"promotion of {replay_id or 'the held replay'}"
    with lease(setting.lake, REPLAYS, purpose) as held:
        setting = replace(setting, fence=held.fence)
        registry = Registry(setting.lake)
        replay = _promotable(registry.state(), replay_id, force=force)
        return promote_candidates(setting, pipeline, registry, replay, progress, wanted, force=force)


def promote_candidates(
    setting: Setting,
    pipeline: Pipeline,
    registry: Registry,
    replay: Replay,
    progress: Say,
    wanted: Callable[[], str | None],
    *,
    force: bool = False,
) -> Release:
    """Do what `promote_replay` says; the caller holds the replay lock."""
    state = registry.state()
    against = _against(replay)
    if against and not force:
        raise PromotionRefused(
            f"replay {replay.id} is not promoted: {'; '.join(against)}",
            hint=f"Look at it with kappa compare {replay.id}. If it is meant to be so: kappa promote --force.",
        )
    candidates = candidates_of(state, pipeline, replay)
    _refuse_other_logic(pipeline, candidates)
    _refuse_replaced(state, replay)
    build(setting, pipeline, candidates, progress, wanted)
    with lease(setting.lake, PROMOTION, f"promotion of {replay.id}"):
        _await_host_aside(setting.lake, candidates)
        build(setting, pipeline, candidates, progress, wanted)
        drained = time.monotonic()
        behind = _behind(setting.lake, pipeline, registry.state(), candidates)
        if behind and not force:
            raise PromotionRefused(
                f"the candidates are behind the live tables: {', '.join(behind)}",
                hint="Promote again; if it stays so, look at the host's log: it did not stand aside.",
            )
        forced = [*against, *(f"{name} is behind" for name in behind)]
        reason = f"replay {replay.id}" + (f", forced although {'; '.join(forced)}" if forced else "")
        release = _release(setting, registry, replay, candidates, reason, progress)
        progress(
            f"release {release.number} is live, {time.monotonic() - drained:.2f} s after the last batch was drained"
        )
        return release


def _release(
    setting: Setting,
    registry: Registry,
    replay: Replay,
    candidates: list[Generation],
    reason: str,
    progress: Say,
) -> Release:
    """Make the release, once every repair of rows that the candidates kept is in them too.

    Repairs commit in the turns of the live tables: none comes between the last look for one and the registry.
    """
    kept = CarriedOver.of(setting, candidates)
    for candidate in kept:
        candidate.catch_up(progress)
    fault_point("registry_change", "registry")
    while True:
        state = registry.state()
        _refuse_replaced(state, replay)
        with live_turns(setting.lake, state, replay.candidates):
            if not any(candidate.missing() for candidate in kept):
                state = registry.commit(state, _promoted(state, replay, reason))
                break
        for candidate in kept:
            candidate.catch_up(progress)
    fault_point("registry_change", "links")
    mend_links(setting.lake, state)
    return state.releases[max(state.releases)]


def _promoted(state: State, replay: Replay, reason: str) -> list[Event]:
    tables = {**(state.release.tables if state.release else {}), **replay.candidates}
    number = max(state.releases, default=0) + 1
    return [events.release_created(number, tables, reason, replay=replay.id), events.replay_promoted(replay.id)]


def rollback(lake: Lake, to: int | None = None, *, reason: str = "") -> Release:
    """Select an earlier release, or the one named; readers see its generations at once.

    Raises ReplayError when there is none, or maintenance has removed one of its generations. Its tables move on when
    the code that wrote them is deployed; `log.releases.stuck_tables` names those that cannot.
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
    if gone := expired_tables(state, state.releases[number]):
        raise ReplayError(
            f"release {number} has expired: maintenance removed its {', '.join(map(str, gone))}",
            hint="Deploy the logic of that time and replay; keep more releases with maintenance's keep_releases.",
        )
    fault_point("registry_change", "registry")
    with live_turns(lake, state, state.release.tables if state.release else ()):
        state = registry.commit(state, [events.release_selected(number, reason)])
    fault_point("registry_change", "links")
    mend_links(lake, state)
    return state.releases[number]


def candidates_of(state: State, pipeline: Pipeline, replay: Replay) -> list[Generation]:
    """Return a replay's candidates, upstream first."""
    return [
        state.generations[t.name, replay.candidates[t.name]] for t in pipeline.derived if t.name in replay.candidates
    ]


def _promotable(state: State, replay_id: str | None, *, force: bool) -> Replay:
    found = state.open_replay() if replay_id is None else state.replays.get(replay_id)
    if found is not None and found.state == "validated":
        asked = found.plan.get("asked", {})
        end = next((f"{name} {asked[name]}" for name in ("to_version", "to_time") if name in asked), None)
        why = (
            f"it ends with {end}, and what came later would be missing" if end else "it was launched with promote never"
        )
        raise PromotionRefused(
            f"replay {found.id} is a validation and never goes live: {why}",
            hint="Launch a replay without an end, and with promote hold or auto.",
        )
    if found is None or not (found.state == "held" or (force and found.state == "building")):
        what = "no replay waits to be promoted" if replay_id is None else f"replay {replay_id!r} does not wait"
        raise PromotionRefused(what, hint="kappa replay --promote hold makes one.")
    return found


def _against(replay: Replay) -> list[str]:
    """Return what the comparison says against a promotion."""
    if replay.comparison is None:
        return ["it is not compared"]
    return list(replay.comparison.get("faults", ()))


def _refuse_replaced(state: State, replay: Replay) -> None:
    """Refuse to replace a generation that the replay was not compared with."""
    replaced = replaced_since(state, replay)
    if replaced:
        raise PromotionRefused(
            f"somebody promoted or rolled back {', '.join(map(str, replaced))} since replay {replay.id} started",
            hint=f"kappa discard {replay.id}, and launch the replay again.",
        )


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
        for tape in (Tape(lake, name) for name in pipeline.tapes_of(candidate.table)):
            ours, theirs = (position_of(lake, tape, g.table, g.number) for g in (candidate, live))
            if ours < theirs:
                found.append(f"{candidate.table} g{candidate.number}")
                break
    return found
