"""The retail pipeline under another name: the demo's feed, a sensor of its own, comes with the packaged one only."""

from kappa_assets.pipelines.retail import pipeline

__all__ = ["pipeline"]
