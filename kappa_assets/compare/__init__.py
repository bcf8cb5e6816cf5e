"""Comparing two generations of a table, both as of one tape position."""

from __future__ import annotations

from kappa_assets.compare.comparison import Comparison, Limits, TableComparison, comparison_rows

__all__ = ["Comparison", "Limits", "TableComparison", "comparison_rows"]
