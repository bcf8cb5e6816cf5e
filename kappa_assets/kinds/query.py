"""What every streaming query of a table has in common: its target, its batches, and what it may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path  # for the landing folder, which is of no lake
from typing import Any, Protocol, runtime_checkable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from kappa_assets.errors import TableMissing
from kappa_assets.log.checkpoint import Checkpoint
from kappa_assets.names import TableName
from kappa_assets.place.change import NO_LEASE, Fence
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.port import OpenTable, StoredTable
from kappa_assets.place.registry import Generation


class StartAgain(Exception):
    """Raised by a batch whose query was started on what does not hold any more; nothing of the batch is written."""


@dataclass(frozen=True)
class Pace:
    """How much one micro-batch may take at most: landed files, files of an upstream table, bytes of them."""

    landed_files: int = 1_000
    table_files: int = 2**31 - 1
    table_bytes: str = "8g"

    @property
    def limits(self) -> dict[str, str]:
        """What one batch of an upstream table takes at most, as Delta names it."""
        return {"maxBytesPerTrigger": self.table_bytes, "maxFilesPerTrigger": str(self.table_files)}


@dataclass(frozen=True)
class Setting:
    """Where queries run: one Spark session, one lake, one landing folder."""

    spark: SparkSession
    lake: Lake
    landing: Path
    pace: Pace = Pace()
    fence: Fence = NO_LEASE
    """The lease under which its tables are written; who holds none is refused where somebody has written under one."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the Spark session out, which stays in its process: a batch brings its own."""
        return {name: value for name, value in vars(self).items() if name != "spark"}


class TableQuery(Protocol):
    """One streaming query: the table and generation it writes, its stream, and how a batch is applied."""

    @property
    def table(self) -> TableName:
        """The table that it writes."""
        ...

    @property
    def generation(self) -> int:
        """Which of the table's generations; a tape has 1 for ever."""
        ...

    @property
    def checkpoint(self) -> Checkpoint:
        """The folder of what Spark has read, and knows it has."""
        ...

    @property
    def upstreams(self) -> tuple[StoredTable, ...]:
        """The Delta tables that it reads; none for a tape, which reads a landing folder."""
        ...

    @property
    def every(self) -> float:
        """The least seconds between the beginnings of two batches; 0 where there is no such bound."""
        ...

    def is_ready(self) -> bool:
        """Return whether what it reads exists yet."""
        ...

    def prepare(self) -> None:
        """Check the logic on Spark's analysed plan and make the table. Raises LogicError, LakeError."""
        ...

    def stream(self) -> DataFrame:
        """Return the stream of what it reads, with the columns it needs."""
        ...

    def apply(self, batch: DataFrame, number: int) -> None:
        """Write one micro-batch, once, however often it is tried."""
        ...


@runtime_checkable
class LooksForItself(Protocol):
    """A query that tells Spark itself what there is to read, and so has to look for it while it runs."""

    def look(self) -> None:
        """Look for what is new. It may take long, and is never called by two threads at once for the same folder.

        Raises OSError when what it reads is not there any more.
        """
        ...


@runtime_checkable
class MayWait(Protocol):
    """A query that takes in only what its upstreams have in common, and so may have to wait for one of them."""

    def waits(self) -> bool:
        """Return whether the last look has found something that cannot be taken yet."""
        ...


@runtime_checkable
class KnowsWhatIsLeft(Protocol):
    """A query that knows how much there is that it has not taken yet."""

    def unread(self, progress: Callable[[], Mapping[str, Any]]) -> Mapping[str, int] | None:
        """Return how many records of each part of what it reads are left; None where nobody tells.

        `progress`: what Spark last told of the running query, as JSON; empty before it told anything.
        """
        ...


@runtime_checkable
class OneOfSeveral(Protocol):
    """A query that may be one of several which write its table."""

    @property
    def label(self) -> str | None:
        """Which of them it is; None where it is the only one."""
        ...


@runtime_checkable
class TellsOfBatches(Protocol):
    """A query that can say of a micro-batch what it is to do, for who reads why it failed."""

    def told_of(self, batch: DataFrame, number: int) -> str:
        """Return what the batch reads, and where the function is that it goes through."""
        ...


def columns_of(upstream: OpenTable, reader: TableName, name: object) -> StructType:
    """Return the columns of what a table reads. Raises TableMissing where it is not written yet."""
    schema = upstream.schema()
    if schema is None:
        hint = "Nothing is wrong with the table: let its upstream catch up first, with kappa drain or its stream."
        raise TableMissing(f"{reader} has nothing to read yet: {name} is not written", hint=hint)
    return schema


def checkpoint_of(lake: Lake, generation: Generation) -> Checkpoint:
    """Return the checkpoint of a generation's query."""
    return Checkpoint(lake.checkpoint_of(generation.table, generation.number))
