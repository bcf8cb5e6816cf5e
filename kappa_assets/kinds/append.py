"""Silver, row by row: the function on each batch of the tape, appended; failed rows go aside first."""

from __future__ import annotations

import json
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kappa_assets.columns import ADDRESS, ARRIVAL_DATE, BATCH_ID
from kappa_assets.declare.tables import Silver
from kappa_assets.faults import fault_point
from kappa_assets.kinds.judging.lateness import reasons
from kappa_assets.kinds.judging.verdicts import SET_ASIDE, noted, refuse_failed, set_aside, with_verdicts
from kappa_assets.kinds.kind import Explanation, Kind, Standing
from kappa_assets.kinds.query import Setting, StartAgain, checkpoint_of, columns_of
from kappa_assets.kinds.range_of_batch import range_in_words, range_of_batch
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.note import CommitNote, InputRange
from kappa_assets.log.positions import (
    position_of_bronze_version,
    read_bytes,
)
from kappa_assets.log.tape import Tape
from kappa_assets.logic.logic_check import Answer, check_row_by_row, text_casts
from kappa_assets.logic.time_of_day import with_days
from kappa_assets.names import TableName
from kappa_assets.place.change import Change, Counts, Write
from kappa_assets.place.local.delta_write.small_files import SMALL_BATCH
from kappa_assets.place.port import OpenTable, StoredTable
from kappa_assets.place.registry import Generation

PROPERTIES = {"delta.enableChangeDataFeed": "true"}


class AppendQuery:
    """The query that writes one generation of a row-by-row Silver."""

    every = 0.0

    def __init__(self, setting: Setting, silver: Silver, generation: Generation, tape: Tape, code_version: str) -> None:
        self._setting = setting
        self._silver = silver
        self._generation = generation
        self._tape = tape
        self._code_version = code_version
        self._first_slice: str | None = None
        self._sliced = -1  # the Bronze version up to which `_first_slice` is known to hold
        self._times: frozenset[str] = frozenset()
        lake = setting.lake
        self._upstream = lake.table(tape.bronze)
        self._bronze = self._upstream.open()
        self._written = lake.table(silver.name, generation.number)
        self._target = open_silver(setting, silver.name, generation.number)

    @property
    def table(self) -> TableName:
        return self._silver.name

    @property
    def generation(self) -> int:
        return self._generation.number

    @property
    def upstreams(self) -> tuple[StoredTable, ...]:
        return (self._upstream,)

    @property
    def checkpoint(self) -> Checkpoint:
        return checkpoint_of(self._setting.lake, self._generation)

    @property
    def limits(self) -> dict[str, str]:
        """What a batch takes of the tape at most."""
        return self._setting.pace.limits

    def is_ready(self) -> bool:
        return self._bronze.version() > 0  # 0 is its creation: nothing to read yet

    def prepare(self) -> None:
        """Check the function's plan, and make the table with its output's columns."""
        schema = columns_of(self._bronze, self.table, self._tape.bronze)
        empty = self._setting.spark.createDataFrame([], schema)
        output = check_row_by_row(self._silver, empty).rows
        self._times = text_casts(self._silver, empty)
        self._target.prepare(output.schema)
        self._target.take_over(self._write(0), self._setting.fence)

    def stream(self) -> DataFrame:
        stream = self._upstream.changes(self._setting.spark, feed=False, limits=self.limits)
        start, end = self._generation.from_batch, self._generation.to_batch
        self._first_slice = self._oldest_slice_since(start) if start else None
        if self._first_slice is not None:  # prunes files; `_batch_id` alone would have the whole tape opened
            stream = stream.where(F.col(ARRIVAL_DATE) >= F.lit(self._first_slice).cast("date"))
        stream = stream.where(F.col(BATCH_ID) >= start) if start else stream
        return stream if end is None else stream.where(F.col(BATCH_ID) <= end)

    def apply(self, batch: DataFrame, number: int) -> None:
        write = self._write(number)
        begun = range_of_batch(self, number, write, self._target, self._written)
        if begun is None:
            return
        read, _ = begun
        self._check_slices(read)
        size = read_bytes(self._upstream, read)
        small = size <= SMALL_BATCH
        rows = self._silver(with_days(batch.coalesce(1) if small else batch, self._times))
        self._target.prepare(rows.schema)
        judged, counted = with_verdicts(self._silver, self.judged(rows, read, size=size))
        told = json.dumps({"table": str(self.table), "generation": self.generation, "batch": number})
        change = Change(
            write,
            judged,
            partial(self._note, number, read),
            aside=set_aside(self._silver, self.generation, number, told),
            counted=counted,
            check=partial(refuse_failed, self._silver, self._tape.bronze, judged),
            small=small,
        )
        self._target.apply(change, self._setting.fence)
        fault_point("after_commit", str(self.table))

    def told_of(self, batch: DataFrame, number: int) -> str:  # noqa: ARG002 -- the port's
        return f"{range_in_words(self, number)}; its function is at {self._silver.origin}"

    def judged(self, rows: DataFrame, read: InputRange, *, size: float) -> DataFrame:  # noqa: ARG002 -- of other kinds
        """Return what the function gave of a batch, with what else than the rows themselves tells of them.

        `size`: the bytes of the tape that the batch has read.
        """
        return rows

    def _note(self, number: int, read: InputRange, counts: Counts) -> str:
        position = position_of_bronze_version(self._tape, read.version)
        position = self._tape.bounded(position, self._generation.to_batch)
        return CommitNote(
            table=str(self.table),
            generation=self.generation,
            batch=number,
            code_version=self._code_version,
            reads={str(self._tape.bronze): read},
            position={str(self._tape.bronze): position},
            rows=counts.rows,
            **noted(self._silver, counts),
            replay=self._generation.replay,
        ).to_json()

    def _oldest_slice_since(self, start: int) -> str | None:
        """Return the oldest slice that the tape's batches from `start` on touch; None when the tape's past is read."""
        offset = self.checkpoint.newest_offset()
        if offset is not None and not offset.starting:
            return None
        taken = self._tape.commits(start)
        self._sliced = taken[-1].version if taken else -1
        return min((day for c in taken for day in c.slices), default=None)

    def _check_slices(self, read: InputRange) -> None:
        """Have the query start again when rows of an older slice have landed since: its filter would lose them."""
        first, start = self._first_slice, self._generation.from_batch
        if first is None:
            return
        taken = [c for c in self._tape.commits(start, after=self._sliced) if c.version <= read.until.version]
        if any(day < first for c in taken for day in c.slices):
            raise StartAgain(f"{self.table} was started on slices from {first} on; older ones have landed since")
        self._sliced = taken[-1].version if taken else self._sliced

    def _write(self, number: int) -> Write:
        return Write(str(self.table), self.generation, "main", number)


def _query(setting: Setting, silver: Silver, generation: Generation, standing: Standing) -> AppendQuery:
    return AppendQuery(setting, silver, generation, standing.tapes[0], standing.code_version)


def _address(silver: Silver) -> tuple[str, ...]:  # noqa: ARG001 -- the same of each
    return ADDRESS


def explained(silver: Silver, upstream: str, answer: Answer | None) -> Explanation:  # noqa: ARG001 -- no plan tells more
    """Say in words how a batch is applied."""
    failed = ", ".join(e.name for e in silver.expectations if e.on_fail in SET_ASIDE)
    apart = [*(f"are {name}" for name in reasons(silver.late, *SET_ASIDE)), *([f"fail {failed}"] if failed else [])]
    aside = f" Rows that {' or '.join(apart)} are set aside, in a commit before." if apart else ""
    return Explanation(
        f"The function is called with the rows of the batch, and what it gives is added.{aside}",
        f"The rows of the batch, and no others of {upstream}.",
        "Nothing of it is read. A batch adds a file for each day of arrival that it has rows of; upkeep merges them.",
    )


APPEND = Kind(
    "append",
    _query,
    check_row_by_row,
    _address,
    _address,
    keeps_addresses=True,
    repairable=True,
    keeps_rows=True,
    sets_aside=True,
    explain=explained,
)
"""Row by row: what the function gives of a batch is added."""


def open_silver(setting: Setting, table: TableName, generation: int) -> OpenTable:
    """Return one generation of a Silver table held open, to be written."""
    lake = setting.lake
    beside = lake.set_aside(table)
    return lake.table(table, generation).open(partition_by=(ARRIVAL_DATE,), properties=PROPERTIES, beside=beside)
