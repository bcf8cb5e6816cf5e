"""The retail pipeline, whose landed files are moved out of the way once they are on the tape."""

from __future__ import annotations

from dataclasses import replace

from kappa_assets import Files, Pipeline
from kappa_assets.declare.source import DeclaredSource
from kappa_assets.declare.tables import Bronze
from kappa_assets_tests.retail_sales import pipeline as retail


def archived(source: DeclaredSource) -> Files:
    assert isinstance(source, Files)
    return replace(source, archive=True)


ARCHIVED = Pipeline.from_tables(
    "retail", [replace(t, source=archived(t.source)) if isinstance(t, Bronze) else t for t in retail]
)
