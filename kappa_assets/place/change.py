"""What a batch does to one table, as a value; who may do it; and what became of it. The words of every place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kappa_assets.faults import Point

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

    from kappa_assets.place.port import StoredTable

_FENCE = "fence"


@dataclass(frozen=True)
class Fence:
    """What a lease hands out: whoever writes with an older epoch than a table has seen under that lease is refused.

    `raises`: the holder before did not let go of the lease, so it may believe that it still has it. Then each table
    takes the new epoch before anything else is done with it.
    """

    lease: str
    epoch: int
    raises: bool = False


NO_LEASE = Fence("stream", 0)
"""Of whoever holds no lease: below every epoch that was handed out."""


@dataclass(frozen=True)
class Write:
    """Which write of which table it is: the transaction is committed once under this id, however often it is tried.

    `part` tells apart the writes of one batch, and what else writes the table; `number` grows with each write of it.
    """

    table: str
    generation: int
    part: str
    number: int

    @property
    def app(self) -> str:
        """The transaction's application id. With that of another generation, rows would be skipped without a word."""
        return f"kappa/{self.table}/g{self.generation}/{self.part}"

    def fence(self, fence: Fence) -> tuple[str, int]:
        """Return the application id under which the table keeps the newest epoch of a lease, and the epoch."""
        return f"kappa/{self.table}/g{self.generation}/{_FENCE}/{fence.lease}", fence.epoch


def is_fence(app: str) -> bool:
    """Return whether an application id is one under which epochs are kept."""
    parts = app.split("/")
    return len(parts) > 4 and parts[0] == "kappa" and parts[3] == _FENCE  # noqa: PLR2004 -- kappa/table/g1/fence/lease


@dataclass(frozen=True)
class Counts:
    """Rows that a change adds to the table, those set aside, by the reason, and those counted, by the column."""

    rows: int
    held: int | None = None
    """All rows that the table holds then; None where the change does not tell."""
    rejected: Mapping[str, int] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    touched: Mapping[str, int] = field(default_factory=dict)
    """Of a change of groups: how many `groups`, and the `files` and `bytes` that might hold one, and were read."""


def sum_of_known(rows: Sequence[int | None]) -> int | None:
    """Return the sum of numbers of rows; None where one of them is not known."""
    known = [one for one in rows if one is not None]
    return sum(known) if len(known) == len(rows) else None


@dataclass(frozen=True)
class Scan:
    """What a read opens: files, as their table's log tells of them. Columns that are not used count among the bytes."""

    files: int = 0
    rows: int | None = 0
    """Rows of these files; None where the log does not tell of each."""
    bytes: int = 0

    def __add__(self, other: Scan) -> Scan:
        rows = None if self.rows is None or other.rows is None else self.rows + other.rows
        return Scan(self.files + other.files, rows, self.bytes + other.bytes)

    @classmethod
    def of(cls, files: pa.Table) -> Scan:
        """Return what a read of files opens, as `StoredTable.files` gives them: size_bytes, num_records."""
        rows = files["num_records"].to_pylist() if "num_records" in files.column_names else [None]
        return cls(files.num_rows, sum_of_known(rows), sum(files["size_bytes"].to_pylist()))

    @staticmethod
    def all_of(*scans: Scan | None) -> Scan | None:
        """Return what several reads open together; None where that of one is not known."""
        known = [one for one in scans if one is not None]
        return sum(known, Scan()) if len(known) == len(scans) else None


@dataclass(frozen=True)
class Everything:
    """All rows that the table holds are taken away."""


@dataclass(frozen=True)
class Files:
    """The rows of some of a table's files are taken away; `rows` are what they hold.

    Readers of the change feed see only rows that differ between them and those that are added.
    """

    paths: tuple[str, ...]
    rows: DataFrame | None


@dataclass(frozen=True)
class Groups:
    """All rows of some groups are taken away, whichever files hold them."""

    by: tuple[str, ...]
    values: pa.Table
    """One row for each group, in columns named as `by`; null is a group."""


@dataclass(frozen=True)
class Aside:
    """Rows that are not added to the table, but kept beside it, by an earlier commit of their own.

    `failed`: by reason, whether it holds for a row. `kept` makes of such rows what is kept of them, and `note` is what
    that commit says about itself.
    """

    failed: Mapping[str, Column]
    kept: Callable[[DataFrame], DataFrame]
    note: str


@dataclass(frozen=True)
class HeldFile:
    """A file of a table, by its path there, and the values of its partition."""

    path: str
    partition: Mapping[str, str]


@dataclass(frozen=True)
class Adopted:
    """Files of another table of the same place, whose rows a change adds as they are, without reading them."""

    table: StoredTable
    files: tuple[HeldFile, ...]


@dataclass(frozen=True)
class Beside:
    """What a change sets aside is none of its rows.

    `put` commits it by itself, when all rows are written and none is committed; it refuses the change by raising.
    """

    put: Callable[[], None]


@dataclass(frozen=True)
class Change:
    """What a batch, a repair or a replay does to one table: made by a kind, which does not know how it is done.

    Args:
        write: its id.
        rows: to be added; None: none.
        note: gives what the commit says about itself. It is asked for while nobody else can commit to the table, and
            refuses the change by raising.
        instead_of: what is taken away in the same commit; None: nothing.
        adopted: files whose rows are added too; None: none.
        aside: which of `rows` are set aside, or what else is; None: nothing.
        counted: columns of `rows`, of booleans, that the table does not have: how many are true is counted.
        small: whether `rows` was made of little. It is a hint: what turns out to be large is written all the same.
        check: refuses the change by raising, once its rows are written and counted, and before anything is committed,
            beside the table too; None: nothing is to be checked.
        point: where, for tests, the work is when all is written and nothing committed; None: nowhere.
    """

    write: Write
    rows: DataFrame | None
    note: Callable[[Counts], str]
    instead_of: Everything | Files | Groups | None = None
    adopted: Adopted | None = None
    aside: Aside | Beside | None = None
    counted: tuple[str, ...] = ()
    small: bool = False
    check: Callable[[Counts], None] | None = None
    point: Point | None = "after_rejects"


@dataclass(frozen=True)
class Applied:
    """The change is in, as one commit: the table's version `version`."""

    version: int
    counts: Counts


@dataclass(frozen=True)
class Already:
    """An earlier try has brought the change in; nothing was done."""


@dataclass(frozen=True)
class Conflict:
    """A file whose rows were to be taken away is not in the table any more: the change must be made anew."""
