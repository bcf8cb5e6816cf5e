"""A Silver of a few rows changed by hand, three Golds that follow it, and what they must hold, in plain Python."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.sql.types import StructType

from kappa_assets import gold
from kappa_assets.columns import ARRIVAL_DATE
from kappa_assets.declare.tables import Gold
from kappa_assets.host.runner import Runner
from kappa_assets.kinds.append import PROPERTIES
from kappa_assets.kinds.kind import Standing
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.delta_log import commits
from kappa_assets.log.note import BEFORE_THE_TAPE, CommitNote, Position
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles, describe_files
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Generation

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SILVER, BRONZE = TableName.parse("silver.sales"), TableName.parse("bronze.invoices")
SCHEMA = (
    StructType()
    .add("_batch_id", "long")
    .add("_row", "long")
    .add("_arrived_at", "timestamp")
    .add(ARRIVAL_DATE, "date")
    .add("shop", "string")
    .add("units", "long")
    .add("till.no", "string")  # which no Gold reads
)
_DAY = dt.date(2026, 1, 5)
_ARROW = pa.schema(
    [
        ("_batch_id", pa.int64()),
        ("_row", pa.int64()),
        ("_arrived_at", pa.timestamp("us", tz="UTC")),
        ("shop", pa.string()),
        ("units", pa.int64()),
        ("till.no", pa.string()),
    ]
)

Sale = tuple[str, int]
"""A shop and how many units it sold; all that a test says of a row."""
Change = Callable[["Scene"], None]


def _units_of(sales: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    return sales.groupBy("shop").agg(F.sum("units").alias("units"), F.count("*").alias("lines"))


@gold(keys=["shop"], combine={"units": "sum", "lines": "count"})
def combined(sales: DataFrame) -> DataFrame:
    """Merged batch by batch."""
    return _units_of(sales)


@gold(keys=["shop"])
def keyed(sales: DataFrame) -> DataFrame:
    """Recomputed by touched key."""
    return _units_of(sales)


@gold(keys=["shop"], keep_inputs=True)
def kept(sales: DataFrame) -> DataFrame:
    """Recomputed by touched key, from rows that are kept beside it."""
    return _units_of(sales)


@gold()
def whole(sales: DataFrame) -> DataFrame:
    """Recomputed whole."""
    return _units_of(sales)


GOLDS: dict[str, Gold] = {"combined": combined, "keyed": keyed, "kept": kept, "whole": whole}


def sums(rows: Sequence[Sale]) -> Counter[tuple[str, int, int]]:
    """Return what each of the Golds holds of these rows, each of its own rows once."""
    units: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for shop, sold in rows:
        units[shop] += sold
        lines[shop] += 1
    return Counter((shop, units[shop], lines[shop]) for shop in lines)


@dataclass
class Scene:
    """One Silver, and at each of its versions the rows that are in it."""

    setting: Setting
    held: dict[str, list[Sale]] = field(default_factory=dict)
    """The rows of each of its files, by path."""
    contents: dict[int, list[Sale]] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    batches: int = 0

    def __post_init__(self) -> None:
        folder = self.setting.lake.folder(SILVER)
        self._writer = DeltaWriter(str(SILVER), folder, partition_by=(ARRIVAL_DATE,), properties=PROPERTIES)
        self._writer.prepare(SCHEMA)
        self._remember()

    @property
    def folder(self) -> Path:
        return self._writer.folder

    def append(self, files: Sequence[Sequence[Sale]]) -> None:
        """Commit one batch of Silver, with these rows in so many files."""
        self.batches += 1
        self._commit(self._written(files))
        self._remember()

    def commit(self, written: WrittenFiles) -> None:
        """Commit one batch of Silver whose files are written already, and of whose rows nothing is remembered."""
        self.batches += 1
        self._commit(written)

    def _commit(self, written: WrittenFiles) -> None:
        self._writer.commit(written, Once("main", self.batches - 1), self._note())

    def repair(self, files: Sequence[Sequence[Sale]]) -> None:
        """Put these files in the place of all that are there, as the repair of a slice does."""
        old, self.held = list(self.held), {}
        once = Once("repair", self._writer.version())
        assert self._writer.exchange(old, self._written(files), once, self._note) is not None
        self._remember()

    def delete(self, shop: str) -> None:
        """Delete a shop's rows by hand, as Delta does it: with change files."""
        table = DeltaTable(self.folder)
        table.delete(f"shop = '{shop}'")
        self.held = {
            path: [(s["shop"], s["units"]) for s in pq.read_table(self.folder / path).to_pylist()]
            for path in DeltaTable(self.folder).get_add_actions().column("path").to_pylist()
        }
        self._remember()

    def add_column(self, name: str) -> None:
        """Add a column that no row has yet."""
        schema = self._writer.schema()
        assert schema is not None
        self._writer.prepare(schema.add(name, "long"))
        self._remember()

    def optimize(self) -> None:
        """Commit a version without data."""
        DeltaTable(self.folder).optimize.compact()
        paths = DeltaTable(self.folder).get_add_actions().column("path").to_pylist()
        rows = [sale for sales in self.held.values() for sale in sales]
        if set(paths) != set(self.held):
            assert len(paths) == 1
            self.held = {paths[0]: rows}
        self._remember()

    def age(self, seconds: float) -> None:
        """Make all of its commits older."""
        for entry in (self.folder / "_delta_log").glob("*.json"):
            then = entry.stat().st_mtime - seconds
            os.utime(entry, (then, then))

    def _remember(self) -> None:
        version = DeltaTable(self.folder).version()
        self.contents[version] = [sale for sales in self.held.values() for sale in sales]
        self.positions[version] = self._position()

    def _position(self) -> Position:
        """Return where on the tape it stands; Bronze had a hundred versions before its first batch."""
        return Position(self.batches - 1, self.batches + 99) if self.batches else BEFORE_THE_TAPE

    def _written(self, files: Sequence[Sequence[Sale]]) -> WrittenFiles:
        paths = []
        for sales in files:
            path = f"data/{uuid.uuid4().hex}/{ARRIVAL_DATE}={_DAY}/part-0.parquet"
            arrived = dt.datetime.combine(_DAY, dt.time(8), dt.UTC)
            rows = [
                {"_batch_id": self.batches, "_row": n, "_arrived_at": arrived, "shop": shop, "units": units}
                for n, (shop, units) in enumerate(sales)
            ]
            (self.folder / path).parent.mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=_ARROW), self.folder / path)
            self.held[path] = list(sales)
            paths.append(path)
        return describe_files(self.folder, paths, (ARRIVAL_DATE,))

    def _note(self) -> str:
        return CommitNote(str(SILVER), 1, self.batches, "", position={str(BRONZE): self._position()}).to_json()


@dataclass
class Follower:
    """One Gold of a scene, drained as the host does it."""

    scene: Scene
    gold: Gold
    is_read: bool = False
    """Whether others follow it."""

    def __post_init__(self) -> None:
        self.folder = self.scene.setting.lake.folder(self.gold.name, 1)

    def drain(self, files: int = 1_000) -> None:
        """Read all that Silver holds now, so many of its files in a batch."""
        setting = self.scene.setting
        paced = Setting(setting.spark, setting.lake, setting.landing, Pace(table_files=files))
        generation = Generation(self.gold.name, 1, "", 1, 0, None, None, "2026-01-05T00:00:00+00:00")
        standing = Standing((SILVER,), (Tape(paced.lake, BRONZE),), "", frozenset({SILVER}), is_read=self.is_read)
        Runner(kind_of(self.gold).query(paced, self.gold, generation, standing)).drain(lambda: None)

    def is_interrupted(self, files: int, by: type[Exception]) -> bool:
        """Drain, and return whether an error of this type put an end to it."""
        try:
            self.drain(files)
        except by:
            return True
        return False

    def rows(self, version: int | None = None) -> Counter[tuple[Any, ...]]:
        table = DeltaTable(self.folder, version=version).to_pyarrow_table().to_pylist()
        return Counter((row["shop"], row["units"], row["lines"]) for row in table)

    def notes(self) -> dict[int, CommitNote]:
        """Return the note of each commit, by version."""
        return {c.version: c.note for c in commits(self.folder) if c.note is not None}


def scene_at(spark: SparkSession, root: Path) -> Scene:
    """Make an empty Silver in a new lake below `root`."""
    return Scene(Setting(spark, Lake.at(root / "lake"), root / "landing"))
