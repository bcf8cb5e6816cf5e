"""A table of several upstreams that is computed anew at each vector of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from kappa_assets.declare.tables import Gold, Silver
from kappa_assets.errors import TapeGap
from kappa_assets.faults import fault_point
from kappa_assets.kinds.joined.in_words import whole_in_words
from kappa_assets.kinds.joined.vector import Reading, Upstream, Upstreams, Vector
from kappa_assets.kinds.joined.vector_plans import VectorPlans
from kappa_assets.kinds.judging.rewritten import noted_failures
from kappa_assets.kinds.kind import Kind, Standing
from kappa_assets.kinds.query import Setting, StartAgain, columns_of
from kappa_assets.kinds.rewriting_query import Content, RewritingQuery, complete, keys_of
from kappa_assets.kinds.touched import telling_what_is_mixed
from kappa_assets.log.note import CommitNote, InputRange
from kappa_assets.log.positions import landed
from kappa_assets.logic.logic_check import check_whole
from kappa_assets.place.change import Counts, Groups, Scan, Write, sum_of_known
from kappa_assets.place.local.pinned import Pinned, scan_pinned
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Generation, Registry

log = logging.getLogger("kappa_assets.host")

_LONGEST = 2_000
"""Batches after which a checkpoint begins anew: Spark's list of plans grows with each."""


class GoneMeanwhile(Exception):
    """Raised where a version of an upstream, or a change in it, cannot be read any more."""


@dataclass(frozen=True)
class Inputs:
    """The rows of each upstream from which a table is computed, and what to read them opens; None: not known."""

    rows: tuple[DataFrame, ...]
    scan: Scan | None


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
        except GoneMeanwhile as gone:
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
        """Return what gives the table's content from all rows at a vector. Raises GoneMeanwhile."""
        return partial(self._everything, self._all_rows(spark, reading))

    def _following(self, spark: SparkSession, reading: Reading) -> partial[Content]:
        """Return what gives the table's content after the changes since the last vector. Raises GoneMeanwhile."""
        return self._anew(spark, reading)

    def _everything(self, inputs: Inputs) -> Content:
        return Content(self._fitted(self._declared(*inputs.rows)), scanned=inputs.scan)

    def _all_rows(self, spark: SparkSession, reading: Reading, groups: Sequence[Groups | None] = ()) -> Inputs:
        """Return the rows of all upstreams at a vector; of `groups`, where there are some, others may be left out."""
        wanted = groups or [None] * len(self._above)
        read = [self._read(spark, *one, reading) for one in zip(self._upstreams.upstreams, wanted, strict=True)]
        return Inputs(tuple(one.rows for one in read), Scan.all_of(*(one.scan for one in read)))

    def _read(self, spark: SparkSession, upstream: Upstream, groups: Groups | None, reading: Reading) -> Pinned:
        part = reading.vector.parts[str(upstream.name)]
        read = scan_pinned(spark, upstream.table, part.version, groups)
        if read.version != part.version and part.batch is None:
            raise GoneMeanwhile(f"version {part.version} of {upstream.name} cannot be read any more")
        return replace(read, rows=self._completed(part.cut(read.rows), upstream))

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

    def _note(self, reading: Reading, content: Content, counts: Counts) -> str:
        came = [_came(upstream, reading) for upstream in self._upstreams.upstreams]
        return replace(
            self._read_by(reading),
            rows=counts.rows if counts.held is None else counts.held,
            touched=counts.touched,
            scanned=content.scanned,
            landed=sum_of_known(came),
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


def _came(upstream: Upstream, reading: Reading) -> int | None:
    """Return how many rows came of an upstream; None where its log does not tell, or has lost what it told."""
    try:
        return landed(upstream.table, reading.ranges[str(upstream.name)]).rows
    except TapeGap:  # the batch was computed from all rows of a version
        return None


WHOLE_OF_SEVERAL = Kind("whole", WholeOfSeveralQuery, check_whole, keys_of, explain=whole_in_words)
"""All of it is computed anew at each vector of its upstreams."""
