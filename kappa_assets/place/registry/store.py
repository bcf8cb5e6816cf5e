"""The registry on disk: a Delta table of events, each change a compare-and-set commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from kappa_assets.errors import LakeError, RegistryConflict
from kappa_assets.place.local import durable
from kappa_assets.place.local.delta_write.delta_failure import WRITE_FAILED, cannot_write, was_overtaken
from kappa_assets.place.local.delta_write.rows import append_rows, create_with_rows, replace_rows
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.log_files import latest_version, log_file
from kappa_assets.place.registry.state import Event, State, fold, without_outdated

_READ_FAILED = (DeltaError, OSError, pa.ArrowException, ValueError)
"""How a failed read shows: a log that is damaged; a data file that is missing, is no Parquet, or holds no JSON."""
_TRIES = 20
_SCHEMA = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("at", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("body", pa.string(), nullable=False),
    ]
)


class Registry:
    """The one truth about which generation is live.

    Reading costs a listing while nothing changed. A change names the state it was decided on; if somebody else
    changed the registry since, it is refused with RegistryConflict and nothing is written.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._path: Path = lake.registry
        self._state = State()
        self._events = 0

    def state(self) -> State:
        """Return what the registry says now."""
        version = latest_version(self._path)
        if version is None:
            return State()
        if version != self._state.version:
            events = self.history()
            self._events = len(events)
            self._state = fold(events, version)
        return self._state

    def history(self) -> list[Event]:
        """Return every event, oldest first. Raises LakeError when the table cannot be read."""
        try:
            rows = DeltaTable(self._path).to_pyarrow_table().sort_by("seq").to_pylist()
            return [Event(r["at"], r["kind"], json.loads(r["body"])) for r in rows]
        except TableNotFoundError:
            return []
        except _READ_FAILED as error:
            raise LakeError(
                f"the registry {str(self._path)!r} cannot be read: {error}",
                hint="Restore it from a backup: it alone says which generations are live.",
            ) from error

    def commit(self, decided_on: State, events: Sequence[Event]) -> State:
        """Append `events` if the registry is still as `decided_on`, and return the new state.

        Raises RegistryConflict otherwise, and LakeError when the disk does not take it.
        """
        rows = self._rows(self._count(decided_on), events)

        def append() -> None:
            if decided_on.version < 0:
                create_with_rows(self._path, rows)
            else:
                append_rows(DeltaTable(self._path, version=decided_on.version), self._path, rows)

        return self._write(decided_on, append)

    def _write(self, decided_on: State, write: Callable[[], None]) -> State:
        """Do one commit that follows `decided_on`, and return the new state. Raises RegistryConflict, LakeError."""
        try:
            write()
        except WRITE_FAILED as error:
            if was_overtaken(self._path, decided_on.version):
                raise _conflict() from error
            raise cannot_write("the registry", self._path, error) from error
        self._sync(decided_on.version + 1)
        return self.state()

    def _sync(self, version: int) -> None:
        """See to it that a change outlives a loss of power: after it, nobody can tell any more what was live."""
        log = log_file(self._path, version)
        try:
            actions = [json.loads(line) for line in log.read_text().split("\n") if line]
            added = [self._path / action["add"]["path"] for action in actions if "add" in action]
            durable.sync([*added, log], self._path.parent)
        except OSError as error:
            raise cannot_write("the registry", self._path, error) from error

    def add(self, *made: Event) -> State:
        """Append events that hold whatever else happened meanwhile, and return the new state."""
        for _ in range(_TRIES):
            try:
                return self.commit(self.state(), made)
            except RegistryConflict:
                continue  # somebody else was first: there is a newer state to decide on
        return self.commit(self.state(), made)

    def fold(self, decided_on: State) -> State:
        """Leave out the events that later ones have made pointless, in one file, and return the same state.

        It says the same as before, to versions of kappa_assets that do not know of folding too: events are counted
        anew from 0. Raises RegistryConflict when it is no more as `decided_on`, and LakeError.
        """
        self._count(decided_on)
        table = DeltaTable(self._path, version=decided_on.version)
        rows = self._rows(0, without_outdated(self.history()))
        return self._write(decided_on, lambda: replace_rows(table, self._path, rows))

    def _count(self, decided_on: State) -> int:
        if decided_on.version < 0:
            return 0
        if decided_on.version != self._state.version:
            raise _conflict()
        return self._events

    @staticmethod
    def _rows(start: int, events: Sequence[Event]) -> pa.Table:
        return pa.Table.from_pylist(
            [{"seq": start + i, "at": e.at, "kind": e.kind, "body": json.dumps(e.body)} for i, e in enumerate(events)],
            schema=_SCHEMA,
        )


def _conflict() -> RegistryConflict:
    return RegistryConflict(
        "somebody else changed the registry meanwhile",
        hint="Look at kappa releases and decide again; nothing was written.",
    )
