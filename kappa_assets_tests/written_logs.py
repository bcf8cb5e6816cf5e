"""Delta logs written by hand, commit by commit: states that a healthy stream never leaves behind, without Spark."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappa_assets import Files, Pipeline, bronze, expect, gold, silver
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.log.note import IMPLAUSIBLE, LANDED, CommitNote, InputRange, Offset, Position
from kappa_assets.names import TableName
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry, events

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

clicks = bronze(
    "clicks", source=Files("clicks", format="json", overwritten="name"), columns={"value": "a line, as it came"}
)


@silver(
    expect=[
        expect("timely", "at IS NOT NULL", on_fail="warn"),
        expect("known", "page <> ''", on_fail="drop"),
        expect("whole", "bytes > 0", on_fail="quarantine"),
    ]
)
def visits(clicks: DataFrame) -> DataFrame:
    return clicks


@gold(keys=["page"], every="10 minutes")
def pages(visits: DataFrame) -> DataFrame:
    return visits


PIPELINE = Pipeline.from_tables("web", [clicks, visits, pages], start=dt.date(2026, 2, 1))
CLICKS, VISITS, PAGES = clicks.name, visits.name, pages.name


class WrittenLake:
    """A lake of the pipeline above, or of another. Each commit is a minute after the one before, over all tables."""

    def __init__(self, where: Path, *, logic: str | None = None, pipeline: Pipeline = PIPELINE) -> None:
        self.lake = Lake.at(where)
        self.now = START
        registry = Registry(self.lake)
        made = [events.generation_created(t.name, 1, logic or code_version(t)) for t in pipeline.derived]
        release = events.release_created(1, {t.name: 1 for t in pipeline.derived}, "first")
        registry.commit(registry.state(), [*made, release])
        self._versions: dict[TableName, int] = {}
        for table in pipeline:
            self.commit(table.name, None, operation="CREATE TABLE")

    def land(
        self,
        rows: int = 3,
        *,
        batch: int | None = None,
        day: str = "2026-03-01",
        implausible: int = 0,
        landed: Sequence[tuple[str, int, int]] = (),
    ) -> int:
        """Put a batch on the tape and return its version. `landed`: name, bytes, milliseconds of its files."""
        version = self.version(CLICKS) + 1
        number = version - 1 if batch is None else batch
        source: dict[str, Any] = {"name": "clicks", IMPLAUSIBLE: implausible} if implausible else {}
        source |= {LANDED: landed} if landed else {}
        note = CommitNote(str(CLICKS), 1, number, "", tape_batch=number, rows=rows, source=source)
        return self.commit(CLICKS, note, add={day: rows} if rows else {})

    def read(
        self,
        table: TableName,
        upto: int,
        *,
        since: int | None = None,
        rows: int = 3,
        batch: int | None = None,
        **said: Any,
    ) -> int:
        """Have a table read its upstream up to and with version `upto`, and return the version it wrote.

        `said`: other fields of the commit's note.
        """
        (upstream,) = PIPELINE.upstreams[table]
        begins = None if since is None else Offset(since + 1, -1, False)
        note = CommitNote(
            str(table),
            1,
            0,
            "logic",
            reads={str(upstream): InputRange(1, begins, Offset(upto + 1, -1, False), upto)},
            position={
                str(CLICKS): Position(upto - 1 if batch is None else batch, upto if batch is None else batch + 1)
            },
            rows=rows,
            **said,
        )
        return self.commit(table, note, add={"2026-03-01": rows} if rows else {})

    def commit(
        self,
        table: TableName,
        note: CommitNote | None,
        *,
        add: Mapping[str, int] | None = None,
        remove: bool = False,
        data_change: bool = True,
        operation: str = "WRITE",
    ) -> int:
        """Write the table's next log file and return its version."""
        self.now += dt.timedelta(minutes=1)
        version = self.version(table) + 1
        self._versions[table] = version
        actions: list[dict[str, Any]] = [
            {
                "commitInfo": {
                    "timestamp": int(self.now.timestamp() * 1000),
                    "operation": operation,
                    "userMetadata": note.to_json() if note else None,
                }
            }
        ]
        if version == 0:
            actions += _TABLE
        for day, rows in (add or {}).items():
            actions.append(
                {
                    "add": {
                        "path": f"{version}-{day}.parquet",
                        "partitionValues": {"_arrival_date": day},
                        "size": 1,
                        "modificationTime": 0,
                        "dataChange": data_change,
                        "stats": json.dumps({"numRecords": rows}),
                    }
                }
            )
        if remove:
            actions.append({"remove": {"path": "1-2026-03-01.parquet", "dataChange": data_change}})
        log = self.lake.folder(table) / "_delta_log"
        log.mkdir(parents=True, exist_ok=True)
        (log / f"{version:020d}.json").write_text("\n".join(json.dumps(a) for a in actions))
        return version

    def version(self, table: TableName) -> int:
        return self._versions.get(table, -1)


_TABLE: list[dict[str, Any]] = [
    {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
    {
        "metaData": {
            "id": "5b0f2a1e-0000-4000-8000-000000000000",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps(
                {
                    "type": "struct",
                    "fields": [
                        {"name": "value", "type": "string", "nullable": True, "metadata": {}},
                        {"name": "_arrival_date", "type": "date", "nullable": True, "metadata": {}},
                    ],
                }
            ),
            "partitionColumns": ["_arrival_date"],
            "configuration": {},
        }
    },
]
