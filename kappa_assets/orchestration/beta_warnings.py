"""Dagster's warnings about its own young interfaces, silenced where we use them knowingly."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dagster._utils.warnings import BetaWarning


@contextmanager
def beta_used_knowingly() -> Iterator[None]:
    """Silence BetaWarning for the block.

    Code references are beta in 1.13, and so is a parameter that Dagster's own sensor decorator passes. The version of
    Dagster is pinned, and tests guard what we use of it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)
        yield
