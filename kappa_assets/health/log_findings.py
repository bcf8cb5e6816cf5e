"""What is to be said of a table's log: what its commits add up to, and which of them should not be there."""

from __future__ import annotations

import datetime as dt
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kappa_assets.errors import TapeGap
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.followed_logs import FollowedLogs
from kappa_assets.log.note import GIVEN, RELEASED, REWRITTEN, SET_ASIDE, TAKEN, CommitNote, Offset
from kappa_assets.names import TableName
from kappa_assets.place.port import StoredTable

_KEPT = 100
"""Findings kept per table: enough to see what is wrong."""
_HOURS = 48
"""Hours of which rows are counted."""
_LATELY = 20
"""Commits of which is kept what their batches read."""


@dataclass(frozen=True)
class Judged:
    """Rows of an hour's commits, by what the notes call them, by their delay, and by the expectations they fail."""

    rows: Counter[str] = field(default_factory=Counter)
    delays: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, other: Judged) -> None:
        """Count those of another hour too."""
        self.rows.update(other.rows)
        self.delays.update(other.delays)
        self.failed.update(other.failed)


class LogFindings:
    """One Delta table's log, taken in commit by commit: what they add up to, and what was wrong in them.

    `foreign` are commits that took rows away, or brought some without a note of this table; `gaps` are
    commits of ours whose input does not begin where that of the one before ended. `judged` counts the rows that
    expectations judged, of the newest hours; `unbalanced` are commits that wrote and set aside another number of rows.
    `lately` are the notes of the newest batches.
    """

    def __init__(
        self, logs: FollowedLogs, stored: StoredTable, table: TableName, upstreams: Iterable[TableName]
    ) -> None:
        self._logs = logs
        self._stored = stored
        self._table = str(table)
        self._upstreams = tuple(map(str, upstreams))
        self._forget(0)

    def follow(self) -> list[Commit]:
        """Return the commits since the last call, oldest first, after taking them in."""
        fresh = self._fresh()
        for commit in fresh:
            self._take(commit)
        return fresh

    def _forget(self, life: int) -> None:
        self.life = life  # how often the table was made anew: a lake may be thrown away while somebody watches
        self.commits = 0  # of ours
        self.foreign: list[Mapping[str, object]] = []
        self.gaps: list[Mapping[str, object]] = []
        self.judged: dict[dt.datetime, Judged] = {}
        self.unbalanced: list[Mapping[str, object]] = []
        self.lately: deque[CommitNote] = deque(maxlen=_LATELY)
        self._version = -1
        self._until: dict[str, Offset | None] = {}
        self._continuous = True

    def _fresh(self) -> list[Commit]:
        life = self._logs.life(self._stored)
        if life != self.life:
            self._forget(life)
        try:
            fresh = list(self._logs.commits(self._stored, after=self._version))
        except TapeGap:
            fresh = [c for c in self._logs.commits(self._stored) if c.version > self._version]
        self._continuous = not fresh or fresh[0].version == self._version + 1
        return fresh

    def _take(self, commit: Commit) -> None:
        self._version = commit.version
        self.commits += commit.note is not None
        if commit.adds_data or commit.removes_data:
            self._judge(commit)
        if commit.note is None:
            return
        if commit.note.judged:
            self._account(commit, commit.note)
        reads = {name: read for name, read in commit.note.reads.items() if name in self._upstreams}
        if not reads or not commit.note.reads_on:
            return
        self.lately.append(commit.note)
        for name, read in reads.items():
            if self._continuous and read.since != self._until.get(name):
                self._keep(
                    self.gaps,
                    {
                        "version": commit.version,
                        "at": commit.at.isoformat(timespec="seconds"),
                        "begins_after": _text(read.since),
                        "expected": _text(self._until.get(name)),
                    },
                )
            self._until[name] = read.until
        self._continuous = True

    def _judge(self, commit: Commit) -> None:
        ours = commit.note is not None and commit.note.table == self._table
        repair = commit.note is not None and commit.note.repair is not None
        if ours and (repair or not commit.removes_data):
            return
        what = "took rows away" if commit.removes_data else "wrote rows that are not the stream's"
        at = commit.at.isoformat(timespec="seconds")
        found = {"version": commit.version, "at": at, "operation": commit.operation, "what": what}
        self._keep(self.foreign, found)

    def _account(self, commit: Commit, note: CommitNote) -> None:
        """Take in how many rows were given, and see whether all are written or set aside."""
        hour = self.judged.setdefault(commit.at.replace(minute=0, second=0, microsecond=0), Judged())
        hour.rows.update(note.judged)
        hour.delays.update(note.delays)
        hour.failed.update(note.rejected)
        hour.failed.update(note.warned)
        if len(self.judged) > _HOURS:
            del self.judged[min(self.judged)]
        if REWRITTEN in note.judged:  # none is set aside, and of its rows only those that the batch touched were judged
            return
        if RELEASED in note.judged:  # they were given, and set aside, by an earlier commit
            return
        given, aside = note.judged.get(GIVEN, 0), sum(note.judged.get(fate, 0) for fate in SET_ASIDE)
        written = note.judged.get(TAKEN, note.rows or 0)
        if given != written + aside:
            at = commit.at.isoformat(timespec="seconds")
            found = {"version": commit.version, "at": at, GIVEN: given, "rows": written, "set_aside": aside}
            self._keep(self.unbalanced, found)

    @staticmethod
    def _keep(findings: list[Mapping[str, object]], found: Mapping[str, object]) -> None:
        if len(findings) < _KEPT:
            findings.append(found)


def _text(offset: Offset | None) -> str:
    if offset is None:
        return "the beginning"
    return f"version {offset.version}, index {offset.index}{', first snapshot' if offset.starting else ''}"
