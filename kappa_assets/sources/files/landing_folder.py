"""The landing folder and the checkpoint that reads it: whether what Spark remembers is still about this folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from kappa_assets.errors import SourceError

_TAIL = 1 << 16
_NOT_SEEN = (".", "_")


@dataclass(frozen=True)
class LandingFolder:
    """A landing folder, and the checkpoint of the one query that reads it."""

    folder: Path
    checkpoint: Path

    def check(self) -> None:
        """Raise SourceError when files would be read twice that Spark knows under other paths, or passed by so far."""
        seen = self._last_seen()
        if seen is not None:
            self._refuse_moved(seen)
        if self._reads_subfolders.exists():
            return
        if seen is not None:
            self._refuse_files_passed_by()
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        self._reads_subfolders.touch()

    def _refuse_moved(self, seen: str) -> None:
        folder = os.path.normpath(self.folder.absolute())
        if not seen.startswith(f"{folder.rstrip('/')}/"):
            raise SourceError(
                f"the landing folder is {folder!r} now, but this tape was read from another; last of all {seen!r}",
                hint="Files are known by their whole paths: here, all would be read a second time. Name the folder "
                "as before with --landing or KAPPA_LANDING, or move it back; a bind mount gives a disk its old path.",
            )

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

    def _last_seen(self) -> str | None:
        """Return the file that Spark has seen last, or None when it has seen none."""
        log = self.checkpoint / "sources" / "0"
        entries = [p for p in log.iterdir() if p.name.partition(".")[0].isdigit()] if log.is_dir() else []
        if not entries:
            return None
        newest = max(entries, key=lambda path: int(path.name.partition(".")[0]))
        with newest.open("rb") as stream:
            stream.seek(max(0, newest.stat().st_size - _TAIL))
            last = stream.read().splitlines()[-1]
        return f"/{unquote(json.loads(last)['path'].removeprefix('file:')).lstrip('/')}"
