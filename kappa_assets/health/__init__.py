"""The five checks, computed from registry and logs wherever they run: no JVM, no Dagster."""

from __future__ import annotations

from kappa_assets.health.outcome import CHECKS, CheckOutcome, Severity, checks_of
from kappa_assets.health.run import HealthChecks, run_checks

__all__ = ["CHECKS", "CheckOutcome", "HealthChecks", "Severity", "checks_of", "run_checks"]
