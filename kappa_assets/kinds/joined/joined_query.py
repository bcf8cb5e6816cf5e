"""A table of several upstreams: the groups that their changes touch are recomputed, all of them read at one vector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import BATCH_ID, quoted
from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.faults import fault_point
from kappa_assets.kinds.joined.in_words import joined_in_words, whole_in_words
from kappa_assets.kinds.joined.vector import Reading, Upstream, Upstreams, Vector
from kappa_assets.kinds.joined.vector_plans import VectorPlans
from kappa_assets.kinds.judging.rewritten import noted_failures
from kappa_assets.kinds.kind import Kind, Standing
from kappa_assets.kinds.query import Setting, StartAgain, columns_of
from kappa_assets.kinds.rewriting_query import (
    MOST_GROUPS,
    Content,
    RewritingQuery,
    complete,
    is_left_in_part,
    keys_of,
    ordered,
)
from kappa_assets.kinds.touched import all_of_joined, recomputed_joined, semi_join, telling_what_is_mixed
from kappa_assets.log.note import CommitNote, InputRange
from kappa_assets.logic.logic_check import check_joined, check_whole
from kappa_assets.logic.verdict import Verdict
from kappa_assets.place.change import Counts, Groups, Write
from kappa_assets.place.local.pinned import read_pinned
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Generation, Registry
from kappa_assets.sources.source import READ_FAILED

log = logging.getLogger("kappa_assets.host")

_LONGEST = 2_000
"""Batches after which a checkpoint begins anew: Spark's list of plans grows with each."""


class _GoneMeanwhile(Exception):
    """Raised where a version of an upstream, or a change in it, cannot be read any more."""


class WholeOfSeveralQuery(RewritingQuery):
    """The query of a table of several upstreams that is computed anew at each vector.

    What is in is told by the vector in the newest note. So a checkpoint that is lost, or another lake's, loses nothing:
    it numbers tries, and a new one begins where the table stands.
    """

    def __init__(self, setting: Setting, table: Gold | Silver, generation: Generation, standing: Standing) -> None:
        super().__init__(setting, table, generation, standing)
        read = [(name, generation.generation_of(name)) for name in standing.upstreams]
        state = Registry(setting.lake).state()
        upstreams = tuple(
            Upstream(name, number, setting.lake.table(name, number), name in standing.sliced, state.ends(name, number))
            for name, number in read
        )
        self._upstreams = Upstreams(setting.lake, standing.tapes, upstreams)
        self._above = tuple(upstream.table.open() for upstream in upstreams)
        self._schemas: tuple[StructType, ...] = ()
        self._plans = VectorPlans(self._upstreams, self.checkpoint, self._taken)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the plans out, which threads of this process share: another makes its own."""
        return {name: value for name, value in vars(self).items() if name != "_plans"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._plans = VectorPlans(self._upstreams, self.checkpoint, self._taken)

    @property
    def upstreams(self) -> tuple[StoredTable, ...]:
        return tuple(upstream.table for upstream in self._upstreams.upstreams)

    def is_ready(self) -> bool:
        return all((table.newest() or 0) > 0 for table in self.upstreams)  # 0 is its creation: nothing to read yet

    def waits(self) -> bool:
        """Return whether an upstream is ahead of what all of them have in common."""
        return self._plans.leaves_something

    def look(self) -> None:
        """Plan what the upstreams have brought."""
        self._plans.look()

    def prepare(self) -> None:
        """Check the function's plan, make the table with its output's columns, and plan what there is."""
        spark = self._setting.spark
        self._schemas = self._schemas_now()
        output = self._answer(*[spark.createDataFrame([], schema) for schema in self._schemas])
        self._target = self._written.open(
            ordered_by=self._order, feed=self._is_read or isinstance(self._declared, Silver)
        )
        self._target.prepare(output.schema)
        self._target.take_over(self._write(0), self._setting.fence)
        self._begin_anew_if_needed()
        self._plans.begin()

    def stream(self) -> DataFrame:
        return self._plans.stream(self._setting.spark)

    def apply(self, batch: DataFrame, number: int) -> None:
        """Bring the table to the vector that is planned for a batch, in one commit.

        Raises GroupsMixed where the function gives rows of foreign groups, or a key twice.
        """
        fault_point("before_offsets", str(self.table))
        if number >= _LONGEST:
            raise StartAgain(f"the checkpoint of {self.table} has grown to {number} batches; a new one begins")
        if self._schemas_now() != self._schemas:  # a function that passes all columns on gives others now
            raise StartAgain(f"an upstream of {self.table} has other columns than when its query started")
        numbers, vector = self._plans.of(batch)
        write = Write(str(self.table), self.generation, f"main/{self.checkpoint.id()}", number)
        if not self._target.is_in(write) and self._upstreams.brings_more(vector, self._taken()):
            with telling_what_is_mixed(self._declared, leave_out="by"):
                self._bring_to(vector, write, batch.sparkSession)
        self._plans.done(numbers)

    def told_of(self, batch: DataFrame, number: int) -> str:  # noqa: ARG002 -- the port's
        _, vector = self._plans.of(batch)
        parts = ", ".join(f"{name} up to version {part.version}" for name, part in vector.parts.items())
        return f"{parts}; its function is at {self._declared.origin}"

    def _answer(self, *upstreams: DataFrame) -> DataFrame:
        """Return what the function makes of its upstreams, which are empty, its plan checked. Raises LogicError."""
        assert isinstance(self._declared, Gold)  # noqa: S101 -- for mypy; a Silver of several has groups, or is refused
        return check_whole(self._declared, *upstreams).rows

    def _bring_to(self, vector: Vector, write: Write, spark: SparkSession) -> None:
        try:
            self._commit(vector, write, spark)
        except _GoneMeanwhile as gone:
            newest = self._upstreams.newest()
            if newest is None:
                raise StartAgain(f"{self.table} waits until its upstreams have a position in common: {gone}") from gone
            log.warning("%s is computed anew, all of it: %s", self.table, gone)
            self._commit(newest, write, spark, anew=True)

    def _commit(self, vector: Vector, write: Write, spark: SparkSession, *, anew: bool = False) -> None:
        reading = Reading(vector, self._taken(), write.number)
        follows = not anew and {str(upstream.name) for upstream in self._upstreams.upstreams} <= reading.taken.keys()
        content = (self._following if follows else self._anew)(spark, reading)
        self._rewrite(write, content, partial(self._note, reading), small=False)

    def _anew(self, spark: SparkSession, reading: Reading) -> partial[Content]:
        """Return what gives the table's content from all rows at a vector. Raises _GoneMeanwhile."""
        return partial(self._everything, self._all_rows(spark, reading.vector))

    def _following(self, spark: SparkSession, reading: Reading) -> partial[Content]:
        """Return what gives the table's content after the changes since the last vector. Raises _GoneMeanwhile."""
        return self._anew(spark, reading)

    def _everything(self, rows: tuple[DataFrame, ...]) -> Content:
        return Content(self._fitted(self._declared(*rows)))

    def _all_rows(self, spark: SparkSession, vector: Vector) -> tuple[DataFrame, ...]:
        return tuple(self._rows(spark, upstream, vector) for upstream in self._upstreams.upstreams)

    def _rows(self, spark: SparkSession, upstream: Upstream, vector: Vector) -> DataFrame:
        part = vector.parts[str(upstream.name)]
        rows, version = read_pinned(spark, upstream.table, part.version)
        if version != part.version and part.batch is None:
            raise _GoneMeanwhile(f"version {part.version} of {upstream.name} cannot be read any more")
        rows = rows if part.batch is None else rows.where(F.col(BATCH_ID) <= part.batch)
        return self._completed(rows, upstream)

    def _completed(self, rows: DataFrame, upstream: Upstream) -> DataFrame:
        return complete(rows, self._schemas[self._upstreams.upstreams.index(upstream)])

    def _taken(self) -> Mapping[str, InputRange]:
        before = self._last_note()
        return {} if before is None else before.reads

    def _schemas_now(self) -> tuple[StructType, ...]:
        both = zip(self._above, self._upstreams.upstreams, strict=True)
        return tuple(columns_of(above, self.table, upstream.name) for above, upstream in both)

    def _begin_anew_if_needed(self) -> None:
        begun = self.checkpoint.newest_begun()
        if begun is not None and (begun >= _LONGEST or self._plans.were_moved()):
            log.info(
                "the checkpoint of %s is put aside at %r, and a new one begins", self.table, self.checkpoint.retire()
            )

    def _note(self, reading: Reading, _: Content, counts: Counts) -> str:
        return replace(
            self._read_by(reading),
            rows=counts.rows if counts.held is None else counts.held,
            touched=counts.touched,
            **noted_failures(self._declared, counts),
        ).to_json()

    def _read_by(self, reading: Reading) -> CommitNote:
        """Return what a commit says of what it has read."""
        return CommitNote(
            table=str(self.table),
            generation=self.generation,
            batch=reading.number,
            code_version=self._code_version,
            reads=reading.ranges,
            position=reading.vector.position,
            replay=self._generation.replay,
        )


class JoinedQuery(WholeOfSeveralQuery):
    """The query of a table whose declaration names its groups in each upstream: touched ones are recomputed alone."""

    _verdict: Verdict

    def _answer(self, *upstreams: DataFrame) -> DataFrame:
        answer = check_joined(self._declared, *upstreams, unique=self._unique)
        assert answer.groups is not None  # noqa: S101 -- for mypy; such a table has groups, or is refused
        self._verdict = answer.groups
        self._order = ordered(self._verdict.by, answer.rows.schema)
        return answer.rows

    def _following(self, spark: SparkSession, reading: Reading) -> partial[Content]:
        feeds = self._feeds(spark, reading)
        return partial(self._of_groups, self._all_rows(spark, reading.vector), feeds, self._as_values)

    def _of_groups(
        self,
        rows: tuple[DataFrame, ...],
        feeds: Sequence[DataFrame | None],
        few: Callable[[DataFrame], Groups | None],
    ) -> Content:
        """Return the function on the rows of the touched groups, in the place of these groups."""
        answer, touched, groups = recomputed_joined(self._declared, self._verdict, feeds, rows, small=False, few=few)
        answer = self._fitted(answer)
        if groups is not None and is_left_in_part(self._order, self._target.size()):
            return Content(answer, groups=groups)
        by = self._verdict.by
        stay = semi_join(self._current(touched.sparkSession), touched, by, by, "left_anti")
        return Content(stay.select(*map(quoted, answer.columns)).unionByName(answer))

    def _as_values(self, touched: DataFrame) -> Groups | None:
        """Return touched groups as values where they are few. Read at once: what is lost of a feed shows here."""
        try:
            found = touched.distinct().limit(MOST_GROUPS + 1).toArrow()
        except READ_FAILED as error:
            raise _GoneMeanwhile(f"the changes of an upstream cannot be read any more: {error}") from error
        return Groups(self._verdict.by, found) if found.num_rows <= MOST_GROUPS else None

    def _everything(self, rows: tuple[DataFrame, ...]) -> Content:
        return Content(self._fitted(all_of_joined(self._declared, self._verdict, rows)))

    def _feeds(self, spark: SparkSession, reading: Reading) -> list[DataFrame | None]:
        """Return all images of what changed in each upstream since the last vector; None where nothing did."""
        return [self._feed(spark, upstream, reading) for upstream in self._upstreams.upstreams]

    def _feed(self, spark: SparkSession, upstream: Upstream, reading: Reading) -> DataFrame | None:
        part, taken = reading.of(upstream)
        try:
            images = upstream.table.changes_between(spark, taken.version, part.version)
        except READ_FAILED as error:
            raise _GoneMeanwhile(f"the changes of {upstream.name} cannot be read any more: {error}") from error
        # Of a commit that holds batches on both sides of the cut some rows are read now, and later all of it once more.
        cut = images if images is None or part.batch is None else images.where(F.col(BATCH_ID) <= part.batch)
        return None if cut is None else self._completed(cut, upstream)


def _unique_by(table: Gold | Silver) -> tuple[str, ...]:
    """Return the keys of a Gold, which hold its groups. Those of a Silver tell rows of one group apart alone."""
    return table.keys if isinstance(table, Gold) else ()


JOINED = Kind("joined", JoinedQuery, check_joined, keys_of, _unique_by, explain=joined_in_words)
"""The groups that changes of its upstreams touch are computed anew."""
WHOLE_OF_SEVERAL = Kind("whole", WholeOfSeveralQuery, check_whole, keys_of, explain=whole_in_words)
"""All of it is computed anew at each vector of its upstreams."""
