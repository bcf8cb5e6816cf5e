"""What Golds of one upstream share: they follow its change feed, and each batch rewrites what it touches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import BATCH_ID, quoted
from kappa_assets.declare.tables import Gold
from kappa_assets.kinds.judging.rewritten import noted_failures
from kappa_assets.kinds.kind import MakeQuery, Standing
from kappa_assets.kinds.query import Setting, columns_of
from kappa_assets.kinds.range_of_batch import range_in_words, range_of_batch
from kappa_assets.kinds.rewriting_query import Content, RewritingQuery, complete
from kappa_assets.log.note import BEFORE_THE_TAPE, CommitNote, InputRange, Position
from kappa_assets.log.positions import landed, positions_of_version
from kappa_assets.logic.analysed import columns_used
from kappa_assets.place.change import Counts, Groups
from kappa_assets.place.local.delta_write.small_files import SMALL_BATCH
from kappa_assets.place.local.pinned import Pinned, scan_pinned
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Generation


@dataclass(frozen=True)
class FeedBatch:
    """A micro-batch of the change feed, and what is known of it.

    Args:
        rows: of the feed, with the columns that the function uses.
        read: its range.
        ahead: the version at which groups were recomputed that hold newer rows than were read. What is in must not be
            added again: until the reading has passed that version, batches recompute the groups they touch.
        small: whether both the batch and the table are small.
        groups: those that it touches, where they are known as values.
        landed: how many rows of the feed it has; None where the log does not tell.
    """

    rows: DataFrame
    read: InputRange
    ahead: int | None
    small: bool
    groups: Groups | None = None
    landed: int | None = None


class AggregateQuery(RewritingQuery, ABC):
    """The query that writes one generation of a Gold table; how its content comes about is its kind's."""

    _all_is_recomputed = False
    """Whether each batch recomputes the whole table, so that all of it is of one version of its upstream."""
    _read_beside: tuple[str, ...] = ()
    """Columns of the change feed that batches are read with, beside those of the upstream."""

    def __init__(
        self,
        setting: Setting,
        gold: Gold,
        generation: Generation,
        standing: Standing,
    ) -> None:
        super().__init__(setting, gold, generation, standing)
        self._gold = gold
        (upstream,) = standing.upstreams
        self._upstream_name = str(upstream)
        self._upstream = setting.lake.table(upstream, generation.upstream)
        self._above = self._upstream.open()
        self._read = StructType()
        self._columns: list[str] = []

    @property
    def upstreams(self) -> tuple[StoredTable, ...]:
        return (self._upstream,)

    def is_ready(self) -> bool:
        return self._above.version() > 0  # 0 is its creation: nothing to read yet

    def prepare(self) -> None:
        """Check the function's plan, and make the table with its output's columns."""
        schema = columns_of(self._above, self.table, self._upstream_name)
        output = self._answer(self._setting.spark.createDataFrame([], schema))
        used = columns_used(output)
        self._read = schema
        needed = None if used is None else used | self._needed()
        self._columns = [name for name in schema.names if needed is None or name in needed] or schema.names[:1]
        self._order = self._ordered_by(output.schema)
        self._target = self._written.open(ordered_by=self._order, feed=self._is_read)
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
        ).select(*map(quoted, (*self._columns, *self._read_beside)))

    def apply(self, batch: DataFrame, number: int) -> None:
        write, generation = self._write(number), self._generation.upstream
        begun = range_of_batch(self, number, write, self._target, self._written, generation=generation)
        if begun is None:
            return
        read, before = begun
        came = landed(self._upstream, read)
        few = came.bytes <= SMALL_BATCH
        ahead = None if before is None else before.recomputed
        small = few and self._target.size() <= SMALL_BATCH
        # One partition has nothing to exchange: of a small batch, both aggregations then run in one task.
        how = FeedBatch(batch.coalesce(1) if few else batch, read, ahead, small=small, landed=came.rows)
        how = self._taken_in(how, number, before)
        self._rewrite(write, lambda: self._content(how), partial(self._note, number, how), small=small)

    def told_of(self, batch: DataFrame, number: int) -> str:  # noqa: ARG002 -- the port's
        return f"{range_in_words(self, number)}; its function is at {self._gold.origin}"

    def _taken_in(self, batch: FeedBatch, number: int, before: CommitNote | None) -> FeedBatch:  # noqa: ARG002
        """Return a batch, once what is kept beside the table is at its end; `before`: the table's newest note.

        Most keep nothing.
        """
        return batch

    @abstractmethod
    def _content(self, batch: FeedBatch) -> Content:
        """Return what the table holds after the batch."""

    def _recomputed(self, spark: SparkSession, version: int) -> Content:
        """Return the function on the upstream as of `version`, or of its newest where that is gone."""
        above = self._scan_upstream(spark, version)
        return Content(self._fitted(self._gold(above.rows)), above.version, scanned=above.scan)

    def _scan_upstream(self, spark: SparkSession, version: int, groups: Groups | None = None) -> Pinned:
        """Return the upstream as of `version`, or of its newest where that is gone, and what to read it opens.

        `groups`: rows of others may be left out.
        """
        above = scan_pinned(spark, self._upstream, version, groups)
        return replace(above, rows=self._bounded(self._complete(above.rows)))

    def _complete(self, rows: DataFrame) -> DataFrame:
        return complete(rows, self._read)

    def _bounded(self, rows: DataFrame) -> DataFrame:
        """Leave out what came on the tape after the end of a validation: its Silver may go on."""
        end = self._generation.to_batch
        return rows if end is None else rows.where(F.col(BATCH_ID) <= end)

    def _note(self, number: int, batch: FeedBatch, content: Content, counts: Counts) -> str:
        read, version = batch.read, content.version
        if version is not None and self._all_is_recomputed:
            read = replace(read, version=version)  # its content is of this version, wherever in it the reading is
        elif version is not None and version <= read.version:
            version = None  # no group is ahead of what was read
        return CommitNote(
            table=str(self.table),
            generation=self.generation,
            batch=number,
            code_version=self._code_version,
            reads={self._upstream_name: read},
            position=self._position(read),
            rows=counts.rows if counts.held is None else counts.held,
            replay=self._generation.replay,
            recomputed=version,
            touched=counts.touched,
            scanned=content.scanned,
            landed=batch.landed,
            **noted_failures(self._gold, counts),
        ).to_json()

    def _position(self, read: InputRange) -> dict[str, Position]:
        reached = positions_of_version(self._upstream, read.version)
        return {
            str(tape.bronze): tape.bounded(reached.get(str(tape.bronze), BEFORE_THE_TAPE), self._generation.to_batch)
            for tape in self._tapes
        }


def made_by(query: type[AggregateQuery]) -> MakeQuery:
    """Return what makes the queries of a kind of Gold."""

    def make(setting: Setting, gold: Gold, generation: Generation, standing: Standing) -> AggregateQuery:
        return query(setting, gold, generation, standing)

    return make
