"""Landed files that changed after they were read, or took the name of one that was, where a name is read once."""

from __future__ import annotations

import datetime as dt
import fnmatch
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path

from kappa_assets.log.delta_log import Commit
from kappa_assets.log.note import LANDED
from kappa_assets.sources.standings import mine, named_in

_NEWEST = 500
"""Newest files compared with the landing folder in each look: two milliseconds."""
_KNOWN = 50_000
"""Newest files remembered: about 12 MB."""
_WALK_EVERY = 300.0
"""Seconds between two looks at all that lies in the folder: 8 us of CPU a file, 0.8 s for 100,000."""
_SHOWN = 1_000
_SETTLED_MS = 600_000
"""A file that has lain for ten minutes is in the listing of every batch since, whatever the clocks of two machines."""


@dataclass(frozen=True)
class _Read:
    """A file as it was read, and when its rows were committed."""

    bytes: int
    modified_ms: int
    at: dt.datetime


class LandedFiles:
    """The newest files a tape was written from, as the notes of its commits tell, against what lies there now."""

    def __init__(
        self,
        landing: Path,
        pattern: str = "*",
        clock: Callable[[], float] = time.monotonic,
        *,
        recursive: bool = True,
        label: str | None = None,
    ) -> None:
        """`pattern`: which files are meant, by their names; nothing is said of others. `recursive`: as for `Files`.

        `label`: whose files, of a tape with several sources; those from before there were several are left out.
        """
        self._pattern = pattern
        self._recursive = recursive
        self._mine = mine(label, None)
        self._landing = landing
        self._clock = clock
        self._read: dict[str, _Read] = {}
        self._found: dict[str, Mapping[str, object]] = {}
        self._next_walk = 0.0

    def add(self, commits: Iterable[Commit]) -> None:
        """Note the files of commits of the tape, oldest first."""
        for commit in commits:
            note = commit.note
            if note is None or not self._mine(named_in(note)):
                continue
            for name, size, modified, *_ in note.source.get(LANDED, ()):
                self._read.pop(name, None)
                self._read[name] = _Read(size, modified, commit.at)
        for name in list(islice(self._read, max(0, len(self._read) - _KNOWN))):
            del self._read[name]

    def changed(self, aside: Collection[str] = ()) -> list[Mapping[str, object]]:
        """Return the files that are others now than they were when they were read, by size or by time.

        The newest are looked at in each call, all that lie in the folder every five minutes. Then a file counts too
        that is younger than what is remembered, was not read though later ones were, and is not among `aside`, those
        that were set aside: it has the name of one read long ago.
        """
        if self._clock() >= self._next_walk:
            self._next_walk = self._clock() + _WALK_EVERY
            self._found = dict(islice(self._walk(frozenset(aside)), _SHOWN))
        for name in [*islice(reversed(self._read), _NEWEST), *self._found]:
            if name in self._read:
                self._found.pop(name, None)
                self._found |= self._compare(name, _stat(f"{self._landing}/{name}"))
        return list(self._found.values())

    def _compare(self, name: str, now: os.stat_result | None) -> dict[str, Mapping[str, object]]:
        read = self._read[name]
        if now is None or (now.st_size, _modified_ms(now)) == (read.bytes, read.modified_ms):
            return {}
        return {name: _finding(name, now, read)}

    def _walk(self, aside: frozenset[str]) -> Iterator[tuple[str, Mapping[str, object]]]:
        overtaken = self._overtaken()
        for name, now in _below(self._landing, recursive=self._recursive):
            if name in self._read:
                yield from self._compare(name, now).items()
            elif name not in aside and self._is_meant(name) and overtaken(now):
                yield name, _finding(name, now, None)

    def _is_meant(self, name: str) -> bool:
        return fnmatch.fnmatchcase(name.rpartition("/")[2], self._pattern)

    def _overtaken(self) -> Callable[[os.stat_result], bool]:
        """Return whether a file of which nothing is known would have been read by now.

        Of the files that lie there the oldest are taken first. A file from before the oldest commit that is remembered
        may have been read before it.
        """
        read = sorted((r.modified_ms, int(r.at.timestamp() * 1000)) for r in self._read.values())
        times = [modified for modified, _ in read]
        latest = list(accumulate((at for _, at in reversed(read)), max))[::-1]
        began = min((at for _, at in read), default=0)

        def judge(now: os.stat_result) -> bool:
            later = bisect_right(times, _modified_ms(now))
            lies_since = int(now.st_ctime * 1000)
            return (
                later < len(times)
                and _modified_ms(now) > began + _SETTLED_MS
                and latest[later] > lies_since + _SETTLED_MS
            )

        return judge


def _finding(name: str, now: os.stat_result, read: _Read | None) -> Mapping[str, object]:
    return {
        "file": name,
        "bytes_read": read.bytes if read else None,
        "bytes_now": now.st_size,
        "modified_now": dt.datetime.fromtimestamp(now.st_mtime, dt.UTC),
        "read_at": read.at if read else None,
    }


def _below(folder: Path, *, recursive: bool) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files that the stream sees, by their paths below the folder."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if recursive and name[0] not in "._"]
        below = "" if root == str(folder) else f"{os.path.relpath(root, folder)}/"
        for name in names:
            if name[0] not in "._" and (stat := _stat(f"{root}/{name}")) is not None:
                yield below + name, stat


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 -- with a Path for each file it takes twice as long
    except OSError:
        return None


def _modified_ms(stat: os.stat_result) -> int:
    return stat.st_mtime_ns // 1_000_000
