"""A Bronze table seen as a log: which commit wrote which batch, when, and which slices it touched."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from kappa_assets.errors import ReplayError, TapeGap
from kappa_assets.log.delta_log import Commit
from kappa_assets.log.logs import ON_DISK, Logs
from kappa_assets.log.note import BEFORE_THE_TAPE, Position
from kappa_assets.log.tape_index import TapeCommit, TapeIndex
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake

__all__ = ["Tape", "TapeCommit"]

_HELD = 256
"""How many of the newest commits are held; streams need no others. Older ones are read when somebody asks."""


class Tape:
    """The tape index of one Bronze table, which outlives Delta's log clean-up, plus the log's newest commits.

    Threads may share one: the queries of a host do. It holds the newest commits only, however old the tape is.
    """

    def __init__(self, lake: Lake, bronze: TableName, logs: Logs = ON_DISK) -> None:
        self.bronze = bronze
        self._lake = lake
        self._logs = logs
        self._table = lake.table(bronze)
        self._index = TapeIndex(lake.index_of(bronze))
        self._looking = threading.Lock()
        self._numbering = threading.Lock()
        self._held: list[TapeCommit] = []
        self._held_from = 0  # every commit of this version or a later one is held
        self._scanned: int | None = None  # the newest version that was looked at
        self._life = 0  # of the table: what is held of an earlier one is not on this tape

    def __reduce__(self) -> tuple[type[Tape], tuple[Lake, TableName]]:
        """Another process looks at the tape for itself."""
        return Tape, (self._lake, self.bronze)

    def commits(self, since: int = 0, upto: int | None = None, *, after: int = -1) -> list[TapeCommit]:
        """Return the commits of the batches `since` to `upto` in versions after `after`, oldest first.

        Raises TapeGap when the log was cleaned of commits that the index does not hold.
        """
        with self._looking:
            self._look()
            held, held_from = list(self._held), self._held_from
        if after < held_from - 1 and (not held or since <= held[0].batch):
            held = [*self._older(after + 1, held_from, since, upto), *held]
        return [c for c in held if c.version > after and since <= c.batch and (upto is None or c.batch <= upto)]

    def head(self) -> Position:
        """Return the newest position; BEFORE_THE_TAPE for a tape without commits."""
        with self._looking:
            self._look()
            return self._held[-1].position if self._held else BEFORE_THE_TAPE

    def position_at(self, version: int) -> Position:
        """Return the position that a Bronze version stands for: the newest batch written at or before it.

        Maintenance commits (OPTIMIZE) stand for the batch before them. Raises ReplayError for a version that does not
        exist yet.
        """
        position, newest = self._position_before(version + 1)
        if version > newest:
            raise ReplayError(
                f"{self.bronze} has no version {version}; its newest is {newest}",
                hint=f"kappa tape {self.bronze} lists the versions.",
            )
        return position

    def position_before(self, version: int) -> Position:
        """Return the position of the newest batch that was written before a Bronze version, which need not exist."""
        return self._position_before(version)[0]

    def first_batch_from(self, version: int) -> int:
        """Return the first batch to play when starting with Bronze version `version`. Raises ReplayError."""
        if version < 0:
            raise ReplayError(f"{version} is no Bronze version", hint="0 is inception; kappa tape lists the versions.")
        return 0 if version == 0 else self.position_at(version - 1).batch + 1

    def bounded(self, position: Position, to_batch: int | None) -> Position:
        """Return a position, but none after batch `to_batch`: a validation takes in nothing behind its end."""
        if to_batch is None or position.batch <= to_batch:
            return position
        found = self.commits(to_batch, to_batch) or self.commits(upto=to_batch)
        return found[-1].position if found else BEFORE_THE_TAPE

    @contextmanager
    def next_batch(self) -> Iterator[int]:
        """Hold the tape's turn for the block, and give the number of the batch that it puts on the tape.

        The number is taken here once, for rows and note alike. `check_is_next` has the last word when it is committed.
        """
        with self._numbering:
            yield self.head().batch + 1

    def check_is_next(self, batch: int) -> None:
        """Raise TapeGap unless `batch` follows the newest on the tape. Asked while nobody else can commit to it."""
        head = self.head()
        if batch != head.batch + 1:
            raise TapeGap(
                f"a commit to {self.bronze} brings batch {batch}, but the tape ends with {head}",
                hint="Somebody else wrote to the tape meanwhile; nothing of the batch is in, and it is tried again.",
            )

    def sync(self) -> None:
        """Write to the index what only the log holds. The host does so, and maintenance: they take turns.

        Lines that are in the index twice are taken out of it first. Raises TapeGap, and writes nothing, when the log's
        commits do not go on where the index ends: an index with a hole would be believed for ever.
        """
        with self._index.turn():
            self._index.mend()
            last = self._index.last()
            fresh = self.commits(after=-1 if last is None else last.version)
            self._check_tile(last, fresh)
            if fresh:
                self._index.append(fresh)

    def _check_tile(self, last: Position | None, fresh: list[TapeCommit]) -> None:
        positions = [*([] if last is None else [last]), *(c.position for c in fresh)]
        for before, now in pairwise(positions):
            if now.batch != before.batch + 1:
                raise TapeGap(
                    f"batch {now.batch} of {self.bronze}, written by version {now.version}, follows {before}",
                    hint=f"Its index is left as it is, and its log must not be cleaned; kappa tape {self.bronze} "
                    "lists the batches, kappa check tells more.",
                )

    def _look(self) -> None:
        """Take in the log's new commits. The caller holds `_looking`."""
        life = self._logs.life(self._table)
        if self._scanned is None or life != self._life:
            self._life = life
            self._held, self._held_from = self._index.newest(_HELD)
            self._scanned = self._held[-1].version if self._held else -1
        for commit in self._logs.commits(self._table, after=self._scanned):
            self._scanned = commit.version
            self._held += _on_tape([commit])
            if len(self._held) > 2 * _HELD:
                del self._held[:-_HELD]
                self._held_from = self._held[0].version

    def _position_before(self, version: int) -> tuple[Position, int]:
        """Return the newest position written before `version`, and the newest version there is."""
        with self._looking:
            self._look()
            newest, held_from = self._scanned if self._scanned is not None else -1, self._held_from
            place = bisect_left(self._held, version, key=lambda c: c.version)
            if place:
                return self._held[place - 1].position, newest
        # Few versions lie between two batches, so a short look back finds one. It reads the index where it must.
        end, span = min(version, held_from), 64
        while end > 0:
            first = max(0, end - span)
            found = self._older(first, end)
            if found:
                return found[-1].position, newest
            if first == 0:
                break
            span *= 16
        return BEFORE_THE_TAPE, newest

    def _older(self, first: int, end: int, since: int = 0, upto: int | None = None) -> list[TapeCommit]:
        """Return commits that are not held: of the versions from `first` on and before `end`.

        The index has them; those that it lacks the log still has.
        """
        last = self._index.last()
        indexed = -1 if last is None else last.version
        found = self._index.read(first, end, since, upto) if first <= indexed else []
        if indexed < end - 1:
            after = max(indexed, first - 1)
            if last is None:  # then the tape begins where its log does
                after = max(after, next(iter(self._table.versions()), end) - 1)
            found += _on_tape(self._logs.commits(self._table, after=after, upto=end - 1))
        return found


def _on_tape(found: Iterable[Commit]) -> list[TapeCommit]:
    """Return those commits that put a batch on the tape."""
    return [
        TapeCommit(c.note.tape_batch, c.version, c.at, c.rows, dict(c.rows_by_slice))
        for c in found
        if c.note is not None and c.note.tape_batch is not None
    ]
