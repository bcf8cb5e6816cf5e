"""The three kinds of table: frozen values that stay callable, tested as the plain functions they are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from kappa_assets.declare.origin import Origin
from kappa_assets.declare.source import DeclaredSource
from kappa_assets.names import TableName

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from kappa_assets.declare.options.cdc import Cdc

TableFunction = Callable[..., "DataFrame"]
OnChange = Literal["replay", "forward"]
OnFail = Literal["warn", "drop", "quarantine", "fail"]
LatePolicy = Literal["update", "drop", "quarantine"]
AheadPolicy = Literal["update", "quarantine"]
Combine = Literal["sum", "count", "min", "max"]
LATE, AHEAD = "late", "ahead"
"""What rows are called, and for which reasons set aside, whose event lies too far before or behind their arrival."""
DUPLICATE = "duplicate"
"""The reason for which a row is set aside that is in the table already."""


@dataclass(frozen=True)
class Expectation:
    """A SQL condition every row of a table must meet; a null result counts as not met.

    `on_fail`: what becomes of rows that do not. `warn`: they are in the table, and counted. `drop` and `quarantine`, of
    a row-by-row Silver: they are kept beside it, for good or until they are let in. `fail`: their batch is not taken,
    and the table parks.
    """

    name: str
    condition: str
    on_fail: OnFail = "drop"


@dataclass(frozen=True)
class Late:
    """Which rows of a Silver are late or ahead, told by `event_time` and the moment of arrival; what becomes of them.

    `update`: they are in the table, and counted. `drop` and `quarantine`: as for an expectation.
    """

    event_time: str
    after: dt.timedelta | None = None
    """A row is late whose event lies further before its arrival; None: none is late."""
    policy: LatePolicy = "update"
    ahead: dt.timedelta | None = None
    """A row is ahead whose event lies further behind its arrival; None: none is ahead."""
    ahead_policy: AheadPolicy = "update"


@dataclass(frozen=True)
class Table:
    """What all three kinds have in common."""

    name: TableName
    origin: Origin
    description: str = ""
    owners: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What people are told of a column, by its name."""


@dataclass(frozen=True)
class Bronze(Table):
    """An immutable, append-only log of what its source sent, or its sources: the tape."""

    source: DeclaredSource = field(kw_only=True)
    others: tuple[DeclaredSource, ...] = field(default=(), kw_only=True)

    @property
    def sources(self) -> tuple[DeclaredSource, ...]:
        """All that bring rows onto it, each by a query of its own."""
        return (self.source, *self.others)


@dataclass(frozen=True)
class Derived(Table):
    """A table that is a function of others; calling it calls the plain function."""

    function: TableFunction = field(kw_only=True)
    reads: Mapping[str, str] = field(kw_only=True, hash=False)
    """Upstream of each parameter: a bare name, or `layer.name` where names clash."""
    version: str | None = field(default=None, kw_only=True)
    on_change: OnChange = field(default="replay", kw_only=True)
    keep: dt.timedelta | None = field(default=None, kw_only=True)
    """How long a file stays that the table does not need any more; None: as upkeep has it for tables of its kind."""
    every: float | None = field(default=None, kw_only=True)
    """Seconds between two recomputations at least; None: as often as the upstream changes."""
    groups_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False, kw_only=True)
    """By parameter, in their order: the columns of that upstream that name the group recomputed as one, the first of
    one meaning what the first of another does. Empty: the declaration names none of each upstream."""
    keep_inputs: bool = field(default=False, kw_only=True)
    """Whether what its groups are recomputed from is kept beside it, in their order."""
    expectations: tuple[Expectation, ...] = field(default=(), kw_only=True)
    late: Late | None = field(default=None, kw_only=True)
    """Of a Silver that reads a tape: which of its rows are late; None: none is called so."""
    unique: tuple[str, ...] = field(default=(), kw_only=True)
    """Of a row-by-row Silver: columns by which rows are one, that were sent twice; none: each is a row of its own."""
    unique_within: int | None = field(default=None, kw_only=True)
    """How many days of arrival two rows are apart at most that are one; None: any number."""

    @property
    def judged_by(self) -> tuple[Expectation, ...]:
        """Its expectations, and those that its other options imply."""
        return self.expectations

    @property
    def judges(self) -> bool:
        """Whether it judges each row that its function gives, and accounts for it in the notes of its commits."""
        return bool(self.judged_by or self.late or self.unique)

    def __call__(self, *args: DataFrame, **kwargs: DataFrame) -> DataFrame:
        return self.function(*args, **kwargs)


@dataclass(frozen=True)
class Silver(Derived):
    """Business logic, row by row: each row of the tape gives zero, one or several rows, with LINEAGE kept.

    With `keys` it is recomputed by touched group, of one upstream or of several. With `cdc` its rows are changes, of
    which the table holds the newest state or all versions.
    """

    keys: tuple[str, ...] = field(default=(), kw_only=True)
    """Columns that tell the rows of a group apart; none: it is row by row."""
    cdc: Cdc | None = field(default=None, kw_only=True)

    @property
    def judged_by(self) -> tuple[Expectation, ...]:
        """Its expectations, and those of its changes: a key, and a sequence."""
        return self.expectations if self.cdc is None else (*self.expectations, *self.cdc.expectations)


@dataclass(frozen=True)
class Gold(Derived):
    """Aggregates: merged (`keys` and `combine`), recomputed by touched group (`keys`, `by`), or recomputed whole."""

    keys: tuple[str, ...] = field(default=(), kw_only=True)
    by: tuple[str, ...] = field(default=(), kw_only=True)
    """Those of `keys` that name the group recomputed as one; none: as Spark's plan tells, or as `groups_of` says."""
    combine: Mapping[str, Combine] = field(default_factory=dict, hash=False, kw_only=True)
