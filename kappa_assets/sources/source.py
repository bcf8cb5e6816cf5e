"""The port of sources: what brings rows from outside onto a tape. The tape does all else, the same for every source.

A stranger declares a frozen dataclass that derives from `DeclaredSource`, implements `Source` for it, and registers
that: `@source_of.register(...)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j ships no types
from pyspark.errors import PySparkException
from pyspark.sql.types import StructType

from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.standings import Standing

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from kappa_assets.sources.ledger.ledger import Delivery

READ_FAILED = (PySparkException, Py4JJavaError)
"""How a failed job shows: which of the two depends on the Java exception it died of."""


@dataclass(frozen=True)
class Given:
    """What a source is given: its tape, where the lake, the landing folder and its checkpoint lie, and its pace."""

    table: TableName
    lake: Lake
    landing: Path
    checkpoint: Checkpoint
    most: int
    """How many deliveries a batch takes at most."""
    label: str | None = None
    """Which of the tape's sources it is; None of a tape that never had another."""


class Range(NamedTuple):
    """What a batch takes of one part of a source (a partition, a journal): numbers from `since` on, before `until`."""

    since: int
    until: int


@dataclass(frozen=True)
class Lost:
    """What a source does not have any more of what a tape needs."""

    what: str
    """The loss in a sentence."""
    missing: Mapping[str, str]
    """By part, what is missing, in words."""
    begins: Mapping[str, int]
    """By part, the first number that can be read behind it."""
    incarnation: str | None = None
    """The id of what there is to read now."""


@dataclass(frozen=True)
class Offsets:
    """What Spark has logged of a batch, as the source's stream gave it: how far the one before went, and this one."""

    checkpoint: Checkpoint
    number: int
    """Of the batch, in its checkpoint."""
    stands: Mapping[str, int]
    """How far the tape has each part of the source: what was the `until` of its newest range."""

    @property
    def since(self) -> Any:
        """The offset of the batch before; None for the first of a checkpoint, which goes on where the tape stands."""
        return self.checkpoint.offset(self.number - 1)

    @property
    def until(self) -> Any:
        """The offset of this batch; None when Spark has logged none."""
        return self.checkpoint.offset(self.number)


@dataclass(frozen=True)
class Batch:
    """A micro-batch of a source's stream: the same each time that it is tried."""

    rows: DataFrame
    offsets: Offsets
    columns: StructType
    """The payload columns that the tape has."""
    fits: Callable[[tuple[str, ...]], bool]
    """Whether the tables below work on these columns, and do not on those that the tape has."""
    of_others: frozenset[str] = frozenset()
    """Those of the tape's columns that only its other sources are known to give."""


class Refused(NamedTuple):
    """A delivery that is set aside, by its name, with the reason; and what it was when it was looked at, if known."""

    name: str
    reason: str
    was: Delivery | None = None


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a source makes of a batch.

    Args:
        rows: payload, `_source` (a struct: where a row is from) and `_arrived_at` (null: now). None: no rows at all.
        facts: what the commit's note says of the deliveries, as JSON; small.
        aside: deliveries that are not taken. They are set aside before the rows are committed.
        small: whether the rows are few, so that this process writes them by itself.
        of_a_date: whether `_arrived_at` of a row is the midnight of a date that somebody has written, which may be
            ahead of the clock; None: of no row.
        arrival_unknown: whether nobody knows when the rows arrived: `_arrived_at` is null on the tape then.
    """

    rows: DataFrame | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    aside: tuple[Refused, ...] = ()
    small: bool = False
    of_a_date: Column | None = None
    arrival_unknown: bool = False


class Source(ABC):
    """Where one tape's rows come from. `stream`, `ranges` and `read` are to be written, the others where needed."""

    longest: ClassVar[int | None] = None
    """Batches after which its checkpoint is left for a new one; None: never."""
    columns: StructType = StructType()
    """Payload columns that the tape has from its first commit on."""
    may_lose: ClassVar[bool] = False
    """Whether what a tape has not read yet can be gone from it for good: `lost` tells then."""

    @abstractmethod
    def stream(self, spark: SparkSession, stands: Mapping[str, int]) -> DataFrame:
        """Return the stream that Spark reads, with a checkpoint of its own.

        A new checkpoint begins where the tape stands; one that has begun goes on by itself.
        """

    @abstractmethod
    def ranges(self, offsets: Offsets) -> Mapping[str, Range]:
        """Return what a batch takes of each part of the source; empty ranges too, of all parts that there have been.

        The tape refuses a batch whose ranges do not go on where it stands. A source without numbers returns nothing,
        and leaves out by itself, in `read`, what is on the tape.
        """

    @abstractmethod
    def read(self, batch: Batch) -> Taken | None:
        """Return what a batch brings; None for nothing. Raises SourceError when it cannot be read for the moment."""

    def again(self, batch: Batch, taken: Taken, error: Exception | None) -> Taken | None:  # noqa: ARG002 -- the port's
        """Return what to take instead, or None where it stands. Asked when the rows are written, and not committed.

        `error`: why they could not be read. It is raised unless the source knows better.
        """
        if error is not None:
            raise error
        return None

    def check(self) -> str | None:
        """See to it that what it reads is there. Return why its checkpoint cannot go on; None where it can.

        Called before the query starts. Raises SourceError.
        """
        return None

    def goes_on(self, standing: Standing | None) -> Standing | None:
        """Return where the tape goes on: where it stands, or behind what somebody has accepted as lost."""
        return standing

    def lost(self, spark: SparkSession, standing: Standing | None) -> Lost | None:  # noqa: ARG002 -- the port's
        """Return what is gone of what a tape that stands there needs; None for nothing. Raises SourceError."""
        return None

    def begin(self) -> None:  # noqa: B027 -- most need none of these three
        """Get ready, before `stream`: the checkpoint is in order now, or a new one begins."""

    def look(self) -> None:  # noqa: B027
        """Look for what is new, where Spark does not by itself: called all the time while the query runs.

        Raises OSError when what it reads is not there any more.
        """

    def unread(self, progress: Callable[[], Mapping[str, Any]]) -> Mapping[str, int] | None:  # noqa: ARG002 -- the port's
        """Return how many records of each part there are that no batch has taken; None where nobody tells.

        `progress`: what Spark last told of the stream, as JSON; empty before it told anything. The host asks several
        times a second, and waits: nothing that takes long.
        """
        return None

    def done(self, batch: Batch) -> None:  # noqa: B027
        """Take in that a batch is on the tape, by this try or an earlier one."""
