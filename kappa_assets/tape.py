"""A Bronze table seen as a log: which commit wrote which batch, when, and which slices it touched."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from kappa_assets.commit import BEFORE_THE_TAPE, Position
from kappa_assets.delta_log import commits
from kappa_assets.delta_write.rows import append_rows, create_with_rows
from kappa_assets.errors import ReplayError
from kappa_assets.lake import Lake
from kappa_assets.lock import table_turn
from kappa_assets.table import TableName

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
        return Position(self.batch, self.version)


class Tape:
    """The tape index of one Bronze table, which outlives Delta's log clean-up, plus the log's newest commits."""

    def __init__(self, lake: Lake, bronze: TableName) -> None:
        self.bronze = bronze
        self._table: Path = lake.folder(bronze)
        self._index: Path = lake.tape_index(bronze)
        self._known: list[TapeCommit] | None = None
        self._scanned = -1

    def commits(self) -> list[TapeCommit]:
        """Return every commit on the tape, oldest first."""
        if self._known is None:
            self._known = self._read_index()
            self._scanned = self._known[-1].version if self._known else -1
        for commit in commits(self._table, after=self._scanned):
            self._scanned = commit.version
            if commit.note is not None and commit.note.tape_batch is not None:
                slices = dict(commit.rows_by_slice)
                self._known.append(TapeCommit(commit.note.tape_batch, commit.version, commit.at, commit.rows, slices))
        return self._known

    def head(self) -> Position:
        """Return the newest position; BEFORE_THE_TAPE for a tape without commits."""
        known = self.commits()
        return known[-1].position if known else BEFORE_THE_TAPE

    def position_at(self, version: int) -> Position:
        """Return the position that a Bronze version stands for: the newest batch written at or before it.

        Maintenance commits (OPTIMIZE) stand for the batch before them. Raises ReplayError for a version that does not
        exist yet.
        """
        known = self.commits()
        if version > self._scanned:
            raise ReplayError(
                f"{self.bronze} has no version {version}; its newest is {self._scanned}",
                hint=f"kappa tape {self.bronze} lists the versions.",
            )
        return next((c.position for c in reversed(known) if c.version <= version), BEFORE_THE_TAPE)

    def first_batch_from(self, version: int) -> int:
        """Return the first batch to play when starting with Bronze version `version`. Raises ReplayError."""
        if version < 0:
            raise ReplayError(f"{version} is no Bronze version", hint="0 is inception; kappa tape lists the versions.")
        return 0 if version == 0 else self.position_at(version - 1).batch + 1

    def bounded(self, position: Position, to_batch: int | None) -> Position:
        """Return a position, but none after batch `to_batch`: a validation takes in nothing behind its end."""
        if to_batch is None or position.batch <= to_batch:
            return position
        return next((c.position for c in reversed(self.commits()) if c.batch <= to_batch), BEFORE_THE_TAPE)

    def sync(self) -> None:
        """Write to the index what only the log holds. The host does so, and maintenance: they take turns."""
        with table_turn(self._index):
            last = self._last_indexed()
            fresh = [c for c in self.commits() if c.batch > last]
            if not fresh:
                return
            rows = [
                {
                    "batch": c.batch,
                    "version": c.version,
                    "at": c.at,
                    "rows": c.rows,
                    "slices": json.dumps(c.slices),
                }
                for c in fresh
            ]
            self._append(pa.Table.from_pylist(rows, schema=_SCHEMA))

    def _append(self, rows: pa.Table) -> None:
        try:
            index = DeltaTable(self._index)
        except TableNotFoundError:
            create_with_rows(self._index, rows)
        else:
            append_rows(index, self._index, rows)

    def _last_indexed(self) -> int:
        """Return the newest batch in the index, from its files' statistics: rows are not read for it."""
        try:
            actions = pa.table(DeltaTable(self._index).get_add_actions(flatten=True))
        except TableNotFoundError:
            return -1
        return max(actions.column("max.batch").to_pylist(), default=-1)

    def _read_index(self) -> list[TapeCommit]:
        try:
            rows = DeltaTable(self._index).to_pyarrow_table().sort_by("batch").to_pylist()
        except TableNotFoundError:
            return []
        return [TapeCommit(r["batch"], r["version"], r["at"], r["rows"], json.loads(r["slices"])) for r in rows]
