"""A replay from plan to promotion, walking the same steps that the plan prints."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kappa_assets.graph import Pipeline
from kappa_assets.lock import exclusive
from kappa_assets.registry import Registry, State, events
from kappa_assets.replay.build import Progress, build
from kappa_assets.replay.compare import Comparison, compare, comparison_facts
from kappa_assets.replay.plan import ReplayPlan
from kappa_assets.replay.promote import (
    candidates_of,
    discard_candidates,
    promote_candidates,
    replay_lock,
)
from kappa_assets.streams.host import never
from kappa_assets.streams.query import Setting


@dataclass(frozen=True)
class ReplayResult:
    """What became of a replay: promoted as `release`, or held until a person decides."""

    id: str
    state: Literal["promoted", "held"]
    release: int | None
    comparison: Comparison


def run_replay(
    setting: Setting,
    pipeline: Pipeline,
    plan: ReplayPlan,
    *,
    promote: Literal["auto", "hold"] = "auto",
    progress: Progress = print,
    wanted: Callable[[], str | None] = never,
) -> ReplayResult:
    """Build the plan's candidates beside the live tables, compare them, and promote or hold them.

    `auto` promotes unless the comparison finds a fault. A replay that died is discarded first, with all it wrote.
    Raises HostRunning when another replay is under way, RegistryConflict when the registry changed since the plan.
    """
    with exclusive(replay_lock(setting.lake), "replay"):
        registry = Registry(setting.lake)
        state = _discard_dead(setting, registry, registry.state(), progress)
        replay_id = f"r{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        state = _open(registry, state, plan, replay_id)
        progress(f"{replay_id}: {plan.summary}")
        try:
            candidates = candidates_of(state, pipeline, state.replays[replay_id])
            build(setting, pipeline, candidates, progress, wanted)
            comparison = compare(setting, pipeline, registry.state(), candidates)
            state = registry.commit(registry.state(), [events.replay_compared(replay_id, comparison_facts(comparison))])
        except BaseException:
            discard_candidates(setting.lake, registry, replay_id)
            raise
        for fault in comparison.faults:
            progress(f"not promoted by itself: {fault}")
        if promote == "auto" and comparison.ok:
            release = promote_candidates(setting, pipeline, registry, state.replays[replay_id], progress, wanted)
            return ReplayResult(replay_id, "promoted", release.number, comparison)
        registry.commit(registry.state(), [events.replay_held(replay_id)])
        progress(f"{replay_id} is held: kappa promote {replay_id}, or kappa discard {replay_id}")
        return ReplayResult(replay_id, "held", None, comparison)


def _open(registry: Registry, state: State, plan: ReplayPlan, replay_id: str) -> State:
    made = [
        events.generation_created(
            step.table,
            step.generation,
            step.code_version,
            upstream=step.upstream_generation,
            from_batch=step.from_batch,
            kept_from=step.kept_from,
            replay=replay_id,
        )
        for step in plan.steps
    ]
    candidates = {step.table: step.generation for step in plan.steps}
    return registry.commit(state, [*made, events.replay_started(replay_id, candidates, plan.facts())])


def _discard_dead(setting: Setting, registry: Registry, state: State, progress: Progress) -> State:
    """Discard a replay whose process died: we hold the lock, so nobody works on it."""
    dead = state.open_replay()
    if dead is None or dead.state != "building":
        return state
    progress(f"{dead.id} died while it was built; it is discarded")
    discard_candidates(setting.lake, registry, dead.id)
    return registry.state()
