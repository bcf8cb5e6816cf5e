"""Going back: tables rebuilt from the tape beside the live ones, compared, promoted, rolled back."""

from __future__ import annotations

from kappa_assets.replay.discard import discard_replay
from kappa_assets.replay.plan import ReplayPlan, ReplayStep, plan_replay
from kappa_assets.replay.promote import promote_replay, rollback
from kappa_assets.replay.stages import ReplayResult, run_replay

__all__ = [
    "ReplayPlan",
    "ReplayResult",
    "ReplayStep",
    "discard_replay",
    "plan_replay",
    "promote_replay",
    "rollback",
    "run_replay",
]
