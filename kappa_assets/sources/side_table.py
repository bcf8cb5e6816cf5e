"""The side table of a tape: the deliveries that were not taken, and those that were put back to be taken again."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.sql.types import LongType, StringType, StructField, StructType, TimestampType

from kappa_assets.errors import LakeError
from kappa_assets.names import TableName
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, WrittenFiles, describe_files
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.ledger.ledger import Delivery
from kappa_assets.sources.source import Refused

_COLUMNS = StructType(
    [
        StructField("file", StringType()),
        StructField("reason", StringType()),
        StructField("batch", LongType()),
        StructField("at", TimestampType()),
        StructField("retried_as", StringType()),
        StructField("bytes", LongType()),
        StructField("modified_ms", LongType()),
        StructField("hash", StringType()),
        StructField("source", StringType()),
    ]
)
_ROWS = pa.schema(
    [
        ("file", pa.string()),
        ("reason", pa.string()),
        ("batch", pa.int64()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("retried_as", pa.string()),
        ("bytes", pa.int64()),
        ("modified_ms", pa.int64()),
        ("hash", pa.string()),
        ("source", pa.string()),
    ]
)


@dataclass(frozen=True)
class Rejected:
    """A delivery that was set aside, by its name: a file's path below the landing folder. `retried_as`: put back so."""

    file: str
    reason: str
    batch: int
    at: dt.datetime
    retried_as: str | None = None
    bytes: int | None = None
    modified_ms: int | None = None
    hash: str | None = None
    """Size, time and hash of what was set aside; None where an earlier version did not write them down."""
    source: str | None = None
    """Which source it is from; None from a tape that had no other then."""


class SideTable:
    """The deliveries of one tape that were set aside."""

    def __init__(self, lake: Lake, bronze: TableName) -> None:
        self.bronze = bronze
        self._folder = lake.rejects(bronze)
        self.writer = DeltaWriter(f"rejects of {bronze}", self._folder)

    def add(self, app: str, batch: int, aside: Sequence[Refused], source: str | None = None) -> None:
        """Commit the deliveries that a micro-batch sets aside; those of an earlier try are not among them.

        `app`: the id of the transaction. Where an earlier try has used it, one of its own is made.
        """
        tries = (app if n == 0 else f"{app}/{n}" for n in itertools.count())
        free = next(app for app in tries if not self.writer.is_committed(app, batch))
        now = dt.datetime.now(dt.UTC)
        rows = [Rejected(one.name, one.reason, batch, now, source=source) for one in aside]
        found = [replace(row, **_as_found(one.was)) for row, one in zip(rows, aside, strict=True)]
        self.commit(found, free, batch)

    def all(self) -> list[Rejected]:
        """Return every file that was set aside, oldest first, once for each time it was."""
        rows = self.rows()
        put_back = {(row.source, row.file): row.retried_as for row in rows if row.retried_as}
        aside = (row for row in rows if row.retried_as is None)
        return [replace(row, retried_as=put_back.get((row.source, row.file))) for row in aside]

    def rows(self) -> list[Rejected]:
        """Return what the table holds, oldest first: what was set aside, and what was put back."""
        if not self.writer.exists():
            return []
        rows = DeltaTable(self._folder).to_pyarrow_table()
        order = pc.sort_indices(rows, sort_keys=[("at", "ascending"), ("file", "ascending")])
        return [Rejected(**row) for row in rows.take(order).to_pylist()]

    def commit(self, rows: Iterable[Rejected], app: str, number: int) -> None:
        """Add rows in one transaction with this id. Raises LakeError."""
        self.writer.prepare(_COLUMNS)
        files = self._write(pa.Table.from_pylist([vars(row) for row in rows], schema=_ROWS))
        if self.writer.commit(files, Once(app, number), json.dumps({"set_aside": files.rows})) is None:
            raise LakeError(
                f"somebody else wrote to the rejects of {self.bronze} at the same time", hint="Try it again."
            )

    def _write(self, rows: pa.Table) -> WrittenFiles:
        if not rows.num_rows:
            return NOTHING
        relative = f"data/{uuid.uuid4().hex}/part-0.parquet"
        path = self._folder / relative
        try:
            path.parent.mkdir(parents=True)
            pq.write_table(rows, path, compression="snappy")
        except OSError as error:
            raise LakeError(
                f"the rejects of {self.bronze} cannot be written: {error}",
                hint="Check that the disk is there, writable and not full.",
            ) from error
        return describe_files(self._folder, [relative], ())


def _as_found(one: Delivery | None) -> dict[str, Any]:
    return {} if one is None else {"bytes": one.bytes, "modified_ms": one.modified_ms, "hash": one.hash}
