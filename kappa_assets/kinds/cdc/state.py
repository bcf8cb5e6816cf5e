"""The state of a table of changes: those that later ones may still need, beside what the table shows.

It is written before the table, by a commit of its own. Its note says which batch it has taken in, in the words of the
table's note: so it is known whether it goes with the table, or is ahead of it by the batch that is being applied. A
state that does neither is lost, older, or another table's. It is never believed, and built anew from the tape.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from kappa_assets.columns import quoted
from kappa_assets.declare.tables import Silver
from kappa_assets.errors import CommitOvertaken, TableMissing
from kappa_assets.faults import fault_point
from kappa_assets.kinds.rewriting_query import Content, rewrite
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import CommitNote, InputRange
from kappa_assets.place.change import Already, Counts, Fence, Groups, Write
from kappa_assets.place.port import OpenTable, StoredTable

KEPT_BY = "cdc"
"""In the note of a state: the declared options by which changes were merged."""
AGES = "ages"
"""Beside it, where deletes are forgotten: what is known of the ages of changes, as `forgetting` tells it."""


class ChangesKept:
    """The state of one generation, held open to be written."""

    def __init__(self, stored: StoredTable, silver: Silver, generation: int, ordered_by: tuple[str, ...] = ()) -> None:
        assert silver.cdc is not None  # noqa: S101 -- for mypy; a table of this kind has it
        self._stored = stored
        self._table = str(silver.name)
        self._generation = generation
        told = {name: option for name, option in vars(silver.cdc).items() if name != "max_deleted"}  # it keeps the same
        self._kept_by = {name: _plain(option) for name, option in told.items() if option}
        self._open: OpenTable = stored.open(ordered_by=ordered_by)

    def prepare(self, schema: StructType, fence: Fence) -> None:
        """Make it, or add columns that it lacks, and take it over. Raises LogicError, LakeError."""
        self._open.prepare(schema)
        self._open.take_over(self._write(), fence)

    def size(self) -> int:
        """Return the bytes of its files."""
        return self._open.size()

    def goes_with(self, before: CommitNote | None) -> bool:
        """Return whether it is as the table was left by the commit with this note; None: that has none yet.

        It is not where changes were merged otherwise, as by a declaration that changed and goes forward.
        """
        mine = self._note()
        if mine is None or before is None:
            return mine is before
        return self._is_mine(mine) and (mine.batch, mine.reads) == (before.batch, before.reads)

    def has_taken(self, batch: int, upstream: str, read: InputRange) -> bool:
        """Return whether its newest commit took in just this batch, as changes are merged today."""
        mine = self._note()
        return mine is not None and self._is_mine(mine) and (mine.batch, mine.reads) == (batch, {upstream: read})

    def ahead_of(self, read: InputRange) -> int | None:
        """Return the version of the tape that it was built anew from, until the reading has passed it."""
        mine = self._note()
        ahead = None if mine is None else mine.recomputed
        return None if ahead is None or ahead <= read.version else ahead

    def changes(self, spark: SparkSession, groups: Groups | None) -> DataFrame:
        """Return the changes that it keeps, of some keys or of all, as it stands at this moment."""
        schema = self._schema()
        return self._open.rows(spark, schema) if groups is None else self._open.rows_of(spark, groups, schema)

    def fitted(self, changes: DataFrame) -> DataFrame:
        """Return changes with its columns; those they lack are null."""
        there = {name.lower() for name in changes.columns}
        columns = [F.col(quoted(f.name)) if f.name.lower() in there else F.lit(None) for f in self._schema()]
        return changes.select(*[c.cast(f.dataType).alias(f.name) for c, f in zip(columns, self._schema(), strict=True)])

    def ages(self) -> Mapping[str, int]:
        """Return what its newest commit says of the ages of its changes; nothing where they are merged otherwise."""
        mine = self._note()
        return {} if mine is None or not self._is_mine(mine) else mine.source.get(AGES, {})

    def put(
        self,
        content: Callable[[], Content],
        note: CommitNote,
        fence: Fence,
        coming: int,
        ages: Mapping[str, int] | None = None,
        *,
        small: bool,
    ) -> None:
        """Put changes in the place of those that it keeps, in one commit.

        Of those at most `coming` bytes are new. `ages`: what is known of these from then on. Raises
        CommitOvertaken, Fenced, LakeError.
        """
        facts: dict[str, object] = {KEPT_BY: self._kept_by, **({AGES: dict(ages)} if ages else {})}

        def said(_: Content, counts: Counts) -> str:
            return with_counts(replace(note, source=facts), counts)

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
        found = last_note(self._stored, at_most=self._open.version())
        return None if found is None else found[1]

    def _is_mine(self, note: CommitNote) -> bool:
        mine = note.table, note.generation, note.source.get(KEPT_BY)
        return mine == (self._table, self._generation, self._kept_by)

    def _schema(self) -> StructType:
        known = self._open.schema()
        if known is None:
            raise TableMissing(f"the {self._stored.name} was not prepared", hint="Start its query through the host.")
        return StructType([StructField(f.name, f.dataType, True) for f in known])


def _plain(option: object) -> object:
    """Return an option as a note has it."""
    if isinstance(option, dt.timedelta):
        return str(option)
    return [*option] if isinstance(option, tuple) else option


def with_counts(note: CommitNote, counts: Counts) -> str:
    """Return a note with how many rows the table holds then, and what was touched of it."""
    rows = counts.rows if counts.held is None else counts.held
    return replace(note, rows=rows, touched=counts.touched).to_json()
