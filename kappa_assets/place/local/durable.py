"""What survives a loss of power: files are synced to the disk before anything says that they are there.

A killed process loses nothing that it wrote; a machine without power loses what is still in memory, and a rename may
survive its own content. `KAPPA_SYNC` says for what that is ruled out:

- `tape`, the default: the tapes, and the registry. A Silver or Gold that is damaged then is replayed from the tape.
- `all`: every table.
- `none`: only the registry, which alone says what is live and changes seldom.

Measured on an SSD: a batch of a tape, of 450 ms, takes 15 to 40 ms longer, the more the busier the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from kappa_assets.errors import SetupError

Sync = Literal["none", "tape", "all"]
_CHOICES: dict[str, Sync] = {"none": "none", "tape": "tape", "all": "all"}


def chosen() -> Sync:
    """Return what KAPPA_SYNC asks for. Raises SetupError for another word."""
    word = os.environ.get("KAPPA_SYNC") or "tape"
    if word not in _CHOICES:
        raise SetupError(f"KAPPA_SYNC is {word!r}", hint=f"It is one of {', '.join(_CHOICES)}.")
    return _CHOICES[word]


def is_synced(table: str) -> bool:
    """Return whether what is written for a table, or for what was set aside of it, is synced."""
    tape = table.removeprefix("rejects of ").startswith("bronze.")
    return chosen() == "all" or (tape and chosen() == "tape")


def sync(paths: Iterable[Path], below: Path) -> None:
    """Return when files, and their names in all folders up to `below`, are on the disk. Raises OSError.

    A file that is gone meanwhile is passed over.
    """
    folders: set[Path] = set()
    for path in paths:
        _sync(path)
        folders |= {folder for folder in path.parents if folder == below or below in folder.parents}
    for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
        _sync(folder)


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
