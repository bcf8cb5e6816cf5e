"""Delta logs followed from look to look: what was read once is remembered, a look with nothing new is two probes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from kappa_assets.errors import LakeError, TapeGap
from kappa_assets.log import delta_log
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.logs import Logs
from kappa_assets.log.note import CommitNote
from kappa_assets.place.local.stored_table import Where, stored
from kappa_assets.place.port import StoredTable

_REMEMBERED = 20_000
"""Commits kept in memory, over all tables; about 2 KB each. Where a lake has more, the oldest are read once more by
each who asks for them."""


@dataclass
class _Followed:
    """One log, as far as it was followed."""

    life: int = 0
    newest: int | None = None
    identity: object = None
    """Of the file of the newest version. A table that was made anew has other files under the same names."""


class FollowedLogs(Logs):
    """The logs of a lake as one process remembers them: lineage, tapes and checks share one. Threads may, too."""

    def __init__(self, *, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._turn = threading.RLock()
        self._logs: dict[StoredTable, _Followed] = {}
        self._commits: OrderedDict[tuple[StoredTable, int, int], Commit] = OrderedDict()

    def newest(self, where: Where) -> int | None:
        """Return the table's newest version, or None when there is no table yet."""
        with self._turn:
            return self._look(stored(where)).newest

    def life(self, where: Where) -> int:
        """Return how often the table was seen to be removed or made anew."""
        with self._turn:
            return self._look(stored(where)).life

    def commit(self, where: Where, version: int) -> Commit:
        """Return one commit. Raises LakeError when it is not there any more."""
        table = stored(where)
        with self._turn:
            key = table, self._logs.setdefault(table, _Followed()).life, version
            found = self._commits.get(key)
            if found is None:
                found = self._commits[key] = delta_log.read_commit(table, version)
                if len(self._commits) > self._remembered:
                    self._commits.popitem(last=False)
            return found

    def commits(self, where: Where, *, after: int = -1, upto: int | None = None) -> Iterator[Commit]:
        """Yield the commits with `after` < version <= `upto`, oldest first; none of a table that does not exist.

        Raises TapeGap when one has been cleaned from the log, unless `after` is -1: then those still there are given.
        """
        table = stored(where)
        newest = self.newest(table)
        if newest is None:
            return
        last = newest if upto is None else min(newest, upto)
        for version in range(after + 1, last + 1) if after >= 0 else [v for v in table.versions() if v <= last]:
            try:
                yield self.commit(table, version)
            except LakeError as error:
                raise TapeGap(
                    f"the log of {table.called} no longer holds version {version}",
                    hint="It was cleaned up before it was read; the tables themselves are whole.",
                ) from error

    def last_note(self, where: Where, *, at_most: int | None = None) -> tuple[int, CommitNote] | None:
        """Return the newest (version, note) of ours, at or before version `at_most`; None before the first."""
        table = stored(where)
        newest = self.newest(table)
        if newest is None:
            return None
        for version in range(newest if at_most is None else min(newest, at_most), -1, -1):
            try:
                note = self.commit(table, version).note
            except LakeError:
                return None
            if note is not None:
                return version, note
        return None

    def _look(self, table: StoredTable) -> _Followed:
        """Return what is known of a log, after following it to its end as of now. The caller holds the turn."""
        log = self._logs.setdefault(table, _Followed())
        known = log.newest
        intact = known is not None and table.identity(known) == log.identity
        newest = table.newest(known if intact else None)
        if intact and newest == known:
            return log
        identity = None if newest is None else table.identity(newest)
        if identity is None:  # no table yet, or it was removed just now
            newest = None
        # A log whose known end is gone, but that reaches farther now, went on and was cleaned: it is the same table's.
        anew = known is not None and not intact and table.identity(known) is not None
        if anew or (known is not None and (newest is None or newest < known)):
            log.life += 1
        log.newest, log.identity = newest, identity
        return log
