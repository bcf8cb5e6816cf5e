"""The index of a tape: a small Delta table with one line per batch, which outlives the log of the tape itself."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from kappa_assets.log.note import Position
from kappa_assets.place.held import held
from kappa_assets.place.local.stored_table import Where, stored

_SCHEMA = pa.schema(
    [
        pa.field("batch", pa.int64(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("slices", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class TapeCommit:
    """One commit on the tape: its batch id, the Bronze version that wrote it, and its rows by slice (a day)."""

    batch: int
    version: int
    at: dt.datetime
    rows: int
    slices: Mapping[str, int]

    @property
    def position(self) -> Position:
        """The place on the tape after this commit."""
        return Position(self.batch, self.version)


class TapeIndex:
    """The lines of one index. Files and row groups that hold none of what is asked for are not read.

    A line may be in an index twice: an earlier version wrote one so when two threads looked at the tape at once. Each
    is given once, and `mend` takes the others out.
    """

    def __init__(self, lines: Where) -> None:
        self._lines = stored(lines)

    def turn(self) -> AbstractContextManager[None]:
        """Hold the index's write lock for the block."""
        return self._lines.turn()

    def last(self) -> Position | None:
        """Return the newest position in the index, from its files' statistics; None for an index without lines."""
        files = self._files()
        if not files:
            return None
        return Position(max(f["max.batch"] for f in files), max(f["max.version"] for f in files))

    def newest(self, wanted: int) -> tuple[list[TapeCommit], int]:
        """Return about so many of the newest lines, and the version from which on they are all that there are."""
        files, last = self._files(), self.last()
        if last is None:
            return [], 0
        found = self.read(0, last.version + 1, since=last.batch - wanted + 1)
        begins = min(f["min.version"] for f in files)
        return found, 0 if found[0].version <= begins else found[0].version

    def read(self, first: int, end: int, since: int = 0, upto: int | None = None) -> list[TapeCommit]:
        """Return the lines of versions from `first` on and before `end`, and of batches `since` to `upto`, in order."""
        wanted = (ds.field("version") >= first) & (ds.field("version") < end) & (ds.field("batch") >= since)
        if upto is not None:
            wanted &= ds.field("batch") <= upto
        version = self._lines.newest()
        if version is None:
            return []
        rows = self._lines.arrow(version).to_table(filter=wanted).to_pylist()
        found = {row["version"]: row for row in rows}
        return [_commit(found[version]) for version in sorted(found)]

    def append(self, fresh: Iterable[TapeCommit]) -> None:
        """Add lines. The caller holds the turn, and knows that they go on where the index ends."""
        self._lines.put(_table(fresh), self._lines.newest())

    def mend(self) -> None:
        """Take out lines that are there twice. The caller holds the turn."""
        version = self._lines.newest()
        files = self._files()
        if not files:
            return
        lines = sum(f["num_records"] for f in files)
        if lines <= max(f["max.batch"] for f in files) - min(f["min.batch"] for f in files) + 1:
            return
        once = self.read(0, max(f["max.version"] for f in files) + 1)
        if len(once) < lines:
            self._lines.put(_table(once), version, instead=True)

    def _files(self) -> list[dict[str, Any]]:
        """Return what the log says of each file of the index that has lines."""
        version = self._lines.newest()
        return [] if version is None else [file for file in held(self._lines.files(version)) if file["num_records"]]


def _table(found: Iterable[TapeCommit]) -> pa.Table:
    rows = [
        {"batch": c.batch, "version": c.version, "at": c.at, "rows": c.rows, "slices": json.dumps(dict(c.slices))}
        for c in found
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _commit(row: Mapping[str, Any]) -> TapeCommit:
    return TapeCommit(row["batch"], row["version"], row["at"], row["rows"], json.loads(row["slices"]))
