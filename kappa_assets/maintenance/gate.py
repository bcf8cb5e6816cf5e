"""The gate: the one way in which files of a lake are removed, which asks anew, at that moment, who still needs them.

A plan is made from what registry and logs said then, and may be long done with when its steps are: a rollback, a
replay, another reader come in between. So what a plan hands in is removed only where the gate, which goes by the
registry and the logs as they are now, finds the same; the rest stays. It knows

- generations: live, candidate, being built, what candidates keep rows of, and what any of these reads;
- readers: every one in the registry, whoever declares it, and the version from which it has to go on;
- files: those of the newest version and of all that somebody has not read, those that were removed lately, and those
  that changed lately, by writing or by linking: a writer may be about to commit them.

Clocks decide only how long what nobody of ours needs is kept for others. A writer whose file was removed all the same
(it slept for longer than that) finds it gone in the table's turn, and does its batch again: `DeltaWriter` looks.
Locks are never removed: two processes would each hold one of the same name.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from deltalake import DeltaTable

from kappa_assets.errors import DeletionRefused
from kappa_assets.log.unread import Unread
from kappa_assets.maintenance.clean_log import find_old_entries
from kappa_assets.maintenance.needed import building, discarded, in_use, moving
from kappa_assets.maintenance.policy import Policy
from kappa_assets.maintenance.readers import first_entry, first_kept, unread_by
from kappa_assets.maintenance.upstreams import Key, Upstreams, known_upstreams, readers_of
from kappa_assets.maintenance.vacuum import Unneeded, find_unneeded, live_files, subject
from kappa_assets.names import Layer, TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.lock import table_turn
from kappa_assets.place.registry import Registry, State

_TURN = 1_000
"""Files that are removed in one turn of a table; a stream's commit waits for no more."""


def upkeep_turn(lake: Lake) -> AbstractContextManager[None]:
    """Wait for, and hold, the turn in which files of a lake are removed, or rewritten by maintenance."""
    return table_turn(lake.system / "upkeep")


@dataclass(frozen=True)
class Unwanted:
    """What may go of one table now."""

    files: Unneeded
    entries: Unneeded

    @property
    def upto(self) -> int:
        """The newest version whose removed files, or whose entry in the log, are among it; -1 if none is."""
        return max(self.files.upto, self.entries.upto)


@dataclass(frozen=True)
class Gate:
    """Says what may go of a lake at the moment `now`, and removes it. `keep` is what tables declare."""

    lake: Lake
    policy: Policy = field(default_factory=Policy)
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    keep: Mapping[TableName, dt.timedelta | None] = field(default_factory=dict)

    def unwanted(self, state: State, known: Upstreams, key: Key) -> Unwanted | None:
        """Return what may go of one generation; None when it is being built, or is no table."""
        if key in building(state):
            return None
        readers = readers_of(state, key, moving(state), known)
        unread = [u for u in (unread_by(self.lake, reader, key[0]) for reader in readers) if u is not None]
        since = self._since(key[0], streamed=bool(readers))
        return self._unwanted(self.lake.folder(*key), unread, since, state.vacuumed.get(key, -1))

    def unwanted_beside(self, folder: Path) -> Unwanted | None:
        """Return what may go of a table of our own beside the data, which nobody streams from."""
        return self._unwanted(folder, [], self.policy.since(self.now), -1)

    def remove_files(self, folder: Path, key: Key | None, planned: Sequence[Path]) -> list[Path]:
        """Remove those of the files that may go now, and folders that this leaves empty; return them."""
        with upkeep_turn(self.lake):
            found = self._unwanted_now(folder, key)
            allowed = set() if found is None else set(found.files.paths)
            going = [path for path in planned if path in allowed]
            gone: list[Path] = []
            for start in range(0, len(going), _TURN):
                gone += _remove_in_turn(folder, going[start : start + _TURN])
            for parent in {path.parent for path in gone}:
                _remove_empty(parent, folder)
            return gone

    def remove_entries(self, folder: Path, key: Key | None, planned: Sequence[Path]) -> list[Path]:
        """Remove those of a log's entries that may go now, and return them.

        Oldest first: killed in between, it leaves a log that is whole from somewhere on.
        """
        with upkeep_turn(self.lake):
            found = self._unwanted_now(folder, key)
            wanted = set(planned)
            gone = [] if found is None else [path for path in found.entries.paths if path in wanted]
            for path in gone:
                path.unlink(missing_ok=True)
            return gone

    def remove_generation(self, table: TableName, number: int) -> None:
        """Remove the folders of a generation that the registry says is expired, or of a discarded replay.

        Raises DeletionRefused, and removes nothing, when it is neither, or somebody needs it all the same.
        """
        with upkeep_turn(self.lake):
            state = Registry(self.lake).state()
            key = (table, number)
            if key not in state.expired | discarded(state):
                raise DeletionRefused(
                    f"{table} g{number} is neither expired nor discarded in the registry",
                    hint="Nothing was removed. kappa releases shows what readers see, and whether a replay is open.",
                )
            if key in in_use(state, known_upstreams(self.lake, state)):
                raise DeletionRefused(
                    f"{table} g{number} is live, or a table that is live or being built reads it",
                    hint="Nothing was removed. The registry contradicts itself: restore it from a backup.",
                )
            if folders := self.folders(key):
                with table_turn(self.lake.folder(*key)):
                    for folder in folders:
                        shutil.rmtree(folder)

    def folders(self, key: Key) -> list[Path]:
        """Return the folders of a generation that are there: its table and its checkpoint."""
        return [folder for folder in (self.lake.folder(*key), self.lake.checkpoint(*key)) if folder.exists()]

    def _unwanted_now(self, folder: Path, key: Key | None) -> Unwanted | None:
        if key is None:
            return self.unwanted_beside(folder)
        state = Registry(self.lake).state()
        return self.unwanted(state, known_upstreams(self.lake, state), key)

    def _unwanted(self, folder: Path, unread: list[Unread], since: dt.datetime, known_upto: int) -> Unwanted | None:
        if not DeltaTable.is_deltatable(str(folder)):
            return None
        long = min(since, self.policy.since(self.now))
        first = first_kept(folder, unread, since)
        files = find_unneeded(folder, first, since, loose_since=long, known_upto=known_upto)
        kept = first_kept(folder, unread, long)
        entry = first_entry(folder, kept, unread, self.policy.keep_commits)
        return Unwanted(files, find_old_entries(folder, entry, self.now))

    def _since(self, table: TableName, *, streamed: bool) -> dt.datetime:
        """Return the moment from which on what a table removed stays for whoever reads it."""
        declared = self.keep.get(table)
        if declared is not None:
            return self.now - declared
        if table.layer is Layer.GOLD and not streamed:
            return self.now - self.policy.keep_gold
        return self.policy.since(self.now)


def remove_unfinished(folder: Path, relative: str) -> None:
    """Remove a folder of new files below `data/` that its writer gives up; not when the table names one of them.

    A commit may be in though what follows it failed.
    """
    with table_turn(folder):
        named = live_files(folder) if DeltaTable.is_deltatable(str(folder)) else set()
        if not any(path.startswith(f"{relative}/") for path in named):
            shutil.rmtree(folder / relative)


def _remove_in_turn(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Remove files that the table does not name by now; a commit comes before, and is seen, or after, and sees."""
    with table_turn(folder):
        live = live_files(folder)
        going = [path for path in paths if subject(path.relative_to(folder)) not in live]
        for path in going:
            path.unlink(missing_ok=True)
        return going


def _remove_empty(folder: Path, upto: Path) -> None:
    """Remove a folder that is empty, and those above it that are then; never `data` itself, where writers make more."""
    while upto not in (folder, folder.parent):
        try:
            folder.rmdir()
        except OSError:  # not empty
            return
        folder = folder.parent
