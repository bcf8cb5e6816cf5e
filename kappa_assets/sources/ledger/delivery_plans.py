"""The plan of each batch: which files it takes, written down in a numbered file before Spark logs an offset for it.

Spark streams the folder of plans, one a batch, and its checkpoint knows nothing else. The list of plans that its
checkpoint keeps grows with each; so a checkpoint is left for a new one after some thousand batches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.place.local import durable

_ENDING = ".json"


class DeliveryPlans:
    """The plans beside the checkpoint of the one query that takes them. A number is used once in a checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._next = 0

    @property
    def folder(self) -> Path:
        """Where Spark finds the plans."""
        return self.checkpoint.path / "deliveries"

    def begin(self) -> list[int]:
        """Remove the plans that are done, or that Spark has never seen; return those that it has still to do.

        The newest that is done stays: a query that starts looks at it once more.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        logged = self._logged()
        done = self.checkpoint.files_done()
        waiting = []
        for number, path in self._lying():
            if logged.get(number, -1) > done:
                waiting.append(number)
            elif logged.get(number, -1) < done or done < 0:
                path.unlink()
        self._next = max([*logged, *waiting], default=-1) + 1
        return waiting

    def was_moved(self) -> bool:
        """Return whether Spark knows the plans under another path than they have now."""
        newest = max(self.checkpoint.logged_files(), key=lambda logged: logged[1], default=None)
        if newest is None:
            return False
        path = Path(f"/{unquote(newest[0].removeprefix('file:')).lstrip('/')}")
        return path.parent != Path(os.path.normpath(self.folder.absolute()))

    def write(self, files: Iterable[str]) -> int:
        """Write the next plan, for these files, by their paths below the landing folder; return its number.

        `begin` must have been called.
        """
        number = self._next
        path = self.folder / f"{number}{_ENDING}"
        fresh = self.folder / f".{number}.fresh"
        fresh.write_text(json.dumps({"files": list(files)}), encoding="utf-8", errors="surrogateescape")
        os.utime(fresh, (number, number))  # Spark takes the oldest first
        if durable.chosen() != "none":
            durable.sync([fresh], self.folder)
        fresh.replace(path)
        self._next += 1
        return number

    def read(self, paths: Iterable[str]) -> tuple[list[int], list[str]]:
        """Return the numbers of a batch's plans, and the files that they name, each once."""
        numbers, files = [], []
        for path in map(Path, paths):
            numbers.append(int(path.name.removesuffix(_ENDING)))
            files += json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))["files"]
        return sorted(numbers), list(dict.fromkeys(files))

    def files_of(self, numbers: Iterable[int]) -> list[str]:
        """Return the files that these plans name."""
        return self.read(f"{self.folder}/{number}{_ENDING}" for number in numbers)[1]

    def remove_before(self, number: int) -> None:
        """Remove the plans before this one, which Spark has logged as done: else it would not have given this one."""
        for other, path in self._lying():
            if other < number:
                path.unlink(missing_ok=True)

    def _lying(self) -> list[tuple[int, Path]]:
        found = [p for p in self.folder.iterdir() if p.suffix == _ENDING] if self.folder.is_dir() else []
        return sorted((int(p.stem), p) for p in found)

    def _logged(self) -> dict[int, int]:
        """Return each plan that Spark has seen, with the number under which its source's log has it."""
        return dict(self._of_names(self.checkpoint.logged_files()))

    def _of_names(self, logged: Iterable[tuple[str, int]]) -> Iterator[tuple[int, int]]:
        for path, number in logged:
            name = path.rpartition("/")[2]
            if name.endswith(_ENDING) and name.removesuffix(_ENDING).isdigit():
                yield int(name.removesuffix(_ENDING)), number
