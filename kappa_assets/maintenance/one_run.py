"""Maintenance from plan to done. Safe beside streams and replays: it removes nothing they need, and commits in turn."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from kappa_assets.errors import RegistryConflict
from kappa_assets.graph import Pipeline
from kappa_assets.host.wanted import never
from kappa_assets.log.tape import Tape
from kappa_assets.maintenance.gate import Gate, upkeep_turn
from kappa_assets.maintenance.needed import moving
from kappa_assets.maintenance.plan import MaintenancePlan, plan_maintenance
from kappa_assets.maintenance.policy import Policy
from kappa_assets.maintenance.steps import Upkeep
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lease import MAINTENANCE, lease
from kappa_assets.place.registry import Registry

_TRIES = 5


def maintain(
    lake: Lake,
    pipeline: Pipeline,
    policy: Policy | None = None,
    *,
    now: dt.datetime | None = None,
    progress: Callable[[str], None] = print,
    wanted: Callable[[], str | None] = never,
) -> list[Upkeep]:
    """Merge small files, remove what nothing needs any more, and return what was done.

    What is removed is first said in the registry; killed in between, the next run goes on with it. `wanted` is asked
    before each step and returns a reason to stop, or None. Raises MaintenanceRunning when it runs already,
    RegistryConflict when others keep changing the registry, LakeError when a table cannot be read.
    """
    gate = _gate(lake, pipeline, policy, now)
    with lease(lake, MAINTENANCE, "maintenance"):
        for bronze in pipeline.bronzes:
            Tape(lake, bronze.name).sync()  # positions of commits that are cleaned from the log live there alone
        plan = _said(gate, pipeline)
        for table in sorted({table for table, _ in moving(plan.state)} - set(pipeline.tables)):
            progress(f"{table} is live or a candidate, and {pipeline.name} lacks it: what it has not read is kept")
        done = []
        for step in plan.steps:
            if (reason := wanted()) is not None:
                progress(f"stopped: {reason}")
                break
            upkeep = step.do(gate)
            progress(text(upkeep))
            done.append(upkeep)
        return done


def preview(
    lake: Lake, pipeline: Pipeline, policy: Policy | None = None, *, now: dt.datetime | None = None
) -> list[Upkeep]:
    """Return what `maintain` would do now. Changes nothing."""
    plan = plan_maintenance(_gate(lake, pipeline, policy, now), pipeline, Registry(lake).state())
    return [step.preview() for step in plan.steps]


def text(upkeep: Upkeep) -> str:
    """Return one line for logs and terminals."""
    files = f"{upkeep.files_before} files, {upkeep.files_after} after"
    return f"{upkeep.table}: {upkeep.what}: {files}, {upkeep.bytes:,} bytes"


def _gate(lake: Lake, pipeline: Pipeline, policy: Policy | None, now: dt.datetime | None) -> Gate:
    keep = {table.name: table.keep for table in pipeline.derived}
    return Gate(lake, policy or Policy(), now or dt.datetime.now(dt.UTC), keep)


def _said(gate: Gate, pipeline: Pipeline) -> MaintenancePlan:
    """Return a plan whose removals the registry tells of. Who changed it meanwhile may need more: plan anew."""
    registry = Registry(gate.lake)
    for attempt in range(1, _TRIES + 1):
        with upkeep_turn(gate.lake):  # a discard would take the logs away that are read here
            plan = plan_maintenance(gate, pipeline, registry.state())
        if not plan.events:
            break
        try:
            registry.commit(plan.state, plan.events)
            break
        except RegistryConflict:
            if attempt == _TRIES:
                raise
    return plan
