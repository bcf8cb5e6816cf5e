"""Upkeep: small files merged, files and generations that nothing needs removed, logs kept short. It starts no JVM."""

from __future__ import annotations

from kappa_assets.maintenance.policy import Policy
from kappa_assets.maintenance.releases import (
    ReleaseCondition,
    expired_tables,
    release_condition,
    stuck_remark,
    stuck_tables,
)
from kappa_assets.maintenance.run import maintain, preview
from kappa_assets.maintenance.steps import Upkeep

__all__ = [
    "Policy",
    "ReleaseCondition",
    "Upkeep",
    "expired_tables",
    "maintain",
    "preview",
    "release_condition",
    "stuck_remark",
    "stuck_tables",
]
