"""Repair: slices of a table done over in place, with the logic that wrote them."""

from __future__ import annotations

from kappa_assets.repair.repair_slices import RepairedSlice, RepairPlan, plan_repair, run_repair

__all__ = ["RepairPlan", "RepairedSlice", "plan_repair", "run_repair"]
