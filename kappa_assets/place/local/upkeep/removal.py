"""Files of a local table removed: what the gate has decided, and what a writer of this process gives up."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from deltalake import DeltaTable

from kappa_assets.place.local.leases.lock import table_turn
from kappa_assets.place.local.upkeep.unneeded import live_files, subject

_TURN = 1_000
"""Files that are removed in one turn of a table; a stream's commit waits for no more."""


def remove_files(folder: Path, paths: Sequence[str]) -> list[str]:
    """Remove those of the files that the table does not name, and folders that this leaves empty; return them."""
    gone: list[str] = []
    for start in range(0, len(paths), _TURN):
        gone += _remove_in_turn(folder, paths[start : start + _TURN])
    for parent in {(folder / path).parent for path in gone}:
        _remove_empty(parent, folder)
    return gone


def remove_entries(folder: Path, paths: Sequence[str]) -> None:
    """Remove entries of the log, in this order."""
    for path in paths:
        (folder / path).unlink(missing_ok=True)


def remove_folders(folders: Sequence[Path]) -> None:
    """Remove the folders of a generation, the first of which is its table's, in the table's turn."""
    with table_turn(folders[0]):
        for folder in folders:
            if folder.exists():
                shutil.rmtree(folder)


def remove_unfinished(folder: Path, relative: str) -> None:
    """Remove a folder of new files below `data/` that its writer gives up; not when the table names one of them.

    A commit may be in though what follows it failed.
    """
    with table_turn(folder):
        named = live_files(folder) if DeltaTable.is_deltatable(str(folder)) else set()
        if not any(path.startswith(f"{relative}/") for path in named):
            shutil.rmtree(folder / relative)


def _remove_in_turn(folder: Path, paths: Sequence[str]) -> list[str]:
    """Remove files that the table does not name by now; a commit comes before, and is seen, or after, and sees."""
    with table_turn(folder):
        live = live_files(folder)
        going = [path for path in paths if subject(Path(path)) not in live]
        for path in going:
            (folder / path).unlink(missing_ok=True)
        return going


def _remove_empty(folder: Path, upto: Path) -> None:
    """Remove a folder that is empty, and those above it that are then; never `data` itself, where writers make more."""
    while upto not in (folder, folder.parent):
        try:
            folder.rmdir()
        except OSError:  # not empty
            return
        folder = folder.parent
