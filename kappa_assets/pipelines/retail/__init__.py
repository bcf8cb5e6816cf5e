"""The example pipeline: a shop's invoice lines, who bought them, and what they add up to. Real data, December 2010."""

from __future__ import annotations

from datetime import date

from kappa_assets import Pipeline
from kappa_assets.pipelines.retail import bronze, customers, gold, silver

pipeline = Pipeline.of("retail", bronze, silver, gold, customers, start=date(2026, 1, 1))
