"""The retail example without its customers: one tape and five tables, for tests that are not about joins."""

from __future__ import annotations

from datetime import date

from kappa_assets import Pipeline
from kappa_assets.pipelines.retail import bronze, gold, silver

pipeline = Pipeline.of("retail", bronze, silver, gold, start=date(2026, 1, 1))
