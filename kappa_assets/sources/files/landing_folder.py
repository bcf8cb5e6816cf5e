"""The landing folder of a tape that an early version has read: whether files lie there that it passed by."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kappa_assets.errors import SourceError
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.sources.ledger.delivery_plans import DeliveryPlans

_NOT_SEEN = (".", "_")


@dataclass(frozen=True)
class LandingFolder:
    """A landing folder, and the checkpoint of the one query that reads it."""

    folder: Path
    checkpoint: Path

    def check(self) -> None:
        """Raise SourceError when files would be read that an early version passed by."""
        if self._reads_subfolders.exists():
            return
        if self._has_seen_files():
            self._refuse_files_passed_by()
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        self._reads_subfolders.touch()

    def _refuse_files_passed_by(self) -> None:
        """Files in subfolders were not read before; what has gathered there need not be meant for the tape."""
        found = list(self._below_subfolders())
        if found:
            folder = str(self.folder)
            raise SourceError(
                f"{len(found)} files lie in subfolders of the landing folder {folder!r}, such as {found[0]!r}; "
                "so far these were not read, now they are",
                hint=f"If they belong on the tape, make the empty file {str(self._reads_subfolders)!r}. If not, move "
                "them out, or into a folder whose name begins with an underscore.",
            )

    @property
    def _reads_subfolders(self) -> Path:
        return self.checkpoint / "reads_subfolders"

    def _below_subfolders(self) -> Iterator[str]:
        """Yield the files in subfolders, but those below `key=value`, where Spark always looked."""
        for root, folders, names in os.walk(self.folder):
            folders[:] = [f for f in folders if not f.startswith(_NOT_SEEN) and "=" not in f]
            if Path(root) != self.folder:
                yield from (os.path.relpath(Path(root, n), self.folder) for n in names if not n.startswith(_NOT_SEEN))

    def _has_seen_files(self) -> bool:
        """Return whether an early version has read this folder: its checkpoint has no plans."""
        log = self.checkpoint / "sources" / "0"
        return log.is_dir() and any(log.iterdir()) and not DeliveryPlans(Checkpoint(self.checkpoint)).folder.is_dir()
