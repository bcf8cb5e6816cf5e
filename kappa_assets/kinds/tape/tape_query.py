"""Bronze: what a source brings is put on the tape, each row with its address, and nothing is lost or there twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from kappa_assets.columns import ARRIVAL_DATE, OF_THE_TAPE
from kappa_assets.declare.source import DeclaredSource
from kappa_assets.declare.tables import Bronze
from kappa_assets.errors import CheckpointMismatch
from kappa_assets.faults import fault_point
from kappa_assets.kinds.query import Setting, StartAgain
from kappa_assets.kinds.tape import tape_checkpoint
from kappa_assets.kinds.tape.addressed import addressed, columns_of_all
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import newest_of_tape
from kappa_assets.log.note import IMPLAUSIBLE, RANGES, CommitNote, Position
from kappa_assets.log.tape import Tape
from kappa_assets.logic.tape_readers import Reader, TapeReaders
from kappa_assets.names import TableName
from kappa_assets.place.change import Already, Beside, Change, Counts, Write
from kappa_assets.sources.known_sources import source_of
from kappa_assets.sources.side_table import SideTable
from kappa_assets.sources.source import READ_FAILED, Batch, Given, Lost, Offsets, Range, Taken
from kappa_assets.sources.standings import Standing, are_told_apart, carried_on, standing_of

_PROPERTIES = {"delta.appendOnly": "true"}


class _TakenAgain(Exception):
    """Raised instead of committing what a source has taken otherwise meanwhile: here is what it takes now."""

    def __init__(self, taken: Taken) -> None:
        super().__init__()
        self.taken = taken


class TapeQuery:
    """The query that brings one source's rows onto a tape. A Bronze table has one generation for ever.

    `label`: which of the tape's sources it reads; None where there never was another.
    """

    generation = 1
    upstreams = ()
    every = 0.0

    def __init__(
        self,
        setting: Setting,
        bronze: Bronze,
        tape: Tape,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        *,
        source: DeclaredSource | None = None,
        readers: tuple[Reader, ...] = (),
    ) -> None:
        """`source`: which of the tape's sources it reads; None: the first. `readers`: the tables on this tape."""
        declared = source or bronze.source
        self._beside = tuple(one for one in bronze.sources if one.label != declared.label)
        self._gives = declared.gives
        self._readers = readers
        self._clock = clock
        self._setting = setting
        self._tape = tape
        self._name = declared.label
        self.table: TableName = bronze.name
        lake = setting.lake
        self._written = lake.table(bronze.name)
        self._target = self._written.open(partition_by=(ARRIVAL_DATE,), properties=_PROPERTIES)
        self._aside = SideTable(lake, bronze.name)
        self._main = Write(str(bronze.name), self.generation, "main", 0)  # whatever checkpoint numbers its batches
        self.label = self._name if are_told_apart(bronze, self._newest_note()) else None
        most = setting.pace.landed_files
        self._source = source_of(
            declared, Given(bronze.name, lake, setting.landing, self.checkpoint, most, label=self.label)
        )

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self._setting.lake.checkpoint(self.table) / self._name.replace(":", "_"))

    def is_ready(self) -> bool:
        return True

    def prepare(self) -> None:
        """See to it that the source is there, and that its checkpoint can go on or begins anew. Raises SourceError."""
        self._target.take_over(self._main, self._setting.fence)
        why = self._source.check()
        tape_checkpoint.begin_anew_if_needed(self.table, self.checkpoint, self._standing(), self._source, why)
        self._source.begin()

    def stream(self) -> DataFrame:
        standing = self._standing()
        return self._source.stream(self._setting.spark, {} if standing is None else standing.stands)

    def look(self) -> None:
        """Let the source look for what is new. Raises OSError when what it reads is not there any more."""
        self._source.look()

    def unread(self, progress: Callable[[], Mapping[str, Any]]) -> Mapping[str, int] | None:
        """Return how many records of each part of the source the tape has still to take."""
        return self._source.unread(progress)

    @property
    def may_lose(self) -> bool:
        """Whether what the tape has not read yet can be gone from its source for good."""
        return self._source.may_lose

    def lost(self) -> tuple[Standing, Lost] | None:
        """Return where the tape stands, and what its source has lost from there on.

        None where that is nothing, or is accepted already. Raises SourceError when nobody can be asked.
        """
        self._source.check()
        spark, stands = self._setting.spark, standing_of(self._newest_note(), self._name)
        if stands is None or (more := self._source.lost(spark, self._source.goes_on(stands))) is None:
            return None
        return stands, self._source.lost(spark, stands) or more

    def apply(self, batch: DataFrame, number: int) -> None:
        """Put what the source takes of a batch on the tape, once; what it refuses is set aside alone.

        Raises TapeGap for a batch that does not go on where the tape stands; nothing of it is written.
        """
        fault_point("before_offsets", str(self.table))
        if self._source.longest is not None and number >= self._source.longest:
            raise StartAgain(f"the checkpoint of {self.table} has grown to {number} batches; a new one begins")
        standing = self._standing()
        given = self._batch(batch, Offsets(self.checkpoint, number, {} if standing is None else standing.stands))
        if not tape_checkpoint.is_on_tape(number, self.checkpoint.id(), standing):
            self._put_on_tape(given)
        self._source.done(given)

    def _batch(self, rows: DataFrame, offsets: Offsets) -> Batch:
        payload = StructType([f for f in self._target.schema() or () if f.name not in OF_THE_TAPE])
        fits = TapeReaders(rows.sparkSession, self._readers, payload).wait_for
        theirs = frozenset(name for one in self._beside for name in one.gives) - self._gives.keys()
        return Batch(rows, offsets, payload, fits, theirs)

    def _put_on_tape(self, batch: Batch) -> None:
        """Commit what the source takes of a batch; what it takes otherwise once it was read is done over."""
        ranges = tape_checkpoint.next_ranges(str(self.table), self._source, batch.offsets)
        if ranges and all(one.since == one.until for one in ranges.values()):
            return
        with self._tape.next_batch() as tape_batch:
            taken = self._source.read(batch)
            if taken is None and not ranges:
                return
            todo = taken or Taken()
            while (instead := self._commit(batch, todo, tape_batch, ranges)) is not None:
                todo = instead
        fault_point("after_commit", str(self.table))

    def _standing(self) -> Standing | None:
        """Return how far the tape is with this source, what it may pass over included. Nobody else moves that."""
        return self._source.goes_on(standing_of(self._newest_note(), self._name))

    def _newest_note(self) -> CommitNote | None:
        return newest_of_tape(self._written, at_most=self._target.version())

    def _commit(self, batch: Batch, taken: Taken, tape_batch: int, ranges: Mapping[str, Range]) -> Taken | None:
        """Commit, or return what the source takes instead, once it was read: then nothing is committed."""
        try:
            self._write_and_commit(batch, taken, tape_batch, ranges)
        except _TakenAgain as meanwhile:
            return meanwhile.taken
        except READ_FAILED as error:
            instead = self._source.again(batch, taken, error)
            if instead is None:
                raise
            return instead
        return None

    def _write_and_commit(self, batch: Batch, taken: Taken, tape_batch: int, ranges: Mapping[str, Range]) -> None:
        """Write the rows, set aside what is refused, and commit: in this order. Raises _TakenAgain."""

        def set_aside() -> None:
            if (meanwhile := self._source.again(batch, taken, None)) is not None:
                raise _TakenAgain(meanwhile)
            if taken.aside:
                app = self._write(batch, "rejects").app
                self._aside.add(app, batch.offsets.number, taken.aside, source=self.label)

        known = self._target.schema()
        if known is None and taken.rows is None:
            set_aside()
            fault_point("after_rejects", str(self.table))
            return
        counted: tuple[str, ...] = ()
        if taken.rows is None:
            rows = batch.rows.sparkSession.createDataFrame([], known or StructType())
        else:
            counted = (IMPLAUSIBLE,)
            rows = addressed(taken, tape_batch, self._clock(), known or self._columns_at_first(), self.label)
            self._target.prepare(rows.drop(*counted).schema)
        small = taken.small or taken.rows is None
        change = Change(
            self._write(batch, "main"),
            rows.coalesce(1) if small else rows,
            lambda counts: self._note(batch, taken, tape_batch, ranges, counts),
            aside=Beside(set_aside),
            counted=counted,
            small=small,
        )
        if isinstance(self._target.apply(change, self._setting.fence), Already):
            raise CheckpointMismatch(
                f"batch {batch.offsets.number} of {self.table} is in by its transaction id, but no commit in the log "
                "says so",
                hint="The log was changed by hand; put back the lake and its checkpoint of one and the same moment.",
            )

    def _columns_at_first(self) -> StructType:
        """Return the columns that a new tape has from its first commit on: of all its sources."""
        return columns_of_all(self._source.columns, (self._gives, *(one.gives for one in self._beside)))

    def _note(self, batch: Batch, taken: Taken, tape_batch: int, ranges: Mapping[str, Range], counts: Counts) -> str:
        """Return the note, now that nobody else can commit: the rows' number must be the one that is due."""
        self._tape.check_is_next(tape_batch)
        source: dict[str, object] = {"name": self._name, IMPLAUSIBLE: counts.counted.get(IMPLAUSIBLE, 0)}
        if self.label is not None:
            source |= carried_on(self._newest_note(), self.label)
        if ranges:
            source[RANGES] = {part: list(one) for part, one in ranges.items()}
        return CommitNote(
            table=str(self.table),
            generation=1,
            batch=batch.offsets.number,
            code_version="",
            tape_batch=tape_batch,
            rows=counts.rows,
            position={str(self.table): Position(tape_batch, self._target.version() + 1)},
            source=source | dict(taken.facts),
            checkpoint=self.checkpoint.id(),
        ).to_json()

    def _write(self, batch: Batch, part: str) -> Write:
        """Return a write's id. A new checkpoint counts from 0 again, so it has ids of its own."""
        mine = f"{self._name}/{self.checkpoint.id()}/{part}"
        return replace(self._main, part=mine, number=batch.offsets.number)
