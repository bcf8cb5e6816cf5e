"""The state of a table: rows that later batches need, beside what the table shows.

It is written before the table, by a commit of its own. Its note says which batch it has taken in, in the words of the
table's note: so it is known whether it goes with the table, or is ahead of it by the batch that is being applied. A
state that does neither is lost, older, or another table's; one whose rows somebody else has changed since is nobody's.
It is never believed, and built anew from the upstream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType

from kappa_assets.columns import quoted
from kappa_assets.declare.tables import Derived
from kappa_assets.errors import CommitOvertaken, LogicError, TableMissing
from kappa_assets.faults import fault_point
from kappa_assets.kinds.rewriting_query import Content, rewrite
from kappa_assets.log.delta_log import commits, last_note
from kappa_assets.log.note import CommitNote, InputRange
from kappa_assets.logic.analysed import columns_used
from kappa_assets.names import TableName
from kappa_assets.place.change import Already, Counts, Fence, Groups, Scan, Write
from kappa_assets.place.local.change_feed.row_changes import CHANGE, tells_rows_apart
from kappa_assets.place.port import OpenTable, StoredTable

_TIMES = "_kappa_times"
"""How often a row is there, or how much more often a change leaves it there."""
_TAKEN_AWAY = ("delete", "update_preimage")


class KeptRows:
    """The state of one generation, held open to be written."""

    def __init__(
        self,
        stored: StoredTable,
        table: TableName,
        generation: int,
        kept_by: Mapping[str, object],
        ordered_by: tuple[str, ...] = (),
    ) -> None:
        """`kept_by`: what its notes say of how rows were chosen; one that was kept otherwise is built anew."""
        self._stored = stored
        self._table = str(table)
        self._generation = generation
        self._kept_by = kept_by
        self._open: OpenTable = stored.open(ordered_by=ordered_by)

    def prepare(self, schema: StructType, fence: Fence) -> None:
        """Make it, or add columns that it lacks, and take it over; those it needs no more stay, with nulls.

        Raises LogicError, LakeError.
        """
        known = self._open.schema()
        self._open.prepare(schema if known is None else _widened(known, schema))
        self._open.take_over(self._write(), fence)

    def size(self) -> int:
        """Return the bytes of its files."""
        return self._open.size()

    def goes_with(self, before: CommitNote | None) -> bool:
        """Return whether it is as the table was left by the commit with this note; None: that has none yet.

        It is not where rows were chosen otherwise, as by a declaration that changed and goes forward.
        """
        if before is None:
            return self.size() == 0
        mine = self._note()
        return mine is not None and self._is_mine(mine) and mine.reads == before.reads

    def has_taken(self, reads: Mapping[str, InputRange]) -> bool:
        """Return whether its newest commit took in just what a batch reads, as rows are kept today."""
        mine = self._note()
        return mine is not None and self._is_mine(mine) and mine.reads == reads

    def ahead_of(self, read: InputRange) -> int | None:
        """Return the version of the upstream that it was built anew from, until the reading has passed it."""
        mine = self._note()
        ahead = None if mine is None else mine.recomputed
        return None if ahead is None or ahead <= read.version else ahead

    def rows(self, spark: SparkSession, groups: Groups | None) -> DataFrame:
        """Return the rows that it keeps, of some groups or of all, as it stands at this moment."""
        return self.scan(spark, groups)[0]

    def scan(self, spark: SparkSession, groups: Groups | None) -> tuple[DataFrame, Scan]:
        """Return what `rows` does, and what to read them opens."""
        return self._open.scan(spark, self.schema(), groups)

    def fitted(self, rows: DataFrame) -> DataFrame:
        """Return rows with its columns; those they lack are null."""
        return _fitted(rows, self.schema())

    def after(self, held: DataFrame, images: DataFrame) -> DataFrame:
        """Return rows after changes of them, told as the change feed does, in the columns of `held`.

        Equal ones are counted, since nothing else tells them apart. Its job fails where a row was taken away that is
        not among them.
        """
        gone, columns = F.col(CHANGE).isin(*_TAKEN_AWAY), [quoted(name) for name in held.columns]
        told = [held.withColumn(_TIMES, F.lit(1))]
        told += [_fitted(images.where(gone), held.schema).withColumn(_TIMES, F.lit(-1))]
        told += [_fitted(images.where(~gone), held.schema).withColumn(_TIMES, F.lit(1))]
        counted = reduce(DataFrame.unionByName, told).groupBy(*columns).agg(F.sum(_TIMES).alias(_TIMES))
        lacks = F.raise_error(F.lit(f"a row that was taken away is not among the inputs of {self._table}"))
        there = F.when(F.col(_TIMES) >= 0, F.col(_TIMES) > 0).otherwise(lacks.cast("boolean"))
        return counted.where(there).select(*columns, F.explode(F.sequence(F.lit(1), _TIMES))).select(*columns)

    def fact(self, name: str) -> Mapping[str, int]:
        """Return what its newest commit says of its rows under a name; nothing where they are kept otherwise."""
        mine = self._note()
        return {} if mine is None or not self._is_mine(mine) else mine.source.get(name, {})

    def put(
        self,
        content: Callable[[], Content],
        note: CommitNote,
        fence: Fence,
        coming: int,
        facts: Mapping[str, object] | None = None,
        *,
        small: bool,
    ) -> None:
        """Put rows in the place of those that it keeps, in one commit.

        Of those at most `coming` bytes are new. `facts`: what is known of them from then on. Raises
        CommitOvertaken, Fenced, LakeError.
        """

        def said(_: Content, counts: Counts) -> str:
            return with_counts(replace(note, source={**self._kept_by, **(facts or {})}), counts)

        done = rewrite(self._open, self._write(), content, said, fence, coming=coming, small=small)
        if isinstance(done, Already):
            raise CommitOvertaken(
                f"somebody else committed to {self._stored.name} at the same time",
                hint="The batch is tried again. Do not write it with another engine.",
            )
        fault_point("after_commit", self._stored.name)

    def _write(self) -> Write:
        """Return the id of its next commit: numbered by its own versions, whatever a checkpoint remembers."""
        return Write(self._table, self._generation, "state", self._open.version() + 1)

    def _note(self) -> CommitNote | None:
        """Return what its newest commit says; None where somebody else has changed its rows since then."""
        newest = self._open.version()
        found = last_note(self._stored, at_most=newest)
        if found is None or any(
            c.adds_data or c.removes_data for c in commits(self._stored, after=found[0], upto=newest)
        ):
            return None
        return found[1]

    def _is_mine(self, note: CommitNote) -> bool:
        by = {name: note.source.get(name) for name in self._kept_by}
        return (note.table, note.generation, by) == (self._table, self._generation, self._kept_by)

    def schema(self) -> StructType:
        """Return its columns. Raises TableMissing before it was prepared."""
        known = self._open.schema()
        if known is None:
            raise TableMissing(f"the {self._stored.name} was not prepared", hint="Start its query through the host.")
        return StructType([StructField(f.name, f.dataType, True) for f in known])


def check_rows_are_told_apart(table: Derived, upstream: DataFrame, output: DataFrame, *, of: str = "") -> None:
    """Raise LogicError where a column that a function uses of an upstream tells no rows apart, so that none is kept.

    `output`: what the function makes of it. `of`: which upstream it is, where there are several.
    """
    used = columns_used(output)
    mixed = [f for f in upstream.schema if (used is None or f.name in used) and not tells_rows_apart(f.dataType)]
    if mixed:
        told = ", ".join(f"{f.name} ({f.dataType.simpleString()})" for f in mixed)
        raise LogicError(
            f"{table.origin}: keep_inputs of {table.name} cannot tell rows{of} apart by {told}",
            hint="Have the upstream give what the function needs of it as columns; or leave keep_inputs out.",
        )


def with_counts(note: CommitNote, counts: Counts) -> str:
    """Return a note with how many rows the table holds then, and what was touched of it."""
    rows = counts.rows if counts.held is None else counts.held
    return replace(note, rows=rows, touched=counts.touched).to_json()


def _fitted(rows: DataFrame, schema: StructType) -> DataFrame:
    there = {name.lower() for name in rows.columns}
    columns = [F.col(quoted(f.name)) if f.name.lower() in there else F.lit(None) for f in schema]
    return rows.select(*[c.cast(f.dataType).alias(f.name) for c, f in zip(columns, schema, strict=True)])


def _widened(known: StructType, wanted: StructType) -> StructType:
    """Return the columns that are there, at any depth, with those that are lacking behind them."""
    kinds = {field.name: field.dataType for field in wanted}
    there = [StructField(f.name, _both(f.dataType, kinds.get(f.name, f.dataType)), True) for f in known]
    return StructType([*there, *(field for field in wanted if field.name not in known.names)])


def _both(known: DataType, wanted: DataType) -> DataType:
    if isinstance(known, StructType) and isinstance(wanted, StructType):
        return _widened(known, wanted)
    return wanted
