"""Where a code location's pipeline lives, and how much of the machine its Spark may take. Values, made without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kappa_assets.lake import Lake


@dataclass(frozen=True)
class Place:
    """A lake's folder, a landing folder, and the size of a driver (None: all cores, Spark's own 1g heap)."""

    root: Path
    landing: Path
    cores: int | None = None
    memory: str | None = None

    def lake(self) -> Lake:
        """Return the lake, made if it is missing. Raises LakeError when it cannot be written."""
        return Lake.at(self.root)
