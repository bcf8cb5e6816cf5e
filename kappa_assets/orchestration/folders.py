"""Where a pipeline of a code location lives: a value, made without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kappa_assets.place.local.lake import Lake


@dataclass(frozen=True)
class Folders:
    """A lake's folder and a landing folder."""

    root: Path
    landing: Path

    def lake(self) -> Lake:
        """Return the lake, made if it is missing. Raises LakeError when it cannot be written."""
        return Lake.at(self.root)
