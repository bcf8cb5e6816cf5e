"""Delta logs followed from commit to commit: a look at a table with nothing new costs two file probes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kappa_assets.errors import TapeGap
from kappa_assets.log import delta_log
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.generation_positions import LogsOnDisk
from kappa_assets.log.note import CommitNote, Offset
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.log_files import latest_version, log_file

_KEPT = 100
"""Findings kept per table: enough to see what is wrong."""


class LogWatch:
    """One Delta table's log, read once: what its commits add up to, and what was wrong in them.

    `foreign` are commits that took rows away, or brought some without a note of this table; `gaps` are
    commits of ours whose input does not begin where that of the one before ended.
    """

    def __init__(self, folder: Path, table: TableName, upstream: TableName | None) -> None:
        self.folder = folder
        self._table = str(table)
        self._upstream = str(upstream)
        self.lives = 0
        self._forget()

    def follow(self) -> list[Commit]:
        """Return the commits since the last call, oldest first, after taking them in."""
        fresh = self._fresh()
        for commit in fresh:
            self._take(commit)
        return fresh

    def _forget(self) -> None:
        self.lives += 1  # how often the table was made: a lake may be thrown away while somebody watches
        self.version = -1
        self.commits = 0  # of ours
        self.last_note: tuple[int, CommitNote] | None = None
        self.last_data = -1
        self.foreign: list[Mapping[str, object]] = []
        self.gaps: list[Mapping[str, object]] = []
        self._until: Offset | None = None
        self._continuous = True

    def _fresh(self) -> list[Commit]:
        if self.version >= 0 and self._has_file(self.version) and not self._has_file(self.version + 1):
            return []
        latest = latest_version(self.folder)
        if latest is None or latest < self.version:  # the table was removed, and perhaps made anew
            self._forget()
        try:
            fresh = list(delta_log.commits(self.folder, after=self.version))
        except TapeGap:
            fresh = [c for c in delta_log.commits(self.folder) if c.version > self.version]
        self._continuous = not fresh or fresh[0].version == self.version + 1
        return fresh

    def _take(self, commit: Commit) -> None:
        self.version = commit.version
        self.commits += commit.note is not None
        if commit.adds_data or commit.removes_data:
            self.last_data = commit.version
            self._judge(commit)
        if commit.note is None:
            return
        self.last_note = commit.version, commit.note
        read = commit.note.reads.get(self._upstream)
        if read is None or commit.note.repair is not None:  # a repair repeats the range of the commit before it
            return
        if self._continuous and read.since != self._until:
            self._keep(
                self.gaps,
                {
                    "version": commit.version,
                    "at": commit.at.isoformat(timespec="seconds"),
                    "begins_after": _text(read.since),
                    "expected": _text(self._until),
                },
            )
        self._until, self._continuous = read.until, True

    def _judge(self, commit: Commit) -> None:
        ours = commit.note is not None and commit.note.table == self._table
        repair = commit.note is not None and commit.note.repair is not None
        if ours and (repair or not commit.removes_data):
            return
        what = "took rows away" if commit.removes_data else "wrote rows that are not the stream's"
        at = commit.at.isoformat(timespec="seconds")
        found = {"version": commit.version, "at": at, "operation": commit.operation, "what": what}
        self._keep(self.foreign, found)

    @staticmethod
    def _keep(findings: list[Mapping[str, object]], found: Mapping[str, object]) -> None:
        if len(findings) < _KEPT:
            findings.append(found)

    def _has_file(self, version: int) -> bool:
        return log_file(self.folder, version).exists()


class WatchedLogs(LogsOnDisk):
    """What positions are computed from, answered from memory where the watches know it."""

    def __init__(self) -> None:
        self._watches: dict[Path, LogWatch] = {}

    def watch(self, folder: Path, table: TableName, upstream: TableName | None) -> LogWatch:
        """Return the watch of a folder, the same for as long as this object lives."""
        return self._watches.setdefault(folder, LogWatch(folder, table, upstream))

    def last_note(self, folder: Path, *, at_most: int | None = None) -> tuple[int, CommitNote] | None:
        """Return the newest (version, note) of a table; None before its first."""
        watch = self._watches.get(folder)
        if watch is None or at_most is not None:
            return super().last_note(folder, at_most=at_most)
        return watch.last_note

    def first_data_after(self, folder: Path, version: int) -> int | None:
        """Return the first version after `version` that brought or took data; None when there is none."""
        watch = self._watches.get(folder)
        if watch is not None and watch.last_data <= version:
            return None
        return super().first_data_after(folder, version)


class WatchedTape(Tape):
    """A tape that is read again only when told that its log has grown."""

    _current = False

    def outdated(self) -> None:
        """Have the next look read the log's new commits."""
        self._current = False

    def _look(self) -> None:
        if not self._current:
            super()._look()
            self._current = True


def _text(offset: Offset | None) -> str:
    if offset is None:
        return "the beginning"
    return f"version {offset.version}, index {offset.index}{', first snapshot' if offset.starting else ''}"
