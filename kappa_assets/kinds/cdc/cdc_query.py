"""Silver with cdc: changes are merged into a state, and the table shows what the state of the touched keys leads to.

Two commits for each batch, the state's first. Both can be repeated: the state keeps maxima of sets of changes, and what
the table shows is a function of the state.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from kappa_assets.columns import BATCH_ID
from kappa_assets.declare.tables import Silver
from kappa_assets.errors import TooManyDeleted
from kappa_assets.kinds.cdc.check import check_cdc, check_changes
from kappa_assets.kinds.cdc.forgetting import forgetting, without_old_deletes
from kappa_assets.kinds.cdc.in_words import cdc_in_words
from kappa_assets.kinds.cdc.judged import Judged, judged, taken_of
from kappa_assets.kinds.cdc.merging import TRUNCATES, marked, merged, shown, touches
from kappa_assets.kinds.cdc.snapshots import deleted
from kappa_assets.kinds.cdc.state import AGES, changes_kept
from kappa_assets.kinds.kept_rows import with_counts
from kappa_assets.kinds.kind import Kind, Standing
from kappa_assets.kinds.query import Setting, columns_of
from kappa_assets.kinds.range_of_batch import range_in_words, range_of_batch
from kappa_assets.kinds.rewriting_query import IN_PROPORTION, Content, RewritingQuery, few_groups, ordered
from kappa_assets.log.note import CommitNote, InputRange
from kappa_assets.log.positions import (
    holds_all_read,
    position_of_bronze_version,
    read_bytes,
)
from kappa_assets.logic.logic_check import text_casts
from kappa_assets.logic.time_of_day import with_days
from kappa_assets.place.change import Groups
from kappa_assets.place.local.delta_write.small_files import SMALL_BATCH
from kappa_assets.place.local.pinned import read_pinned
from kappa_assets.place.port import StoredTable
from kappa_assets.place.registry import Generation

log = logging.getLogger("kappa_assets.host")


class CdcQuery(RewritingQuery):
    """The query that writes one generation of a Silver whose function gives changes."""

    _judges_what_is_written = False  # but the changes

    def __init__(self, setting: Setting, silver: Silver, generation: Generation, standing: Standing) -> None:
        super().__init__(setting, silver, generation, standing)
        assert silver.cdc is not None  # noqa: S101 -- for mypy; a table of this kind has it
        self._silver, self._cdc = silver, silver.cdc
        (self._tape,) = standing.tapes
        lake, name = setting.lake, silver.name
        self._upstream = lake.table(self._tape.bronze)
        self._bronze = self._upstream.open()
        self._side = lake.set_aside(name).open()
        self._kept = changes_kept(lake.state_of(name, self.generation), silver, self.generation)
        self._times: frozenset[str] = frozenset()

    @property
    def upstreams(self) -> tuple[StoredTable, ...]:
        return (self._upstream,)

    def is_ready(self) -> bool:
        return self._bronze.version() > 0  # 0 is its creation: nothing to read yet

    def prepare(self) -> None:
        """Check the function's plan, and make the table with what is shown of its output, and the state."""
        schema = columns_of(self._bronze, self.table, self._tape.bronze)
        empty = self._setting.spark.createDataFrame([], schema)
        changes, _ = check_changes(self._silver, empty)
        self._times = text_casts(self._silver, empty)
        self._order = ordered(self._cdc.keys, changes.schema)
        lake, name = self._setting.lake, self._silver.name
        # Others may follow it when they come, without its being built anew.
        self._target = self._written.open(ordered_by=self._order, feed=True, beside=lake.set_aside(name))
        self._kept = changes_kept(lake.state_of(name, self.generation), self._silver, self.generation, self._order)
        self._widen(changes)
        self._target.take_over(self._write(0), self._setting.fence)

    def stream(self) -> DataFrame:
        stream = self._upstream.changes(self._setting.spark, feed=False, limits=self._setting.pace.limits)
        return self._bounded(stream)

    def apply(self, batch: DataFrame, number: int) -> None:
        begun = range_of_batch(self, number, self._write(number), self._target, self._written)
        if begun is None:
            return
        read, before = begun
        small = read_bytes(self._upstream, read) <= SMALL_BATCH
        rows = self._silver(with_days(batch.coalesce(1) if small else batch, self._times))
        self._widen(rows)
        with judged(self._silver, rows) as changes:
            changes.refuse(self._tape.bronze)
            self._refuse_deletes(changes, read, number, before)
            changes.set_aside(self._side, self.generation, number, self._setting.fence, small=small)
            self._take(changes, read, number, before, small=small and self._kept.size() <= SMALL_BATCH)

    def told_of(self, batch: DataFrame, number: int) -> str:  # noqa: ARG002 -- the port's
        return f"{range_in_words(self, number)}; its function is at {self._silver.origin}"

    def _refuse_deletes(self, batch: Judged, read: InputRange, number: int, before: CommitNote | None) -> None:
        """Raise TooManyDeleted where a batch that is not taken in yet would take too many keys from the table."""
        share = self._cdc.max_deleted
        if share is None or before is None or self._kept.has_taken({str(self._tape.bronze): read}):
            return
        spark, changes, anew = batch.changes.sparkSession, marked(self._cdc, batch.changes), False
        if not self._kept.goes_with(before):
            (changes, _), anew = self._all_there_is(spark, read), True
        shows = shown(self._cdc, self._merged(changes, None, anew=anew).rows)
        gone, there = deleted(shows, self._current(spark), self._cdc)
        if gone > share * there:
            raise TooManyDeleted(
                f"{self.table} would lose {gone:,} of {there:,} keys by its batch {number}, which is more than "
                f"max_deleted={100 * share:.6g} %",
                hint=f"Nothing of the batch is written. Where its snapshot is right, raise max_deleted at "
                f"{self._silver.origin} and start the stream again: it goes on there. Where it is not, replay the "
                "table with a function that leaves it out.",
            )

    def _take(self, batch: Judged, read: InputRange, number: int, before: CommitNote | None, *, small: bool) -> None:
        """Bring the state to the end of a batch, where it is not there yet, and then the table."""
        spark, changes = batch.changes.sparkSession, marked(self._cdc, batch.changes)
        note = self._noted(read, number)
        taken = self._kept.has_taken({str(self._tape.bronze): read})
        anew = not taken and not self._kept.goes_with(before)
        groups = None if anew else self._groups(changes)
        if anew:
            changes, ahead = self._all_there_is(spark, read)
        else:
            ahead = self._kept.ahead_of(read)
        note = replace(note, recomputed=ahead)
        if not taken:
            self._keep(changes, groups, note, self._size(read), anew=anew, small=small)
        facts = batch.facts()
        self._rewrite(
            self._write(number),
            lambda: self._shown(spark, groups),
            lambda _, counts: with_counts(replace(note, **facts), counts),
            coming=self._size(read),
            small=small,
        )

    def _keep(
        self, changes: DataFrame, groups: Groups | None, note: CommitNote, coming: int, *, anew: bool, small: bool
    ) -> None:
        """Bring changes into the state; all that it keeps is looked through where old deletes are to be forgotten."""
        span, fence = self._cdc.forget_deletes, self._setting.fence
        if span is None:
            self._kept.put(lambda: self._merged(changes, groups, anew=anew), note, fence, coming, small=small)
            return
        ages = forgetting(span, {} if anew else self._kept.fact(AGES), changes)

        def content() -> Content:
            made = self._merged(changes, None if ages.is_due else groups, anew=anew)
            if not ages.is_due or ages.before is None:
                return made
            return replace(made, rows=without_old_deletes(self._cdc, made.rows, ages.before))

        self._kept.put(content, note, fence, coming, {AGES: ages.told()}, small=small)

    def _size(self, read: InputRange) -> int:
        """Return how many bytes a batch may bring, at most."""
        size = read_bytes(self._upstream, read)
        return self._bronze.size() if math.isinf(size) else int(size)

    def _merged(self, changes: DataFrame, groups: Groups | None, *, anew: bool) -> Content:
        """Return what the state keeps once it has taken changes in; `anew`: of these alone."""
        fresh = self._kept.fitted(changes)
        held = None if anew else self._kept.rows(changes.sparkSession, groups)
        return Content(merged(self._cdc, fresh if held is None else held.unionByName(fresh)), groups=groups)

    def _shown(self, spark: SparkSession, groups: Groups | None) -> Content:
        """Return what the table shows of the state as it is, of some keys or of all."""
        asked = groups if groups is None or self._cdc.truncate_when is None else _and_nulls(groups)
        return Content(self._fitted(shown(self._cdc, self._kept.rows(spark, asked))), groups=groups)

    def _groups(self, changes: DataFrame) -> Groups | None:
        """Return the keys of a batch where they are few, and the state is large; None where all is written anew."""
        if not self._order or self._cdc.snapshots or self._kept.size() < IN_PROPORTION:
            return None
        if self._cdc.truncate_when is not None and not changes.where(TRUNCATES).isEmpty():
            return None
        return few_groups(self._cdc.keys, touches(self._cdc, changes))

    def _all_there_is(self, spark: SparkSession, read: InputRange) -> tuple[DataFrame, int | None]:
        """Return all changes on the tape up to the end of a batch; the version of the tape, if that lies behind it."""
        version = holds_all_read(read.until)
        log.warning(
            "the state of %s does not go with the table: it is built anew from %s up to version %d",
            self.table,
            self._tape.bronze,
            version,
        )
        rows, _ = read_pinned(spark, self._upstream, version)
        last = position_of_bronze_version(self._tape, version).batch
        rows = self._bounded(rows).where(F.col(BATCH_ID) <= last)
        return marked(self._cdc, taken_of(self._silver, rows)), version if version > read.version else None

    def _widen(self, changes: DataFrame) -> None:
        """Give state and table the columns that the function gives by now."""
        rows = marked(self._cdc, changes)
        self._kept.prepare(rows.schema, self._setting.fence)
        self._target.prepare(shown(self._cdc, rows).schema)

    def _bounded(self, rows: DataFrame) -> DataFrame:
        """Leave out what came on the tape after the end of a validation."""
        end = self._generation.to_batch
        return rows if end is None else rows.where(F.col(BATCH_ID) <= end)

    def _noted(self, read: InputRange, number: int) -> CommitNote:
        position = position_of_bronze_version(self._tape, read.version)
        return CommitNote(
            table=str(self.table),
            generation=self.generation,
            batch=number,
            code_version=self._code_version,
            reads={str(self._tape.bronze): read},
            position={str(self._tape.bronze): self._tape.bounded(position, self._generation.to_batch)},
            replay=self._generation.replay,
        )


def _and_nulls(groups: Groups) -> Groups:
    """Return keys, and that of nulls, under which changes are kept that truncate."""
    none = pa.table({field.name: pa.nulls(1, field.type) for field in groups.values.schema})
    return Groups(groups.by, pa.concat_tables([groups.values, none]))


def _content(table: Silver, upstream: DataFrame) -> DataFrame:
    assert table.cdc is not None  # noqa: S101 -- for mypy; a table of this kind has it
    return shown(table.cdc, merged(table.cdc, marked(table.cdc, taken_of(table, upstream))))


def _versions_of(table: Silver) -> tuple[str, ...]:
    return () if table.cdc is None else table.cdc.versions_of


CDC = Kind(
    "cdc",
    CdcQuery,
    check_cdc,
    _versions_of,
    _versions_of,
    sets_aside=True,
    explain=cdc_in_words,
    content=_content,
)
"""Changes are merged into the newest state of each key, or all of its versions."""
