"""A look at what lies in a landing folder: what is new or other than it was, and not what was there before.

Most looks read only the folders whose own time has changed since: a name that is new, gone or changed changes it. A
file that is written over in place does not, so now and then all files are looked at.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kappa_assets.sources.ledger.ledger import Delivery

log = logging.getLogger("kappa_assets.sources")

_HIDDEN = (".", "_")
_SETTLED_NS = 2_000_000_000
"""A folder's time tells of every change only where it is older than this: file systems keep times in steps of up to
two seconds, and a name that comes within the same step does not change it."""


@dataclass
class LandingLook:
    """The files below one landing folder, as the looks so far have found them."""

    folder: Path
    pattern: str = "*"
    """Which files are meant, by their names without the folder, as in a shell; upper and lower case differ."""
    recursive: bool = True
    """Whether folders in it are looked into too."""
    names_of_one_file: list[list[str]] = field(default_factory=list)
    """The names, each more than one, of the same file, as the last look at all files has met them (hard links)."""
    _settled: dict[str, tuple[int, int]] = field(default_factory=dict)
    _unchanged: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._is_meant = re.compile(fnmatch.translate(self.pattern)).match

    def changed(self, *, all_files: bool) -> list[Delivery]:
        """Return the files that are new or other than when they were settled, oldest first. Raises OSError.

        `all_files`: look at each file, and not only into folders that have changed.
        """
        found: list[Delivery] = []
        met: dict[str, tuple[int, int]] = {}
        names: dict[tuple[int, int], list[str]] = {}
        for name, entry in self._walk("", frozenset((os.path.realpath(self.folder),)), all_files=all_files):
            was = self._settled.get(name)
            if was is not None and not all_files:
                continue
            stat = self._stat(name, entry)
            if stat is None:
                continue
            if stat.st_nlink > 1:
                if not all_files:  # its other names need not be in folders that have changed
                    return self.changed(all_files=True)
                names.setdefault((stat.st_dev, stat.st_ino), []).append(name)
            now = (stat.st_mtime_ns // 1_000_000, stat.st_size)
            if was == now:
                met[name] = now
            else:
                found.append(Delivery(name, stat.st_size, now[0]))
        if all_files:
            self._settled = met
            self.names_of_one_file = [sorted(same) for same in names.values() if len(same) > 1]
        return sorted(found, key=lambda one: (one.modified_ms, one.file))

    def settle(self, found: Iterable[Delivery]) -> None:
        """Do not return these again while they are as they are."""
        self._settled |= {one.file: (one.modified_ms, one.bytes) for one in found}

    def forget(self) -> None:
        """Return all files in the next look."""
        self._settled.clear()
        self._unchanged.clear()

    def _walk(self, below: str, above: frozenset[str], *, all_files: bool) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield the files that can have changed, by their paths below the folder. Raises OSError for the folder itself.

        `above`: the real paths of the folders on the way down; a link to one of them would go round for ever.
        """
        try:
            files, folders = self._entries(below, all_files=all_files)
        except OSError:
            self._unchanged.pop(below, None)
            if not below:
                raise
            return
        yield from files
        for name in folders:
            real = os.path.realpath(f"{self.folder}/{name}")
            if real not in above and not self._leads_inside(name, real):
                yield from self._walk(name, above | {real}, all_files=all_files)

    def _entries(self, below: str, *, all_files: bool) -> tuple[list[tuple[str, os.DirEntry[str]]], list[str]]:
        """Return the files of one folder, none if it has not changed, and the paths of the folders in it."""
        folder = f"{self.folder}/{below}" if below else str(self.folder)
        time_ns = os.stat(folder).st_mtime_ns  # noqa: PTH116 -- a Path for each folder costs more than the look
        known = self._unchanged.get(below)
        if known is not None and known[0] == time_ns and not all_files:
            return [], known[1]
        files, folders = [], []
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{below}/{entry.name}" if below else entry.name
                if entry.name.startswith(_HIDDEN):
                    continue
                if entry.is_dir():
                    folders += [name] if self.recursive else []
                elif self._is_meant(entry.name):
                    files.append((name, entry))
        self._unchanged.pop(below, None)
        if time.time_ns() - time_ns > _SETTLED_NS:
            self._unchanged[below] = (time_ns, folders)
        return files, folders

    def _leads_inside(self, name: str, real: str) -> bool:
        """Return whether a folder is a link to one that lies in the landing folder under its own name."""
        own = f"{os.path.realpath(self.folder)}/"
        path = f"{self.folder}/{name}"
        if not os.path.islink(path) or not real.startswith(own):  # noqa: PTH114 -- as above
            return False
        inside = real.removeprefix(own)
        if any(part.startswith(_HIDDEN) for part in inside.split("/")):
            return False
        self.tell(name, inside)
        return True

    def _stat(self, name: str, entry: os.DirEntry[str]) -> os.stat_result | None:
        """Return size and time of a file, or None for one that is gone, is no file, or links to one in the folder."""
        try:
            if entry.is_symlink() and self._leads_inside(name, os.path.realpath(entry.path)):
                return None
            return entry.stat() if entry.is_file() else None
        except OSError:
            return None

    def tell(self, name: str, first: str) -> None:
        """Say, once, that a file is passed by because it lies there under another name too."""
        if name not in self._told:
            self._told.add(name)
            log.warning("%r is passed by: it is a link to %r, which lies in %r too", name, first, str(self.folder))
