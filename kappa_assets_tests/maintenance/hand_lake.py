"""A lake written without Spark, by the product's own committers: a tape, a Silver and a Gold, batch by batch."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DateType,
    DecimalType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from kappa_assets import Pipeline
from kappa_assets.log.delta_log import last_note
from kappa_assets.log.note import CommitNote, InputRange, Offset, Position
from kappa_assets.maintenance import Policy
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.names import Layer, TableName
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import describe_files
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry, events
from kappa_assets_tests.written_logs import CLICKS, PAGES, PIPELINE, VISITS

DAY = "_arrival_date"
MONDAY, TUESDAY = "2026-01-05", "2026-01-06"
_COLUMNS = [
    pa.field("value", pa.string()),
    pa.field("amount", pa.decimal128(38, 4)),
    pa.field("_source", pa.struct([pa.field("file", pa.string()), pa.field("bytes", pa.int64())])),
    pa.field("tags", pa.list_(pa.field("element", pa.string()))),
    pa.field("_batch_id", pa.int64()),
    pa.field("_row", pa.int64()),
    pa.field("_arrived_at", pa.timestamp("us", tz="UTC")),
]


class HandLake:
    """Release 1 has generation 1 of both tables. Every batch is one commit with one small file per day."""

    def __init__(self, where: Path) -> None:
        self.lake = Lake.at(where)
        self.registry = Registry(self.lake)
        made = [events.generation_created(name, 1, "logic") for name in (VISITS, PAGES)]
        self.say(*made, events.release_created(1, {VISITS: 1, PAGES: 1}, "first"))

    def say(self, *said: Any) -> None:
        self.registry.commit(self.registry.state(), said)

    def land(self, *days: str, rows: int = 3, lacking: str = "") -> None:
        """Put one batch on the tape; its files may lack a column."""
        writer = self._writer(CLICKS)
        found = last_note(writer.folder)
        batch = 0 if found is None else found[1].batch + 1
        position = Position(batch, writer.version() + 1)
        note = CommitNote(str(CLICKS), 1, batch, "", position={str(CLICKS): position}, tape_batch=batch, rows=rows)
        self._commit(writer, days, batch, rows, note, "clicks", lacking=lacking)

    def read(
        self,
        table: TableName = VISITS,
        generation: int = 1,
        *,
        days: Sequence[str] = (MONDAY,),
        upstream: TableName | None = None,
        told: bool = False,
    ) -> None:
        """Have a table read everything its upstream holds, in one batch that writes a row per day.

        `told`: with a change file, as a table does that others follow.
        """
        upstream = upstream or PIPELINE.upstreams[table][0]
        above = self.folder(upstream, 1 if upstream.is_tape else generation)
        writer = self._writer(table, generation)
        found = last_note(writer.folder)
        before = found[1].reads[str(upstream)].until if found else None
        version = DeltaTable(above).version()
        read = InputRange(generation, before, Offset(version + 1, -1, False), version)
        read = InputRange(1, before, read.until, version) if upstream.is_tape else read
        batch = found[1].batch + 1 if found else 0
        head = last_note(self.folder(CLICKS))
        assert head is not None
        assert head[1].tape_batch is not None
        position = Position(head[1].tape_batch, head[0])
        note = CommitNote(
            str(table),
            generation,
            batch,
            "logic",
            reads={str(upstream): read},
            position={str(CLICKS): position},
            rows=1,
        )
        self._commit(writer, days, batch, 1, note, f"g{generation}", replace=table.layer is Layer.GOLD, told=told)

    def folder(self, table: TableName, generation: int = 1) -> Path:
        return self.lake.folder(table, generation)

    def rows(self, table: TableName, generation: int = 1) -> Counter[str]:
        """Return a table's rows as text, read by delta-rs."""
        return Counter(map(str, DeltaTable(self.folder(table, generation)).to_pyarrow_table().to_pylist()))

    def files(self, table: TableName, generation: int = 1) -> set[str]:
        """Return the data files on disk."""
        folder = self.folder(table, generation)
        return {str(p.relative_to(folder)) for p in folder.rglob("*.parquet") if "_delta_log" not in p.parts}

    def _writer(self, table: TableName, generation: int = 1) -> DeltaWriter:
        bronze = table.layer is Layer.BRONZE
        properties = {"delta.appendOnly": "true"} if bronze else {"delta.enableChangeDataFeed": "true"}
        sliced = () if table.layer is Layer.GOLD else (DAY,)
        writer = DeltaWriter(
            str(table), self.lake.folder(table, generation), partition_by=sliced, properties=properties
        )
        writer.prepare(_spark_schema())
        return writer

    def _commit(
        self,
        writer: DeltaWriter,
        days: Sequence[str],
        batch: int,
        rows: int,
        note: CommitNote,
        app: str,
        *,
        replace: bool = False,
        lacking: str = "",
        told: bool = False,
    ) -> None:
        sliced = bool(writer.partition_by)
        paths = [write_file(writer.folder, day if sliced else None, batch, rows, lacking) for day in days]
        files = describe_files(writer.folder, paths, writer.partition_by)
        if told:
            changed = describe_files(
                writer.folder, [write_file(writer.folder, None, batch, 1, below="_change_data")], ()
            )
            old = writer.held()["path"].to_pylist()
            assert writer.exchange(old, files, Once(app, batch), note.to_json, changed=changed) is not None
            return
        assert writer.commit(files, Once(app, batch), note.to_json(), replace=replace) is not None


def write_file(folder: Path, day: str | None, batch: int, rows: int, lacking: str = "", below: str = "data") -> str:
    """Write a data file that no commit names yet, where the streams write theirs, and return its path in the table."""
    relative = f"{below}/{uuid.uuid4().hex}" + (f"/{DAY}={day}" if day else "")
    (folder / relative).mkdir(parents=True)
    found = [_row(batch, number) | ({} if day else {DAY: dt.date(2026, 1, 5)}) for number in range(rows)]
    columns = [f for f in _COLUMNS if f.name != lacking]
    schema = pa.schema(columns if day else [*columns, pa.field(DAY, pa.date32())])
    pq.write_table(pa.Table.from_pylist(found, schema=schema), folder / relative / "part-0.parquet")
    return f"{relative}/part-0.parquet"


def _row(batch: int, number: int) -> dict[str, Any]:
    amount = decimal.Decimal("12345678901234567890.1234") + batch
    return {
        "value": None if number == 1 else f"é{batch}",
        "amount": amount,
        "_source": {"file": f"f{batch}.csv", "bytes": None if number == 2 else number},
        "tags": [None, "a"] if number else [],
        "_batch_id": batch,
        "_row": number,
        "_arrived_at": dt.datetime(2026, 1, 5, 12, 0, batch % 60, 123456, tzinfo=dt.UTC),
    }


def _spark_schema() -> StructType:
    source = StructType([StructField("file", StringType()), StructField("bytes", LongType())])
    kinds: dict[str, DataType] = {
        "value": StringType(),
        "amount": DecimalType(38, 4),
        "_source": source,
        "tags": ArrayType(StringType()),
        "_batch_id": LongType(),
        "_row": LongType(),
        "_arrived_at": TimestampType(),
        DAY: DateType(),
    }
    return StructType([StructField(name, kind) for name, kind in kinds.items()])


def now(**later: float) -> dt.datetime:
    """Return the time that it is, or that it is so much later."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(**later)


def run(
    hand: HandLake, pipeline: Pipeline = PIPELINE, policy: Policy | None = None, *, at: dt.datetime | None = None
) -> None:
    """Do the upkeep of a lake, at a time that is given."""
    maintain(hand.lake, pipeline, policy, now=at, progress=lambda _: None)
