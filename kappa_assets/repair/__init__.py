"""Repair: slices of a Silver done over, and rows let out of quarantine, with the logic that wrote the live table."""

from __future__ import annotations

from kappa_assets.repair.release_rows import ReleasedRows, release_rows
from kappa_assets.repair.repair_slices import RepairedSlice, RepairPlan, plan_repair, run_repair

__all__ = ["ReleasedRows", "RepairPlan", "RepairedSlice", "plan_repair", "release_rows", "run_repair"]
