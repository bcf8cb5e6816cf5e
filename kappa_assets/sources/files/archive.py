"""Landed files that are on the tape, moved out of the way: each look for new files lists the landing folder whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kappa_assets.errors import SourceError

ARCHIVE = "_read"
"""Below the landing folder, on the same file system: a move is one rename. Spark passes by what begins with `_`."""


@dataclass(frozen=True)
class Archive:
    """The archive of one landing folder. `checkpoint` is that of the query which reads the folder.

    A file is moved when Spark has logged its batch as done, and not before: until then the batch may be run again.
    """

    folder: Path
    checkpoint: Path

    def prepare(self) -> None:
        """Raise SourceError when files cannot be moved out of the landing folder."""
        if not os.access(self.folder, os.W_OK):
            raise SourceError(
                f"files cannot be moved out of the landing folder {str(self.folder)!r}: it is not writable",
                hint="Make it writable, or leave archive=True out.",
            )

    def note(self, batch: int, files: Iterable[str]) -> None:
        """Write down which files a micro-batch puts on the tape, before it does, and move those of the one before."""
        self.move_done()
        fresh = self._noted.with_suffix(".fresh")
        fresh.write_text(json.dumps({"batch": batch, "files": list(files)}))
        fresh.replace(self._noted)

    def move_done(self) -> None:
        """Move the noted files, if their batch is logged as done. Killed in between, the next call goes on."""
        try:
            noted = json.loads(self._noted.read_text())
        except FileNotFoundError:
            return
        if not (self.checkpoint / "commits" / str(noted["batch"])).exists():
            return
        for path in noted["files"]:
            self._move(Path(path))
        self._noted.unlink()

    def _move(self, path: Path) -> None:
        target = self.folder / ARCHIVE / os.path.relpath(path, self.folder.absolute())
        if target.exists():  # landed twice under one name, which Spark reads once: both stay where they are
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # somebody else has tidied up
                path.rename(target)
        except OSError as error:
            raise SourceError(
                f"{path.name} is on the tape, but cannot be moved to {str(target.parent)!r}: {error}",
                hint="Mend that, and reading goes on by itself; or leave archive=True out.",
            ) from error

    @property
    def _noted(self) -> Path:
        return self.checkpoint / "read_files.json"
