"""The retail pipeline, whose landed files are moved out of the way once they are on the tape."""

from __future__ import annotations

from dataclasses import replace

from kappa_assets import Pipeline
from kappa_assets.declare.tables import Bronze
from kappa_assets.pipelines.retail import pipeline as retail

ARCHIVED = Pipeline.from_tables(
    "retail", [replace(t, source=replace(t.source, archive=True)) if isinstance(t, Bronze) else t for t in retail]
)
