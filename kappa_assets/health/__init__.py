"""The checks of tables, computed from registry and logs wherever they run: no JVM, no Dagster."""

from __future__ import annotations

from kappa_assets.health.health_checks import HealthChecks, run_checks
from kappa_assets.health.outcome import CHECKS, CheckOutcome, Severity, checks_of

__all__ = ["CHECKS", "CheckOutcome", "HealthChecks", "Severity", "checks_of", "run_checks"]
