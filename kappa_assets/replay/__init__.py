"""Going back: tables rebuilt from the tape beside the live ones, compared, promoted, rolled back."""

from __future__ import annotations

from kappa_assets.replay.comparison import Comparison, Limits, TableComparison, comparison_rows
from kappa_assets.replay.discard import discard_replay
from kappa_assets.replay.plan import ReplayPlan, Step, plan_replay
from kappa_assets.replay.promote import promote_replay, rollback
from kappa_assets.replay.repair import RepairedSlice, RepairPlan, plan_repair, run_repair
from kappa_assets.replay.run import ReplayResult, run_replay

__all__ = [
    "Comparison",
    "Limits",
    "RepairPlan",
    "RepairedSlice",
    "ReplayPlan",
    "ReplayResult",
    "Step",
    "TableComparison",
    "comparison_rows",
    "discard_replay",
    "plan_repair",
    "plan_replay",
    "promote_replay",
    "rollback",
    "run_repair",
    "run_replay",
]
