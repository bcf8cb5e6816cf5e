"""Delta logs followed from tick to tick: what was read once is remembered, what did not change is not listed again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from kappa_assets.errors import LakeError, TapeGap
from kappa_assets.log import delta_log
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.lake import table_called
from kappa_assets.place.local.log_files import latest_version

_REMEMBERED = 20_000
"""Commits kept in memory, over all tables; about 2 KB each."""
_SETTLED = 2.0
"""Age of a folder's modification time from which a listing is trusted: two commits may share one tick of the clock."""


class FollowedLogs:
    """The logs of a lake as one process remembers them. Answers as `LogsOnDisk` does, in microseconds."""

    def __init__(self) -> None:
        self._commits: OrderedDict[tuple[Path, int], Commit] = OrderedDict()
        self._newest: dict[Path, tuple[int, float, int | None]] = {}

    def newest(self, folder: Path) -> int | None:
        """Return the table's newest version, or None when there is no table yet."""
        try:
            changed = (folder / "_delta_log").stat().st_mtime_ns
        except OSError:
            return None
        known = self._newest.get(folder)
        if known is not None and known[0] == changed and known[1] - changed / 1e9 > _SETTLED:
            return known[2]
        listed_at = time.time()
        version = latest_version(folder)
        self._newest[folder] = (changed, listed_at, version)
        return version

    def commit(self, folder: Path, version: int) -> Commit:
        """Return one commit. Raises LakeError when it is not there any more."""
        key = (folder, version)
        found = self._commits.get(key)
        if found is None:
            found = self._commits[key] = delta_log.read_commit(folder, version)
            if len(self._commits) > _REMEMBERED:
                self._commits.popitem(last=False)
        return found

    def commits(self, folder: Path, *, after: int) -> Iterator[Commit]:
        """Yield the commits after `after`, oldest first. Raises TapeGap when one has been cleaned from the log."""
        newest = self.newest(folder)
        for version in range(after + 1, (-1 if newest is None else newest) + 1):
            try:
                yield self.commit(folder, version)
            except LakeError as error:
                raise TapeGap(
                    f"the log of {table_called(folder)} no longer holds version {version}",
                    hint="It was cleaned up before it was reported; the tables themselves are whole. What follows is "
                    "reported.",
                ) from error

    def last_note(self, folder: Path, *, at_most: int | None = None) -> tuple[int, CommitNote] | None:
        """Return the newest (version, note) of ours, at or before version `at_most`."""
        newest = self.newest(folder)
        if newest is None:
            return None
        for version in range(newest if at_most is None else min(newest, at_most), -1, -1):
            try:
                note = self.commit(folder, version).note
            except LakeError:
                return None
            if note is not None:
                return version, note
        return None

    def first_data_after(self, folder: Path, version: int) -> int | None:
        """Return the first version after `version` that changed rows; one cleaned from the log counts as such."""
        try:
            return next((c.version for c in self.commits(folder, after=version) if c.adds_data or c.removes_data), None)
        except TapeGap:
            return version + 1
