"""Upkeep: small files merged, files and generations that nothing needs removed, logs kept short. It starts no JVM.

The work is in `kappa_assets.maintenance.run`; what people look at is here, and loads neither Spark nor the work.
"""

from __future__ import annotations

from kappa_assets.maintenance.policy import Policy
from kappa_assets.maintenance.releases import (
    ReleaseCondition,
    expired_tables,
    release_condition,
    stuck_remark,
    stuck_tables,
)

__all__ = [
    "Policy",
    "ReleaseCondition",
    "expired_tables",
    "release_condition",
    "stuck_remark",
    "stuck_tables",
]
