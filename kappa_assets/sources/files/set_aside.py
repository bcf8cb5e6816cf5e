"""The side table of a tape: the landed files that were not taken, and those that were put back to be taken again."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyspark.sql.types import LongType, StringType, StructField, StructType, TimestampType

from kappa_assets.columns import SOURCE
from kappa_assets.errors import LakeError, SourceError
from kappa_assets.faults import fault_point
from kappa_assets.names import TableName
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, WrittenFiles, describe_files
from kappa_assets.place.local.lake import Lake
from kappa_assets.sources.ledger.ledger import Delivery

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
    ]
)
_PACKED = ".gz"


@dataclass(frozen=True)
class Rejected:
    """A file that was set aside, by its path below the landing folder, and the name it was put back under, if any."""

    file: str
    reason: str
    batch: int
    at: dt.datetime
    retried_as: str | None = None
    bytes: int | None = None
    modified_ms: int | None = None
    hash: str | None = None
    """Size, time and hash of what was set aside; None where an earlier version did not write them down."""


class SetAsideFiles:
    """The files of one tape that were set aside. The host writes them, and `retry` notes what it puts back."""

    def __init__(self, lake: Lake, bronze: TableName) -> None:
        self._bronze = bronze
        self._tape = lake.folder(bronze)
        self._folder = lake.rejects(bronze)
        self._writer = DeltaWriter(f"rejects of {bronze}", self._folder)

    def add(self, app: str, batch: int, aside: Mapping[str, str], found: Iterable[Delivery] = ()) -> None:
        """Commit the files that a micro-batch sets aside, with the reasons; those of an earlier try are not among them.

        `found`: what they were when they were looked at.

        `app`: the id of the transaction. Where an earlier try has used it, one of its own is made.
        """
        tries = (app if n == 0 else f"{app}/{n}" for n in itertools.count())
        free = next(app for app in tries if not self._writer.is_committed(app, batch))
        now = dt.datetime.now(dt.UTC)
        was = {one.file: one for one in found}
        rows = [Rejected(file, reason, batch, now) for file, reason in aside.items()]
        self._commit([replace(row, **_as_found(was.get(row.file))) for row in rows], free, batch)

    def all(self) -> list[Rejected]:
        """Return every file that was set aside, oldest first, once for each time it was."""
        rows = self._rows()
        put_back = {row.file: row.retried_as for row in rows if row.retried_as}
        return [replace(row, retried_as=put_back.get(row.file)) for row in rows if row.retried_as is None]

    def retry(self, landing: Path, files: Iterable[str] = ()) -> dict[str, str]:
        """Give set-aside files a new name, under which the stream finds them; return the new name of each.

        `files`: paths below the landing folder (none: all that still lie there, and are not on the tape). Raises
        SourceError for one that was not set aside, is gone, or is on the tape.

        The name is noted, then the file renamed, in one step: a process that dies in between has changed nothing, and
        the next try takes another name. So no name is used twice, and nothing is read twice.
        """
        known = {row.file: row for row in self.all()}
        asked = list(dict.fromkeys(files))
        for file in asked:
            self._check(landing, file, known)
        lying = asked or [file for file in known if (landing / file).is_file()]
        on_tape = self._on_tape(landing, lying)
        if asked and on_tape:
            raise SourceError(
                f"{min(on_tape)!r} is on the tape of {self._bronze}: it was read after it had been set aside",
                hint="Nothing need be done; kappa show lists its rows.",
            )
        asked = [file for file in lying if file not in on_tape]
        return {file: self._put_back(landing, known[file]) for file in asked}

    def _check(self, landing: Path, file: str, known: Mapping[str, Rejected]) -> None:
        if file not in known:
            raise SourceError(
                f"{file!r} was not set aside from {self._bronze}",
                hint=f"kappa rejects {self._bronze} lists those that were, by their paths below the landing folder.",
            )
        if not (landing / file).is_file():
            put_back = known[file].retried_as
            raise SourceError(
                f"{file!r} does not lie in the landing folder {str(landing)!r} any more",
                hint=f"It was put back as {put_back!r}."
                if put_back
                else "Land it again, under a new name: then it is read by itself.",
            )

    def _on_tape(self, landing: Path, files: Sequence[str]) -> set[str]:
        """Return the files that were read as they lie there: a new checkpoint finds also what an earlier set aside."""
        try:
            tape = DeltaTable(self._tape).to_pyarrow_dataset()
        except TableNotFoundError:
            return set()
        source = {name: ds.field(SOURCE, name) for name in ("file", "bytes", "modified_at")}
        wanted = ds.field(SOURCE, "file").isin(pa.array(files, pa.string()))
        rows = tape.to_table(columns=source, filter=wanted)
        read = {(r["file"], r["bytes"], int(r["modified_at"].timestamp() * 1000)) for r in rows.to_pylist()}
        stats = {file: (landing / file).stat() for file in files}
        return {file for file, s in stats.items() if (file, s.st_size, s.st_mtime_ns // 1_000_000) in read}

    def _put_back(self, landing: Path, row: Rejected) -> str:
        name = self._fresh_name(landing, row.file)
        noted = Rejected(row.file, row.reason, row.batch, dt.datetime.now(dt.UTC), name)
        number = self._writer.version() + 1
        self._commit([noted], f"kappa/{self._bronze}/retry", number)
        fault_point("retrying", str(self._bronze))
        (landing / row.file).rename(landing / name)
        return name

    def _fresh_name(self, landing: Path, file: str) -> str:
        """Return `a.retry-1.csv` for `a.csv`: the date in a name and the ending stay, for they say when and how."""
        used = {row.retried_as for row in self._rows()}
        path = Path(file)
        ending = "".join(path.suffixes[-2:]) if path.suffix == _PACKED else path.suffix
        stem = path.name.removesuffix(ending)
        names = (str(path.with_name(f"{stem}.retry-{n}{ending}")) for n in itertools.count(1))
        return next(name for name in names if name not in used and not (landing / name).exists())

    def _rows(self) -> list[Rejected]:
        if not self._writer.exists():
            return []
        rows = DeltaTable(self._folder).to_pyarrow_table()
        order = pc.sort_indices(rows, sort_keys=[("at", "ascending"), ("file", "ascending")])
        return [Rejected(**row) for row in rows.take(order).to_pylist()]

    def _commit(self, rows: Iterable[Rejected], app: str, number: int) -> None:
        self._writer.prepare(_COLUMNS)
        files = self._write(pa.Table.from_pylist([vars(row) for row in rows], schema=_ROWS))
        if self._writer.commit(files, Once(app, number), json.dumps({"set_aside": files.rows})) is None:
            raise LakeError(
                f"somebody else wrote to the rejects of {self._bronze} at the same time", hint="Try it again."
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
                f"the rejects of {self._bronze} cannot be written: {error}",
                hint="Check that the disk is there, writable and not full.",
            ) from error
        return describe_files(self._folder, [relative], ())


def _as_found(one: Delivery | None) -> dict[str, Any]:
    return {} if one is None else {"bytes": one.bytes, "modified_ms": one.modified_ms, "hash": one.hash}
