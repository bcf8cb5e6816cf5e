"""Landed files that are on the tape, moved out of the way, so that a look at all files stays short."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kappa_assets.errors import SourceError
from kappa_assets.sources.ledger.ledger import Delivery

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

    def note(self, batch: int, taken: Iterable[Delivery]) -> None:
        """Write down which files a micro-batch puts on the tape, before it does, and move those of the one before."""
        self.move_done()
        fresh = self._noted.with_suffix(".fresh")
        fresh.write_text(json.dumps({"batch": batch, "taken": [list(one) for one in taken]}))
        fresh.replace(self._noted)

    def move_done(self) -> None:
        """Move the noted files, if their batch is logged as done. Killed in between, the next call goes on."""
        try:
            noted = json.loads(self._noted.read_text())
        except FileNotFoundError:
            return
        if not (self.checkpoint / "commits" / str(noted["batch"])).exists():
            return
        for path in noted.get("files", ()):  # of version 0.1, which knew a file by its path alone
            self._move(Path(path), None)
        for taken in noted.get("taken", ()):
            one = Delivery(*taken)
            self._move(self.folder.absolute() / one.file, one)
        self._noted.unlink()

    def _move(self, path: Path, taken: Delivery | None) -> None:
        """Move a file away, if it is still the one that was taken: another of its name has to be read yet."""
        if not _is(path, taken):
            return
        target = _free(self.folder / ARCHIVE / os.path.relpath(path, self.folder.absolute()))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # somebody else has tidied up
                path.rename(target)
                if not _is(target, taken) and not path.exists():  # it came between the look and the move
                    target.rename(path)
        except OSError as error:
            raise SourceError(
                f"{path.name} is on the tape, but cannot be moved to {str(target.parent)!r}: {error}",
                hint="Mend that, and reading goes on by itself; or leave archive=True out.",
            ) from error

    @property
    def _noted(self) -> Path:
        return self.checkpoint / "read_files.json"


def _is(path: Path, taken: Delivery | None) -> bool:
    """Return whether a file is there, with size and time of the one that was taken (None: not known)."""
    try:
        stat = path.stat()
    except OSError:
        return False
    return taken is None or taken.is_as(stat)


def _free(path: Path) -> Path:
    """Return the path, or `a.csv~2`, `a.csv~3`, where a file that landed earlier under the same name has it."""
    names = (path if n == 1 else path.with_name(f"{path.name}~{n}") for n in itertools.count(1))
    return next(name for name in names if not name.exists())
