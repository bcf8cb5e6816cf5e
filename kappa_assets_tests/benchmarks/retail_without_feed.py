"""The retail pipeline under another name: the demo's feed, a sensor of its own, comes with the packaged one only."""

from kappa_assets_tests.retail_sales import pipeline

__all__ = ["pipeline"]
