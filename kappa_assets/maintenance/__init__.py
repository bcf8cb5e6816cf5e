"""Upkeep: small files merged, files and generations that nothing needs removed, logs kept short. It starts no JVM.

The work is in `kappa_assets.maintenance.one_run`; what people choose is here, and does not load the work.
"""

from __future__ import annotations

from kappa_assets.maintenance.policy import Policy

__all__ = ["Policy"]
