"""A replay from plan to promotion, walking the same steps that the plan prints."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from kappa_assets.compare.comparison import UNLIMITED, Comparison, Limits
from kappa_assets.compare.generations import compare
from kappa_assets.errors import KappaError, LogicError, PromotionRefused, RegistryConflict, ReplayError
from kappa_assets.faults import fault_point
from kappa_assets.graph import Pipeline
from kappa_assets.host.wanted import never
from kappa_assets.kinds.query import Setting
from kappa_assets.place.local.leases.lease import REPLAYS, lease
from kappa_assets.place.registry import Event, Registry, State, events
from kappa_assets.replay.build import build
from kappa_assets.replay.discard import discard_candidates
from kappa_assets.replay.plan import ReplayPlan, ReplayStep
from kappa_assets.replay.promote import candidates_of, promote_candidates
from kappa_assets.replay.tape_progress import Say

Promote = Literal["auto", "hold", "never"]


@dataclass(frozen=True)
class ReplayResult:
    """What became of a replay: promoted as `release`, held until a person decides, or validated and kept aside."""

    id: str
    state: Literal["promoted", "held", "validated"]
    release: int | None
    comparison: Comparison


def run_replay(
    setting: Setting,
    pipeline: Pipeline,
    plan: ReplayPlan,
    *,
    promote: Promote = "auto",
    limits: Limits = UNLIMITED,
    max_bytes_per_batch: str | None = None,
    progress: Say = print,
    wanted: Callable[[], str | None] = never,
) -> ReplayResult:
    """Build the plan's candidates beside the live tables, compare them, and promote, hold or only validate them.

    Args:
        promote: `auto` promotes unless the comparison finds a fault; `hold` waits for `promote_replay`; `never`, and
            any plan with an end on the tape, leaves them aside as validated.
        limits: how far candidates may be from the live tables; beyond is a fault.
        max_bytes_per_batch: how much of its upstream one micro-batch takes at most, such as "512m".
        wanted: asked several times a second; gives a reason to stop, or None.

    A replay that dies or is stopped goes on when the same is planned and run again; logic that cannot be built is
    discarded at once. Raises ReplayRunning when another is under way, RegistryConflict when the registry changed
    since the plan, LogicError, ReplayError, and PromotionRefused, with the candidates held.
    """
    setting = _paced(setting, max_bytes_per_batch)
    replay_id = plan.resumes or f"r{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with lease(setting.lake, REPLAYS, f"replay {replay_id}") as held:
        setting = replace(setting, fence=held.fence)
        registry = Registry(setting.lake)
        _begin(setting, registry, plan, replay_id, progress)
        try:
            comparison = _build_and_compare(setting, pipeline, registry, replay_id, limits, progress, wanted)
        except KappaError as error:
            if _cannot_be_built(error):
                discard_candidates(setting.lake, registry, replay_id)
                progress(f"{replay_id} is discarded: its logic cannot be built")
            raise
        if promote == "never" or plan.is_validation:
            registry.add(events.replay_validated(replay_id))
            progress(f"{replay_id} is validated, and kept aside until kappa discard {replay_id}")
            return ReplayResult(replay_id, "validated", None, comparison)
        if promote == "auto" and comparison.ok:
            release = _promoted(setting, pipeline, registry, replay_id, progress, wanted)
            return ReplayResult(replay_id, "promoted", release, comparison)
        _hold(registry, replay_id, progress)
        return ReplayResult(replay_id, "held", None, comparison)


def _begin(setting: Setting, registry: Registry, plan: ReplayPlan, replay_id: str, progress: Say) -> None:
    """Write the plan down, or take up the one that is gone on with."""
    state = registry.state()
    _check_still_as_planned(state, plan)
    progress(f"{replay_id}: {plan.text}")
    if plan.discards is not None:
        discard_candidates(setting.lake, registry, plan.discards)
        progress(f"{plan.discards} is discarded, with all it wrote")
        state = registry.state()
    if plan.resumes is None:
        registry.commit(state, _opening(plan, replay_id))


def _check_still_as_planned(state: State, plan: ReplayPlan) -> None:
    """Raise RegistryConflict when what the plan stands on has changed since."""
    found = state.open_replay()
    dead = plan.resumes or plan.discards
    as_planned = (found.id if found else None) == dead and (found is None or found.state == "building")
    built = {step.table for step in plan.steps}
    for step in plan.steps:
        live = state.live(step.table)
        as_planned &= (live.number if live else None) == step.live_generation
        for upstream, number in step.reads.items():
            above = state.live(upstream)
            as_planned &= upstream in built or above is None or above.number == number
        as_planned &= plan.resumes is not None or state.next_generation(step.table) == step.generation
    if not as_planned:
        raise RegistryConflict(
            "generations or replays changed since this replay was planned", hint="Launch it again; nothing was written."
        )


def _opening(plan: ReplayPlan, replay_id: str) -> list[Event]:
    made = [_created(step, replay_id) for step in plan.steps]
    candidates = {step.table: step.generation for step in plan.steps}
    live = {step.table: step.live_generation for step in plan.steps if step.live_generation is not None}
    return [*made, events.replay_started(replay_id, candidates, plan.facts(), live=live)]


def _created(step: ReplayStep, replay_id: str) -> Event:
    (first, number), *others = step.reads.items()
    return events.generation_created(
        step.table,
        step.generation,
        step.code_version,
        reads=first,
        upstream=number,
        also_reads=dict(others),
        from_batch=step.from_batch,
        to_batch=step.to_batch,
        kept_from=step.kept_from,
        replay=replay_id,
    )


def _build_and_compare(
    setting: Setting,
    pipeline: Pipeline,
    registry: Registry,
    replay_id: str,
    limits: Limits,
    progress: Say,
    wanted: Callable[[], str | None],
) -> Comparison:
    state = registry.state()
    candidates = candidates_of(state, pipeline, state.replays[replay_id])
    built = build(setting, pipeline, candidates, progress, wanted)
    comparison = compare(setting, pipeline, registry.state(), candidates, limits)
    fault_point("comparing", "registry")
    facts = comparison.facts() | {"built": {str(table): work.facts() for table, work in built.items() if work.rows}}
    registry.add(events.replay_compared(replay_id, facts))
    for fault in comparison.faults:
        progress(f"not promoted by itself: {fault}")
    return comparison


def _promoted(
    setting: Setting,
    pipeline: Pipeline,
    registry: Registry,
    replay_id: str,
    progress: Say,
    wanted: Callable[[], str | None],
) -> int:
    try:
        replay = registry.state().replays[replay_id]
        return promote_candidates(setting, pipeline, registry, replay, progress, wanted).number
    except PromotionRefused:
        _hold(registry, replay_id, progress)
        raise


def _hold(registry: Registry, replay_id: str, progress: Say) -> None:
    registry.add(events.replay_held(replay_id))
    progress(f"{replay_id} is held: kappa promote {replay_id}, or kappa discard {replay_id}")


def _cannot_be_built(error: KappaError) -> bool:
    """Return whether trying again with the same code must fail again: the logic itself is at fault."""
    return isinstance(error, LogicError) or isinstance(error.__cause__, LogicError)


def _paced(setting: Setting, max_bytes: str | None) -> Setting:
    if max_bytes is None:
        return setting
    if not re.fullmatch(r"[1-9]\d*[kmgKMG]b?", max_bytes):
        raise ReplayError(f"max_bytes_per_batch is {max_bytes!r}", hint="A number with k, m or g: 512m, 2g.")
    return replace(setting, pace=replace(setting.pace, table_bytes=max_bytes))
