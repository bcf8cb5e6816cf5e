"""Going back: tables rebuilt from the tape beside the live ones, compared, promoted, rolled back."""

from __future__ import annotations

from kappa_assets.replay.compare import Comparison, TableComparison
from kappa_assets.replay.plan import ReplayPlan, Step, plan_replay
from kappa_assets.replay.promote import discard_replay, promote_replay, rollback
from kappa_assets.replay.run import ReplayResult, run_replay

__all__ = [
    "Comparison",
    "ReplayPlan",
    "ReplayResult",
    "Step",
    "TableComparison",
    "discard_replay",
    "plan_replay",
    "promote_replay",
    "rollback",
    "run_replay",
]
