"""What all Golds share: they follow a Silver's change feed, and each batch rewrites the table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from kappa_assets.columns import BATCH_ID, quoted
from kappa_assets.declare.tables import Gold
from kappa_assets.errors import CommitOvertaken, TableMissing
from kappa_assets.faults import fault_point
from kappa_assets.kinds.kind import MakeQuery, Standing
from kappa_assets.kinds.query import WAIT, Setting, checkpoint_of
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import BEFORE_THE_TAPE, CommitNote, InputRange, Position
from kappa_assets.log.positions import (
    check_repeated,
    check_tiles,
    input_range,
    position_of_silver_version,
    read_bytes,
)
from kappa_assets.log.tape import Tape
from kappa_assets.logic.analysed import columns_used
from kappa_assets.names import TableName
from kappa_assets.place.change import Change, Conflict, Counts, Everything, Groups, Write
from kappa_assets.place.local.delta_write.small_files import SMALL_BATCH
from kappa_assets.place.local.pinned import read_pinned
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Generation
from kappa_assets.sources.column_names import same_name

_ONE_FILE = 64 << 20
"""Bytes up to which a Gold is kept in one file: it is rewritten whole with each batch."""


IN_PROPORTION = 4 << 20
"""Bytes from which on a Gold is written in proportion to what a batch touches. To write less anew costs no more."""
MOST_GROUPS = 10_000
"""Groups up to which a batch touches few: they are held in memory, and sent to every task."""
_TRIES = 5
"""How often a batch is made anew when files that it replaces were rewritten meanwhile."""


@dataclass(frozen=True)
class FeedBatch:
    """A micro-batch of the change feed, and what is known of it.

    Args:
        rows: of the feed, with the columns that the function uses.
        read: its range.
        ahead: the version at which groups were recomputed that hold newer rows than were read. What is in must not be
            added again: until the reading has passed that version, batches recompute the groups they touch.
        small: whether both the batch and the table are small.
        large: whether the table is so large that only what the batch touches is written.
    """

    rows: DataFrame
    read: InputRange
    ahead: int | None
    small: bool
    large: bool


@dataclass(frozen=True)
class Content:
    """What a table holds after a batch: `rows`, in the place of all that it held, or of some groups alone.

    `version`: of the upstream, at which they were recomputed, if they were.
    """

    rows: DataFrame
    version: int | None = None
    groups: Groups | None = None


class AggregateQuery(ABC):
    """The query that writes one generation of a Gold table; how its content comes about is its kind's."""

    _all_is_recomputed = False
    """Whether each batch recomputes the whole table, so that all of it is of one version of its upstream."""

    def __init__(
        self,
        setting: Setting,
        gold: Gold,
        generation: Generation,
        upstream: TableName,
        bronze: TableName,
        code_version: str,
    ) -> None:
        self._setting = setting
        self._gold = gold
        self._generation = generation
        self._code_version = code_version
        self._bronze_name = str(bronze)
        self._tape = Tape(setting.lake, bronze)
        self._silver_name = str(upstream)
        self._upstream = setting.lake.table(upstream, generation.upstream)
        self._silver = self._upstream.open()
        self._written = setting.lake.table(gold.name, generation.number)
        self._target = self._written.open()
        self._order: tuple[str, ...] = ()
        self._read = StructType()
        self._columns: list[str] = []

    @property
    def table(self) -> TableName:
        return self._gold.name

    @property
    def generation(self) -> int:
        return self._generation.number

    @property
    def upstream(self) -> StoredTable:
        return self._upstream

    @property
    def checkpoint(self) -> Checkpoint:
        return checkpoint_of(self._setting.lake, self._generation)

    @property
    def every(self) -> float:
        return self._gold.every or 0.0

    def is_ready(self) -> bool:
        return self._silver.version() > 0  # 0 is its creation: nothing to read yet

    def prepare(self) -> None:
        """Check the function's plan, and make the table with its output's columns."""
        schema = self._silver.schema()
        if schema is None:
            raise TableMissing(f"{self.table} has nothing to read yet: {self._silver_name} is not written", hint=WAIT)
        output = self._answer(self._setting.spark.createDataFrame([], schema))
        used = columns_used(output)
        self._read = schema
        needed = None if used is None else used | self._needed()
        self._columns = [name for name in schema.names if needed is None or name in needed] or schema.names[:1]
        self._order = self._ordered_by(output.schema)
        self._target = self._written.open(ordered_by=self._order)
        self._target.prepare(self._kept_as(output))
        self._target.take_over(self._write(0), self._setting.fence)

    @abstractmethod
    def _answer(self, upstream: DataFrame) -> DataFrame:
        """Return what the function makes of `upstream`, which is empty, its plan checked. Raises LogicError."""

    def _needed(self) -> frozenset[str]:
        """Return the columns of the upstream that batches are read for beside those that the function uses."""
        return frozenset()

    def _ordered_by(self, schema: StructType) -> tuple[str, ...]:  # noqa: ARG002 -- of kinds with groups
        """Return the columns by which files are in order: those that name groups; none: each batch writes all."""
        return ()

    def _kept_as(self, output: DataFrame) -> StructType:
        """Return the columns of the table, given the function's output."""
        return output.schema

    def stream(self) -> DataFrame:
        """Return the change feed, with the columns that the function uses.

        They are chosen here because Spark cannot leave a column out of what it hands to `foreachBatch`.
        """
        return self._bounded(
            self._upstream.changes(self._setting.spark, feed=True, limits=self._setting.pace.limits)
        ).select(*map(quoted, self._columns))

    def apply(self, batch: DataFrame, number: int) -> None:
        fault_point("before_offsets", str(self.table))
        since, until = self.checkpoint.delta_range(number)
        write = self._write(number)
        if self._target.is_in(write):
            check_repeated(str(self.table), self._written, self._silver_name, number, (since, until))
            return
        read = input_range(self._upstream, self._generation.upstream, since, until)
        before = self._last_note()
        check_tiles(str(self.table), None if before is None else before.reads.get(self._silver_name), read)
        size = self._target.size()
        few = read_bytes(self._upstream, read) <= SMALL_BATCH
        ahead = None if before is None else before.recomputed
        small, large = few and size <= SMALL_BATCH, bool(self._order) and size >= IN_PROPORTION
        # One partition has nothing to exchange: of a small batch, both aggregations then run in one task.
        how = FeedBatch(batch.coalesce(1) if few else batch, read, ahead, small=small, large=large)
        for _ in range(_TRIES):
            content = self._content(how)
            rows = content.rows.coalesce(1) if size < _ONE_FILE and content.groups is None else content.rows
            note = partial(self._note, number, read, content.version)
            change = Change(write, rows, note, content.groups or Everything(), small=how.small)
            if not isinstance(self._target.apply(change, self._setting.fence), Conflict):
                fault_point("after_commit", str(self.table))
                return
        raise CommitOvertaken(
            f"the files of {self.table} were rewritten {_TRIES} times while batch {number} was written",
            hint="The batch is tried again. Does somebody else optimize the table all the time? Let upkeep do it.",
        )

    @abstractmethod
    def _content(self, batch: FeedBatch) -> Content:
        """Return what the table holds after the batch."""

    def _recomputed(self, spark: SparkSession, version: int) -> Content:
        """Return the function on the upstream as of `version`, or of its newest where that is gone."""
        rows, version = self._upstream_at(spark, version)
        return Content(self._fitted(self._gold(rows)), version)

    def _few(self, batch: FeedBatch, by: tuple[str, ...], groups: DataFrame) -> Groups | None:
        """Return the groups of a batch, in columns named as `by`, where they are few of a large table; else None."""
        if not batch.large:
            return None
        found = groups.select(*map(quoted, by)).distinct().limit(MOST_GROUPS + 1).toArrow()
        return Groups(by, found) if found.num_rows <= MOST_GROUPS else None

    def _upstream_at(self, spark: SparkSession, version: int) -> tuple[DataFrame, int]:
        """Return the upstream as of `version`, or of its newest where that is gone, and which it is."""
        rows, version = read_pinned(spark, self._upstream, version)
        return self._bounded(self._complete(rows)), version

    def _complete(self, rows: DataFrame) -> DataFrame:
        """Return rows of the upstream with all its columns; those they lack are null.

        A batch lacks those that were not read, which have no effect. A version from before a column was added lacks it.
        """
        there = {same_name(name) for name in rows.columns}
        lacking = {f.name: F.lit(None).cast(f.dataType) for f in self._read if same_name(f.name) not in there}
        return rows.withColumns(lacking).select(*map(quoted, self._read.names))

    def _fitted(self, rows: DataFrame) -> DataFrame:
        """Cast freshly computed rows to the table's types: sums are kept wider than the function gives them."""
        return rows.select(*[F.col(quoted(f.name)).cast(f.dataType).alias(f.name) for f in self._schema()])

    def _current(self, spark: SparkSession) -> DataFrame:
        """Return the table as it stands."""
        return self._target.rows(spark, self._schema())

    def _schema(self) -> StructType:
        known = self._target.schema()
        if known is None:
            raise TableMissing(f"{self.table} was not prepared", hint="Start its query through the host.")
        return StructType([StructField(f.name, f.dataType, True) for f in known])

    def _bounded(self, rows: DataFrame) -> DataFrame:
        """Leave out what came on the tape after the end of a validation: its Silver may go on."""
        end = self._generation.to_batch
        return rows if end is None else rows.where(F.col(BATCH_ID) <= end)

    def _note(self, number: int, read: InputRange, version: int | None, counts: Counts) -> str:
        if version is not None and self._all_is_recomputed:
            read = replace(read, version=version)  # its content is of this version, wherever in it the reading is
        elif version is not None and version <= read.version:
            version = None  # no group is ahead of what was read
        return CommitNote(
            table=str(self.table),
            generation=self.generation,
            batch=number,
            code_version=self._code_version,
            reads={self._silver_name: read},
            position={self._bronze_name: self._position(read)},
            rows=counts.rows if counts.held is None else counts.held,
            replay=self._generation.replay,
            recomputed=version,
        ).to_json()

    def _position(self, read: InputRange) -> Position:
        reached = position_of_silver_version(self._upstream, read.version).get(self._bronze_name, BEFORE_THE_TAPE)
        return self._tape.bounded(reached, self._generation.to_batch)

    def _last_note(self) -> CommitNote | None:
        found = last_note(self._written, at_most=self._target.version())
        return None if found is None else found[1]

    def _write(self, number: int) -> Write:
        return Write(str(self.table), self.generation, "main", number)


def keys_of(gold: Gold) -> tuple[str, ...]:
    """Return the columns that tell the rows of a Gold apart."""
    return gold.keys


def made_by(query: type[AggregateQuery]) -> MakeQuery:
    """Return what makes the queries of a kind of Gold."""

    def make(setting: Setting, gold: Gold, generation: Generation, standing: Standing) -> AggregateQuery:
        tape = standing.tape.bronze
        return query(setting, gold, generation, standing.upstream, tape, standing.code_version)

    return make
