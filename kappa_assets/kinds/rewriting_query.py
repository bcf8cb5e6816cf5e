"""What queries share whose batches write rows in the place of others: some groups of the table, or all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ByteType,
    DataType,
    DateType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from kappa_assets.columns import quoted
from kappa_assets.declare.tables import Derived, Gold, Silver
from kappa_assets.errors import CommitOvertaken, TableMissing
from kappa_assets.faults import fault_point
from kappa_assets.kinds.judging.rewritten import refuse_failures, with_failures
from kappa_assets.kinds.kind import Standing
from kappa_assets.kinds.query import Setting, checkpoint_of
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import CommitNote
from kappa_assets.names import TableName
from kappa_assets.place.change import Already, Applied, Change, Conflict, Counts, Everything, Fence, Groups, Scan, Write
from kappa_assets.place.port import OpenTable
from kappa_assets.place.registry import Generation
from kappa_assets.sources.column_names import same_name

_ONE_FILE = 8 << 20
"""Bytes up to which a table is kept in one file: it is rewritten whole with each batch. For each so many more there is
one more file, by a task of its own, which sorts what goes into it too: one for all of a million changes of 22 MB, and
one for their versions, took 3.8 of the 8.3 seconds of CPU of the batch, while the other core idled."""
IN_PROPORTION = 4 << 20
"""Bytes from which on a table is written in proportion to what a batch touches. To write less anew costs no more."""
MOST_GROUPS = 10_000
"""Groups up to which a batch touches few: they are held in memory, and sent to every task."""
_TRIES = 5
"""How often a batch is made anew when files that it replaces were rewritten meanwhile."""
_ORDERED = (ByteType, ShortType, IntegerType, LongType, StringType, DateType, TimestampType, TimestampNTZType)


@dataclass(frozen=True)
class Content:
    """What a table holds after a batch: `rows`, in the place of all that it held, or of some groups alone.

    `version`: of the upstream, at which they were recomputed, if they were. `scanned`: what the files hold that `rows`
    are computed from, beside the batch; None where that is not known.
    """

    rows: DataFrame
    version: int | None = None
    groups: Groups | None = None
    scanned: Scan | None = None


class RewritingQuery:
    """The query that writes one generation of a table; what its batches read is its kind's."""

    _judges_what_is_written = True
    """Whether it is the rows that are written which the table expects something of."""

    def __init__(self, setting: Setting, table: Gold | Silver, generation: Generation, standing: Standing) -> None:
        self._setting = setting
        self._declared = table
        self._generation = generation
        self._code_version = standing.code_version
        self._tapes = standing.tapes
        self._is_read = standing.is_read
        self._unique = standing.unique
        self._written = setting.lake.table(table.name, generation.number)
        self._target = self._written.open()
        self._order: tuple[str, ...] = ()

    @property
    def table(self) -> TableName:
        return self._declared.name

    @property
    def generation(self) -> int:
        return self._generation.number

    @property
    def checkpoint(self) -> Checkpoint:
        return checkpoint_of(self._setting.lake, self._generation)

    @property
    def every(self) -> float:
        return self._declared.every or 0.0

    def _rewrite(
        self,
        write: Write,
        content: Callable[[], Content],
        note: Callable[[Content, Counts], str],
        *,
        small: bool,
        coming: int = 0,
    ) -> None:
        """Commit what `content` gives, once; it is asked again when files that it replaces were rewritten meanwhile."""
        expected_of = self._declared if self._judges_what_is_written else None
        rewrite(self._target, write, content, note, self._setting.fence, expected_of, coming=coming, small=small)
        fault_point("after_commit", str(self.table))

    def _few(self, by: tuple[str, ...], groups: DataFrame) -> Groups | None:
        """Return the groups of a batch, in columns named as `by`, where they are few of a large table; else None."""
        return few_groups(by, groups) if is_left_in_part(self._order, self._target.size()) else None

    def _fitted(self, rows: DataFrame) -> DataFrame:
        """Cast freshly computed rows to the table's types: sums are kept wider than the function gives them."""
        return rows.select(*[F.col(quoted(f.name)).cast(f.dataType).alias(f.name) for f in self._schema()])

    def _current(self, spark: SparkSession) -> DataFrame:
        """Return the table as it stands."""
        return self._scan_current(spark)[0]

    def _scan_current(self, spark: SparkSession) -> tuple[DataFrame, Scan]:
        """Return the table as it stands, and what to read it opens."""
        return self._target.scan(spark, self._schema())

    def _schema(self) -> StructType:
        known = self._target.schema()
        if known is None:
            raise TableMissing(f"{self.table} was not prepared", hint="Start its query through the host.")
        return StructType([StructField(f.name, f.dataType, True) for f in known])

    def _last_note(self) -> CommitNote | None:
        found = last_note(self._written, at_most=self._target.version())
        return None if found is None else found[1]

    def _write(self, number: int) -> Write:
        return Write(str(self.table), self.generation, "main", number)


def rewrite(
    target: OpenTable,
    write: Write,
    content: Callable[[], Content],
    note: Callable[[Content, Counts], str],
    fence: Fence,
    expected_of: Derived | None = None,
    *,
    coming: int = 0,
    small: bool,
) -> Applied | Already:
    """Put what `content` gives in the place of what a table holds; it is asked again where files were rewritten.

    `expected_of`: the declaration by whose expectations the rows are judged; None: by none. `coming`: bytes by which
    the table may grow: the larger, the more tasks write it, a file each.

    Raises CommitOvertaken where that happens again and again.
    """
    size = target.size() + coming
    for _ in range(_TRIES):
        made = content()
        rows = made.rows.coalesce(1 + size // _ONE_FILE) if made.groups is None else made.rows
        rows, counted = (rows, ()) if expected_of is None else with_failures(expected_of, rows)
        check = partial(refuse_failures, expected_of, write.number) if expected_of is not None and counted else None
        instead_of = made.groups or Everything()
        change = Change(write, rows, partial(note, made), instead_of, counted=counted, small=small, check=check)
        done = target.apply(change, fence)
        if not isinstance(done, Conflict):
            return done
    raise CommitOvertaken(
        f"the files of {write.table} were rewritten {_TRIES} times while batch {write.number} was written",
        hint="The batch is tried again. Does somebody else optimize the table all the time? Let upkeep do it.",
    )


def is_left_in_part(order: tuple[str, ...], size: int) -> bool:
    """Return whether files are in an order, and so large that a change of few groups leaves others alone."""
    return bool(order) and is_large(size)


def is_large(size: int) -> bool:
    """Return whether a table of so many bytes is read and written in proportion to what a batch touches."""
    return size >= IN_PROPORTION


def few_groups(by: tuple[str, ...], groups: DataFrame) -> Groups | None:
    """Return groups, in columns named as `by`, as values where they are few; else None."""
    found = groups.select(*map(quoted, by)).distinct().limit(MOST_GROUPS + 1).toArrow()
    return Groups(by, found) if found.num_rows <= MOST_GROUPS else None


def keys_of(table: Gold | Silver) -> tuple[str, ...]:
    """Return the columns that tell the rows of a table apart."""
    return table.keys


def ordered(by: tuple[str, ...], schema: StructType) -> tuple[str, ...]:
    """Return the columns of groups whose bounds tell files apart; a dot in a name hides them."""
    return tuple(c for c in by if _has_bounds(schema[c].dataType) and "." not in c)


def bounded(groups: Groups, columns: tuple[str, ...], schema: StructType) -> Groups | None:
    """Return groups in columns of an upstream, those alone whose bounds tell files apart; None where none does."""
    known = ordered(columns, schema)
    return Groups(known, groups.values.rename_columns(list(columns)).select(list(known))) if known else None


def _has_bounds(kind: DataType) -> bool:
    """Return whether values are ordered as bounds are: of texts by their bytes, which a collation does otherwise."""
    return isinstance(kind, _ORDERED) and (not isinstance(kind, StringType) or kind.collation == StringType().collation)


def complete(rows: DataFrame, schema: StructType) -> DataFrame:
    """Return rows of an upstream with all columns of `schema`; those they lack are null.

    A batch lacks those that were not read, which have no effect. A version from before a column was added lacks it.
    """
    there = {same_name(name) for name in rows.columns}
    lacking = {f.name: F.lit(None).cast(f.dataType) for f in schema if same_name(f.name) not in there}
    return rows.withColumns(lacking).select(*map(quoted, schema.names))
