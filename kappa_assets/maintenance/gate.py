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
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from kappa_assets.errors import DeletionRefused
from kappa_assets.log.unread import Unread
from kappa_assets.maintenance.needed import building, discarded, in_use, moving
from kappa_assets.maintenance.policy import Policy
from kappa_assets.maintenance.readers import first_entry, first_kept, unread_by
from kappa_assets.maintenance.upstreams import Key, Upstreams, known_upstreams, readers_of
from kappa_assets.names import Layer, TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.stored_table import Where, stored
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Registry, State
from kappa_assets.place.upkeep import Unneeded


def upkeep_turn(lake: Lake) -> AbstractContextManager[None]:
    """Wait for, and hold, the turn in which files of a lake are removed, or rewritten by maintenance."""
    return lake.upkeep_turn()


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
        # Those of an earlier release read nothing now; they go on when that is selected again.
        streamed = bool(readers_of(state, key, state.generations.keys() - state.expired, known))
        since = self._since(key[0], streamed=streamed)
        return self._unwanted(self.lake.table(*key), unread, since, state.vacuumed.get(key, -1))

    def unwanted_beside(self, where: Where) -> Unwanted | None:
        """Return what may go of a table of our own beside the data, which nobody streams from."""
        return self._unwanted(stored(where), [], self.policy.since(self.now), -1)

    def unwanted_state(self, key: Key) -> Unwanted | None:
        """Return what may go of a generation's state, whose older versions nobody reads; None when there is none."""
        return self._unwanted(self.lake.state_of(*key), [], self.now - self.policy.keep_gold, -1)

    def remove_files(self, where: Where, key: Key | None, planned: Sequence[str]) -> list[str]:
        """Remove those of the files that may go now, and folders that this leaves empty; return them."""
        with upkeep_turn(self.lake):
            found = self._unwanted_now(where, key)
            allowed = set() if found is None else set(found.files.paths)
            going = [path for path in planned if path in allowed]
            return stored(where).upkeep().erase(going)

    def remove_entries(self, where: Where, key: Key | None, planned: Sequence[str]) -> list[str]:
        """Remove those of a log's entries that may go now, and return them.

        Oldest first: killed in between, it leaves a log that is whole from somewhere on.
        """
        with upkeep_turn(self.lake):
            found = self._unwanted_now(where, key)
            wanted = set(planned)
            gone = [] if found is None else [path for path in found.entries.paths if path in wanted]
            stored(where).upkeep().erase_entries(gone)
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
            if self.lake.lying(*key) is not None:
                self.lake.erase_generation(*key)

    def _unwanted_now(self, where: Where, key: Key | None) -> Unwanted | None:
        if key is None:
            return self.unwanted_beside(where)
        if stored(where) == self.lake.state_of(*key):
            return self.unwanted_state(key)
        state = Registry(self.lake).state()
        return self.unwanted(state, known_upstreams(self.lake, state), key)

    def _unwanted(
        self, table: StoredTable, unread: list[Unread], since: dt.datetime, known_upto: int
    ) -> Unwanted | None:
        if table.newest() is None:
            return None
        long = min(since, self.policy.since(self.now))
        first = first_kept(table, unread, since)
        files = table.upkeep().unneeded(first, since, loose_since=long, known_upto=known_upto)
        kept = first_kept(table, unread, long)
        entry = first_entry(table, kept, unread, self.policy.keep_commits)
        return Unwanted(files, table.upkeep().old_entries(entry, self.now))

    def _since(self, table: TableName, *, streamed: bool) -> dt.datetime:
        """Return the moment from which on what a table removed stays for whoever reads it."""
        declared = self.keep.get(table)
        if declared is not None:
            return self.now - declared
        if table.layer is Layer.GOLD and not streamed:
            return self.now - self.policy.keep_gold
        return self.policy.since(self.now)
