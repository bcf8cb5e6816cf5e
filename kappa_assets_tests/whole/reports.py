"""The lineage sensor beside a lake that lives and dies, and whether it told of every commit exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from kappa_assets.graph import Pipeline
from kappa_assets.names import Layer, TableName
from kappa_assets.orchestration.folders import Folders
from kappa_assets.orchestration.lineage.lineage_cursor import LineageCursor
from kappa_assets.orchestration.sensors.lineage_sensor import Lineage
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets_tests.orchestration.reported import reported


class Reports:
    """A lineage sensor with a Dagster instance of its own. Its cursor lives as the text that Dagster keeps."""

    def __init__(self, instance: dg.DagsterInstance, lake: Lake, pipeline: Pipeline) -> None:
        self.instance = instance
        self.lake = lake
        self.pipeline = pipeline
        self._cursor: str | None = None
        self._lineage = self._fresh()

    def tick(self) -> None:
        """Report what is new."""
        found = self._lineage.tick(self.instance, LineageCursor.from_json(self._cursor))
        self._cursor = found.cursor.to_json()

    def tick_that_dies(self) -> None:
        """Report what is new, and die before Dagster keeps the cursor; the next tick is another process."""
        self._lineage.tick(self.instance, LineageCursor.from_json(self._cursor))
        self._lineage = self._fresh()

    def verify(self) -> None:
        """Assert that every version of every live generation that holds data is told of, once, with all its rows."""
        while LineageCursor.from_json(self._cursor).pending is not None:
            self.tick()
        state = Registry(self.lake).state()
        for table in self.pipeline.tables:
            live = state.live(table)
            generation = 1 if table.layer is Layer.BRONZE or live is None else live.number
            self._verify_table(table, generation)

    def _fresh(self) -> Lineage:
        return Lineage(Folders(self.lake.root, self.lake.root.parent / "landing"), self.pipeline)

    def _verify_table(self, table: TableName, generation: int) -> None:
        start = self.pipeline.start.isoformat()
        sliced = table.layer is not Layer.GOLD
        written = list(_written(self.lake.folder(table, generation), sliced=sliced))
        told = [_Told.of(event) for event in reported(self.instance, table)]
        told = [t for t in told if t.generation == generation and t.commits]
        assert written, f"{table} holds nothing"
        for partition in {w.partition(start) for w in written}:
            here = [w for w in written if w.partition(start) == partition]
            spans = [t for t in told if t.partition == partition]
            for version in {w.version for w in here}:
                times = sum(t.first <= version <= t.last for t in spans)
                assert times == 1, f"{table} version {version}, slice {partition}: told {times} times, in {spans}"
            if sliced:  # an event of a Gold tells all its rows, as every commit writes all
                assert sum(t.rows for t in spans) == sum(w.rows for w in here), (table, partition)


@dataclass(frozen=True)
class _Written:
    """What a version added to one slice (None: an unpartitioned table), as its log file says."""

    version: int
    day: str | None
    rows: int

    def partition(self, start: str) -> str | None:
        """Return the partition that tells of it; slices before the pipeline's start have none."""
        return None if self.day is None or self.day < start else self.day


@dataclass(frozen=True)
class _Told:
    """What an event says: its generation and slice, the versions from `first` to `last`, and their new rows."""

    generation: int
    partition: str | None
    first: int
    last: int
    commits: int
    rows: int

    @classmethod
    def of(cls, event: dg.AssetMaterialization) -> _Told:
        def number(name: str) -> int:
            value: Any = event.metadata[name].value
            return int(value)

        generation, first, last = number("generation"), number("from_version"), number("version")
        return cls(generation, event.partition, first, last, number("commits"), number("rows"))


def _written(table: Path, *, sliced: bool) -> Iterator[_Written]:
    """Yield what the table's log files say, read without the code that the sensor reads them with."""
    for path in sorted((table / "_delta_log").glob("*.json")):
        days: dict[str | None, int] = {}
        for action in map(json.loads, path.read_text().splitlines()):
            if "add" in action and action["add"]["dataChange"]:
                day = action["add"]["partitionValues"]["_arrival_date"] if sliced else None
                days[day] = days.get(day, 0) + json.loads(action["add"]["stats"])["numRecords"]
        yield from (_Written(int(path.stem), day, rows) for day, rows in days.items())


def report_whole(lake: Lake, pipeline: Pipeline) -> None:
    """Let a sensor that was never there before look at a lake, its first tick dying, and verify what it told."""
    with dg.DagsterInstance.ephemeral() as instance:
        reports = Reports(instance, lake, pipeline)
        reports.tick_that_dies()
        reports.tick()
        reports.tick()
        reports.verify()
