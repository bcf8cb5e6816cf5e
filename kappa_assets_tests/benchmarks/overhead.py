"""What steering costs: a lineage tick with nothing new, and the CPU of daemon and sensors beside the streams'."""

from __future__ import annotations

from pathlib import Path

from kappa_assets_tests.benchmarks.rounds import Result


def overhead(root: Path, *, seconds: int) -> list[Result]:
    raise NotImplementedError
