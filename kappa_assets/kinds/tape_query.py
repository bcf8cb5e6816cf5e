"""Bronze: what landed is put on the tape, each row with its address, and nothing is lost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pyspark.sql import DataFrame, Observation
from pyspark.sql.types import DataType, StringType, StructField, StructType

from kappa_assets.columns import (
    ARRIVAL_DATE,
    OF_THE_TAPE,
)
from kappa_assets.declare.tables import Bronze
from kappa_assets.errors import CheckpointMismatch
from kappa_assets.faults import fault_point
from kappa_assets.kinds.addressed import addressed
from kappa_assets.kinds.query import Setting, StartAgain
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import notes_back
from kappa_assets.log.note import IMPLAUSIBLE, LANDED, CommitNote, Position
from kappa_assets.log.tape import Tape
from kappa_assets.logic.tape_readers import Reader, TapeReaders
from kappa_assets.names import TableName
from kappa_assets.place.change import Write
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, WrittenFiles, write_files
from kappa_assets.place.local.delta_write.small_files import SMALL_BATCH, ResultTooLarge
from kappa_assets.place.local.local_table import LocalTable
from kappa_assets.sources.files.archive import Archive
from kappa_assets.sources.files.file_batch import (
    READ_FAILED,
    FileBatch,
    culprits,
    folder_of,
    local_paths,
    read_batch,
    stream_of_plans,
)
from kappa_assets.sources.files.inspect_files import SetAside
from kappa_assets.sources.files.landed_names import deliveries, path_below
from kappa_assets.sources.files.landing_folder import LandingFolder
from kappa_assets.sources.files.patience import Patience, written_again
from kappa_assets.sources.files.set_aside import SetAsideFiles
from kappa_assets.sources.ledger import tape_checkpoint
from kappa_assets.sources.ledger.delivery_plans import DeliveryPlans
from kappa_assets.sources.ledger.ledger import Delivery, Ledger
from kappa_assets.sources.ledger.planner import Planner

_PROPERTIES = {"delta.appendOnly": "true"}


@dataclass(frozen=True)
class _Given:
    """What a batch is to write: its number, that on the tape, the files to read, and those found damaged so far."""

    number: int
    tape_batch: int
    paths: tuple[str, ...]
    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True)
class _Written:
    """What became of a batch's files: their rows as files of the table, and how many rows were dated anew."""

    taken: FileBatch
    files: WrittenFiles = NOTHING
    implausible: int = 0


class TapeQuery:
    """The query that writes one tape. A Bronze table has one generation for ever."""

    generation = 1
    upstream = None
    every = 0.0

    def __init__(
        self,
        setting: Setting,
        bronze: Bronze,
        tape: Tape,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        *,
        readers: tuple[Reader, ...] = (),
    ) -> None:
        """`readers`: the tables that stand on this tape."""
        self._readers = readers
        self._clock = clock
        self._setting = setting
        self._bronze = bronze
        self._source = bronze.source
        self._tape = tape
        lake = setting.lake
        self._writer = DeltaWriter(
            str(bronze.name), lake.folder(bronze.name), partition_by=(ARRIVAL_DATE,), properties=_PROPERTIES
        )
        self._set_aside = SetAsideFiles(lake, bronze.name)
        self._main = Write(str(bronze.name), self.generation, "main", 0)  # whatever checkpoint numbers its batches
        self._ledger = Ledger(lake.ledger(bronze.name), self._writer.folder, lake.rejects(bronze.name))
        self._plans = DeliveryPlans(self.checkpoint)
        self._planner = Planner(
            str(bronze.name),
            setting.landing / self._source.folder,
            self._ledger,
            self._plans,
            most=setting.pace.landed_files,
            overwritten=self._source.overwritten,
            pattern=self._source.pattern,
        )

    @property
    def table(self) -> TableName:
        return self._bronze.name

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self._setting.lake.checkpoint(self.table) / self._source.label.replace(":", "_"))

    @property
    def _folder(self) -> Path:
        return folder_of(self._source, self._setting.landing)

    @property
    def _patience(self) -> Patience:
        return Patience(self.checkpoint.path / "unreadable_files.json")

    @property
    def _archive(self) -> Archive | None:
        return Archive(self._folder, self.checkpoint.path) if self._source.archive else None

    def is_ready(self) -> bool:
        return True

    def prepare(self) -> None:
        """Look into the landing folder and plan what is not on the tape; see to it that the checkpoint can go on.

        Raises SourceError.
        """
        LocalTable(self._writer).take_over(self._main, self._setting.fence)
        LandingFolder(self._folder, self.checkpoint.path).check()
        self._ledger.sync()
        if (archive := self._archive) is not None:
            archive.prepare()
            archive.move_done()
        tape_checkpoint.begin_anew_if_needed(self.table, self.checkpoint, self._newest_note())
        self._planner.begin()

    def stream(self) -> DataFrame:
        return stream_of_plans(self._setting.spark, self._plans.folder)

    def look(self) -> None:
        """Plan what has landed since the last look. Raises OSError when the landing folder cannot be read."""
        self._planner.look()

    def apply(self, batch: DataFrame, number: int) -> None:
        """Read the batch's files and append their rows; a file that breaks off is set aside alone."""
        fault_point("before_offsets", str(self.table))
        if number >= tape_checkpoint.LONGEST:
            raise StartAgain(f"the checkpoint of {self.table} has grown to {number} batches; a new one begins")
        plans, files = self._plans.read(local_paths(row.path for row in batch.collect()))
        if not tape_checkpoint.is_on_tape(number, self.checkpoint.id(), self._newest_note()):
            self._put_on_tape(batch, number, files)
        self._ledger.sync()
        self._planner.done(plans)

    def _put_on_tape(self, batch: DataFrame, number: int, files: Iterable[str]) -> None:
        """Commit the rows of those files that are there, and not on the tape."""
        folder = self._folder
        self._ledger.sync()
        found = deliveries(folder, (str(folder.absolute() / file) for file in files))
        fresh = list(self._planner.unknown(found))
        earlier = len(self._set_aside_before(set(found) - set(fresh)))
        if not fresh and not earlier:
            return
        with self._tape.next_batch() as tape_batch:
            readable = tuple(str(folder.absolute() / one.file) for one in fresh)
            written = self._write(batch, _Given(number, tape_batch, readable))
            if again := written_again(folder, fresh):
                again = self._patience.wait_for(number, again)
                sound = tuple(path for path in readable if path not in {one.file for one in again})
                written = self._write(batch, _Given(number, tape_batch, sound, again))
            aside = {path_below(folder, a.file): a.reason for a in written.taken.set_aside}
            if aside:
                self._set_aside.add(self._app("rejects"), number, aside, fresh)
            fault_point("after_rejects", str(self.table))
            if (archive := self._archive) is not None:
                archive.note(number, (one for one in fresh if one.file not in aside))
            if self._writer.exists():
                landed = {
                    "set_aside": earlier + len(aside),
                    LANDED: [list(one) for one in fresh if one.file not in aside],
                }
                self._commit(written, number, tape_batch, landed)
        fault_point("after_commit", str(self.table))

    def _set_aside_before(self, found: Iterable[Delivery]) -> set[str]:
        """Return which of these were set aside, by an earlier try of their batch: no plan names one that was."""
        known = self._ledger.find([one.file for one in found])
        return {file for file, all_known in known.items() if all(k.set_aside for k in all_known)}

    def _newest_note(self) -> CommitNote | None:
        """Return the note of the tape's newest batch. The log is not listed for it."""
        notes = notes_back(self._writer.folder, at_most=self._writer.version())
        return next((note for _, note in notes if note.tape_batch is not None), None)

    def _write(self, batch: DataFrame, given: _Given, *, small: bool = True) -> _Written:
        """Write the rows of the readable files. A read that fails is tried again without the damaged files.

        Raises SourceError while files cannot be read that may be readable later.
        """
        paths, aside = given.paths, given.set_aside
        known = self._writer.schema()
        held = StructType([f for f in known or () if f.name not in OF_THE_TAPE])
        payload: dict[str, DataType | None] = dict.fromkeys(self._source.columns)
        payload |= {f.name: f.dataType for f in held}
        readers = TapeReaders(batch.sparkSession, self._readers, held)
        suspects = paths
        try:
            taken = read_batch(batch.sparkSession, self._source, paths, payload, readers.wait_for, folder=self._folder)
            taken = replace(taken, set_aside=self._patience.wait_for(given.number, (*aside, *taken.set_aside)))
            if taken.rows is None:
                return _Written(taken)
            suspects = taken.files
            implausible = Observation()
            declared = known or StructType([StructField(c, StringType()) for c in self._source.columns])
            rows = addressed(taken.rows, given.tape_batch, self._clock(), declared, implausible)
            self._writer.prepare(rows.schema)
            small = small and _unpacked_size(suspects) <= SMALL_BATCH
            rows = rows.coalesce(1) if small else rows
            written = write_files(rows, self._writer.folder, self._writer.partition_by, small=small, observed=True)
        except ResultTooLarge:
            return self._write(batch, given, small=False)
        except READ_FAILED as error:
            damaged = culprits(batch.sparkSession, self._source, suspects, error)
            sound = tuple(sorted(set(paths) - {d.file for d in damaged}))
            return self._write(batch, replace(given, paths=sound, set_aside=(*aside, *damaged)), small=small)
        return _Written(taken, written, implausible.get["rows"])

    def _commit(self, written: _Written, number: int, tape_batch: int, landed: Mapping[str, object]) -> None:
        note = CommitNote(
            table=str(self.table),
            generation=1,
            batch=number,
            code_version="",
            tape_batch=tape_batch,
            rows=written.files.rows,
            source={
                "name": self._source.label,
                "files": len(written.taken.files),
                IMPLAUSIBLE: written.implausible,
                **landed,
            },
            checkpoint=self.checkpoint.id(),
        )

        def placed() -> str:
            """Return the note once nobody else can commit: the rows' number must be the one that is due."""
            self._tape.check_is_next(tape_batch)
            position = {str(self.table): Position(tape_batch, self._writer.version() + 1)}
            return replace(note, position=position).to_json()

        once = Once(self._app("main"), number, *self._main.fence(self._setting.fence))
        if self._writer.commit(written.files, once, placed) is None:
            raise CheckpointMismatch(
                f"batch {number} of {self.table} is in by its transaction id, but no commit in the log says so",
                hint="The log was changed by hand; put back the lake and its checkpoint of one and the same moment.",
            )

    def _app(self, write: str) -> str:
        """Return a transaction's id. A new checkpoint counts from 0 again, so it has ids of its own."""
        return replace(self._main, part=f"{self._source.label}/{self.checkpoint.id()}/{write}").app


def _unpacked_size(paths: Iterable[str]) -> int:
    """Return about how many bytes landed files hold: text packs ten to one."""
    return sum(Path(path).stat().st_size * (10 if path.endswith(".gz") else 1) for path in paths)
