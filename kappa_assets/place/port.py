"""The port: all that a place answers. Who is above it names tables, and knows no path, no lock and no file of a log.

Rows are read at a version, or from one on: nothing here gives those of the moment in which a plan happens to run.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from kappa_assets.names import TableName
from kappa_assets.place.beside import HostFiles, StoredCheckpoint
from kappa_assets.place.change import Already, Applied, Change, Conflict, Fence, Groups, Scan, Write
from kappa_assets.place.upkeep import TableUpkeep

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


class StoredTable(Protocol):
    """One Delta table of a lake, as a value: it can be compared, hashed, and sent to another process."""

    @property
    def name(self) -> str:
        """What it is written for: `silver.sales`; `rejects of silver.sales`."""
        ...

    @property
    def called(self) -> str:
        """What people call it: `silver.sales g1`."""
        ...

    @property
    def location(self) -> str:
        """Where engines outside open it: a folder, a URL, a name in a catalog."""
        ...

    @property
    def uri(self) -> str:
        """The same as a URI."""
        ...

    # its log
    def newest(self, known: int | None = None) -> int | None:
        """Return the newest version, None when there is no table. From a `known` one on it costs next to nothing."""
        ...

    def versions(self) -> list[int]:
        """Return the versions that the log still tells, in order; none when there is no table."""
        ...

    def has(self, version: int) -> bool:
        """Return whether the log still tells a version."""
        ...

    def identity(self, version: int) -> Hashable:
        """Return what tells a commit from another of its number, in a table that was made anew; None if it is gone."""
        ...

    def actions(self, version: int) -> list[dict[str, Any]]:
        """Return the actions of one commit. Raises OSError when it is gone, ValueError when it is damaged."""
        ...

    def committed_at(self, version: int) -> float:
        """Return when a version was committed, in seconds since 1970. Raises OSError when the log lacks it."""
        ...

    # its rows and files
    def read(self, spark: SparkSession, version: int, *, pruned: bool = False) -> DataFrame:
        """Return the rows of one version. Raises AnalysisException when it cannot be read any more.

        `pruned`: a filter that follows leaves whole slices out. It is dearer, and pays where few of many are read.
        """
        ...

    def scan(self, spark: SparkSession, version: int, groups: Groups | None = None) -> tuple[DataFrame, Scan | None]:
        """Return the rows of one version, and what to read them opens; None where its log is gone. Raises as `read`.

        `groups`: of files that can hold no row of them, none is read; rows of other groups may be among those read.
        """
        ...

    def changes(self, spark: SparkSession, *, feed: bool, limits: Mapping[str, str]) -> DataFrame:
        """Return the stream of what comes in, from where a query's checkpoint has come to.

        `feed`: every change of a row, else added rows alone. `limits`: how much one batch takes, as Delta names them.
        """
        ...

    def changes_between(self, spark: SparkSession, after: int, upto: int) -> DataFrame | None:
        """Return every image of a row that changed in the versions after `after` up to `upto`; None where none did.

        Raises AnalysisException when the log does not tell all of them any more.
        """
        ...

    def read_files(self, spark: SparkSession, paths: Sequence[str], schema: StructType) -> DataFrame:
        """Return the rows of some of its files, in columns of theirs; those they lack are null.

        Their folders say nothing: streams, repairs and maintenance write at different depths, which Spark's partition
        discovery refuses.
        """
        ...

    def files(self, version: int) -> pa.Table:
        """Return the files of one version: path, size_bytes, num_records, `partition.<column>`, `min.` and `max.`."""
        ...

    def gone(self, paths: Iterable[str]) -> list[str]:
        """Return those of its files that are not there, though the log names them."""
        ...

    def head(self, version: int, limit: int) -> pa.Table:
        """Return some first rows of one version."""
        ...

    def sample(self, path: str, limit: int) -> pa.Table:
        """Return first rows of one of its files, without partition columns; none where it is gone, or damaged."""
        ...

    def columns(self, version: int) -> list[Any]:
        """Return the fields of one version, as delta-rs has them."""
        ...

    def arrow(self, version: int) -> ds.Dataset:
        """Return one version as a dataset of Arrow's."""
        ...

    # its writers
    def turn(self) -> AbstractContextManager[None]:
        """Wait for, and hold, the turn in which one process commits to the table."""
        ...

    def upkeep(self) -> TableUpkeep:
        """Return what upkeep does with its files."""
        ...

    def put(self, rows: pa.Table, on: int | None, *, instead: bool = False) -> None:
        """Add rows to a side table that is still as it was at version `on`, or that is not there yet: None.

        `instead`: in the place of all that it holds. In one commit. Raises CommitFailedError when it has moved on.
        """
        ...

    def take_out(self, column: str, value: int) -> None:
        """Remove the rows with a value in an integer column of a side table, in one commit; none if there is none."""
        ...

    def open(
        self,
        *,
        partition_by: tuple[str, ...] = (),
        properties: Mapping[str, str] | None = None,
        beside: StoredTable | None = None,
        ordered_by: tuple[str, ...] = (),
        feed: bool = False,
    ) -> OpenTable:
        """Return the table held open: each look takes in new commits alone.

        `partition_by`, `properties`: of a table that is made. `beside`: takes what changes set aside.
        `ordered_by`: the columns by which files are in order, so that changes of few groups replace few of them: of
        texts, whole numbers, dates or times, whose bounds are told of every file. `feed`: others follow the table, so
        that a change that takes rows away tells those that differ, and no others; one by which none does is its note.
        """
        ...


class OpenTable(Protocol):
    """A table held open, to be looked at often, and to be written. What it tells is of its newest version."""

    def exists(self) -> bool:
        """Return whether the table is made."""
        ...

    def version(self) -> int:
        """Return the newest version; -1 when there is no table yet."""
        ...

    def schema(self) -> StructType | None:
        """Return the table's columns, or None when there is no table yet."""
        ...

    def size(self) -> int:
        """Return the bytes of the files that the table consists of."""
        ...

    def rows(self, spark: SparkSession, schema: StructType) -> DataFrame:
        """Return the table's rows as it stands at this moment, whatever is committed until they are read."""
        ...

    def rows_of(self, spark: SparkSession, groups: Groups, schema: StructType) -> DataFrame:
        """Return the table's rows in some groups, as it stands at this moment."""
        ...

    def scan(self, spark: SparkSession, schema: StructType, groups: Groups | None = None) -> tuple[DataFrame, Scan]:
        """Return what `rows_of` does, of no groups what `rows` does, and what to read them opens: the same files."""
        ...

    def prepare(self, schema: StructType) -> None:
        """Make the table, or add columns that it lacks, as a commit of its own. Raises LogicError, LakeError."""
        ...

    def take_over(self, write: Write, fence: Fence) -> None:
        """Have the table take the epoch of a lease whose holder before may not know that it has lost it."""
        ...

    def is_in(self, write: Write) -> bool:
        """Return whether the change with this id, or one with the same id and a later number, is in the table."""
        ...

    def apply(self, change: Change, fence: Fence) -> Applied | Already | Conflict:
        """Bring a change in as one commit, or not at all. Raises Fenced, CommitOvertaken, LakeError."""
        ...


class Place(Protocol):
    """A lake: hands out its tables, checkpoints and what the host says."""

    @property
    def called(self) -> str:
        """What people call the lake: its folder, or a URL."""
        ...

    def table(self, name: TableName, generation: int = 1) -> StoredTable:
        """One generation of a table. Bronze has one for ever."""
        ...

    def shown(self, table: TableName) -> StoredTable:
        """What readers outside open: the live generation, whichever that is."""
        ...

    def state_of(self, table: TableName, generation: int = 1) -> StoredTable:
        """What a generation keeps beside what it shows, for batches to come; nobody but its writer opens it."""
        ...

    def set_aside(self, table: TableName) -> StoredTable:
        """The side table of rows (Silver) or files (Bronze) that were set aside."""
        ...

    def index_of(self, bronze: TableName) -> StoredTable:
        """The index of a tape: one line for each of its batches."""
        ...

    def tapes(self) -> list[TableName]:
        """The Bronze tables that lie here, whoever declares them."""
        ...

    def checkpoint_of(self, table: TableName, generation: int = 1) -> StoredCheckpoint:
        """The checkpoint of the query that writes one generation."""
        ...

    @property
    def host_files(self) -> HostFiles:
        """What the host says about itself."""
        ...

    @property
    def events(self) -> StoredTable:
        """The registry's events."""
        ...

    def upkeep_turn(self) -> AbstractContextManager[None]:
        """Wait for, and hold, the turn in which files of a lake are removed, or rewritten by maintenance."""
        ...

    def lying(self, table: TableName, generation: int) -> tuple[int, int] | None:
        """Return how many files, of how many bytes, a generation has, its state and checkpoint too; None: none."""
        ...

    def erase_generation(self, table: TableName, generation: int) -> None:
        """Remove a generation, its state and its checkpoint."""
        ...

    def free_bytes(self) -> int:
        """How much more the lake can take."""
        ...
