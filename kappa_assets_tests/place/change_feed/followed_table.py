"""A table whose feed is on, changed step by step, and who follows it: Spark's reader, and a plain multiset."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import strategies as st

from kappa_assets.place.change import (
    NO_LEASE,
    Already,
    Applied,
    Change,
    Counts,
    Everything,
    Files,
    Groups,
    Write,
)
from kappa_assets.place.local import local_table
from kappa_assets.place.local.stored_table import LocalStoredTable
from kappa_assets_tests.place.delta_write.both_writers import plain

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Row = dict[str, Any]
INNER = pa.struct([pa.field("a", pa.int32()), pa.field("x", pa.float64())])
ARROW = pa.schema([("k", pa.string()), ("N", pa.int64()), ("x.y", pa.float64()), ("s", INNER), ("l", pa.list_(INNER))])
WITH_MAP = ARROW.append(pa.field("m", pa.map_(pa.string(), pa.int32())))
FLOATS = st.sampled_from([None, math.nan, 0.0, -0.0, 1.5])
INSIDE = st.none() | st.fixed_dictionaries({"a": st.sampled_from([None, 1]), "x": FLOATS})
ROW = st.fixed_dictionaries(
    {
        "k": st.sampled_from([None, "", "a", "b", "m" * 40, "ü"]),
        "N": st.sampled_from([None, 0, 1]),
        "x.y": FLOATS,
        "s": INSIDE,
        "l": st.none() | st.lists(INSIDE, max_size=2),
        "m": st.none() | st.just([]) | st.sampled_from([[("a", None)], [("a", 0)]]),
    }
)
ROWS = st.lists(ROW, max_size=8)


def row(k: str | None, n: int = 0, x: float | None = 1.5) -> Row:
    return {"k": k, "N": n, "x.y": x, "s": {"a": n, "x": None}, "l": [{"a": n, "x": x}], "m": [("a", n)]}


MANY: list[Row] = [row(f"{n:03}", n % 3) for n in range(60)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["everything", "grow", "groups", "groups", "repair", "nothing", "optimize", "dies before", "dies after"]
        ),
        ROWS,
    ),
    min_size=3,
    max_size=6,
)
EACH_STEP: list[tuple[str, list[Row]]] = [
    ("groups", [row("a"), row("a"), row(None, x=math.nan), row("010", 9)]),
    ("optimize", []),
    ("groups", [row("a"), row(None, x=math.nan), row("", x=-0.0)]),
    ("nothing", []),
    ("dies before", [row("b", x=0.0), row("b", x=-0.0)]),
    ("repair", [row("b", x=-0.0), *MANY[:3]]),
    ("optimize", []),
    ("dies after", [row("ü"), row("ü", 2)]),
    ("grow", [row("a", 2)]),
    ("everything", [row("a")]),
]


class Died(Exception):
    """The end of a process, as far as a change is concerned."""


class FollowedTable:
    """The table, in order of its column `k`. Two rows of it may be the same."""

    def __init__(self, spark: SparkSession, folder: Path, arrow: pa.Schema = ARROW, *, feed: bool = True) -> None:
        self.spark = spark
        self.stored = LocalStoredTable(folder, "gold.t")
        self.arrow = arrow
        self.open = self.stored.open(ordered_by=("k",), feed=feed)
        self.open.prepare(self.frame([]).schema)
        self.changes = 0

    def frame(self, rows: Sequence[Row]) -> DataFrame:
        return self.spark.createDataFrame(pa.Table.from_pylist(list(rows), schema=self.arrow))

    @property
    def names(self) -> list[str]:
        schema = self.open.schema()
        assert schema is not None
        return schema.names

    def held_rows(self, version: int | None = None) -> list[Row]:
        found: list[Row] = DeltaTable(self.stored.folder, version=version).to_pyarrow_table().to_pylist()
        return found

    def rows(self, version: int | None = None) -> Counter[Any]:
        return counted(self.held_rows(version), self.names)

    def paths(self) -> set[str]:
        return set(self.stored.files(self.open.version())["path"].to_pylist())

    def on_disk(self) -> set[str]:
        """Return its files, of data and of changes, whether a commit names them or not."""
        folder = self.stored.folder
        return {str(p.relative_to(folder)) for p in folder.rglob("*.parquet") if "_delta_log" not in p.parts}

    def change(self, rows: Sequence[Row], instead_of: Everything | Groups | Files | None, *, small: bool = True) -> Any:
        write = Write("gold.t", 1, "main", self.changes)
        applied = self.open.apply(Change(write, self.frame(rows), told, instead_of, small=small), NO_LEASE)
        self.changes += isinstance(applied, Applied)
        return applied

    def everything(self, rows: Sequence[Row]) -> Any:
        return self.change(rows, Everything())

    def groups(self, rows: Sequence[Row], more: Sequence[str | None] = ()) -> Any:
        keys = list({row["k"]: None for row in rows} | dict.fromkeys(more))
        return self.change(rows, Groups(("k",), pa.table({"k": pa.array(keys, pa.string())})))

    def repair(self, rows: Sequence[Row]) -> Any:
        """Put rows in the place of those of one file."""
        paths = sorted(self.paths())[:1]
        schema = self.frame([]).schema
        held = self.stored.read_files(self.spark, paths, schema) if paths else None
        return self.change(rows, Files(tuple(paths), held))

    def step(self, how: str, rows: list[Row]) -> None:
        match how:
            case "everything":
                self.everything(rows)
            case "grow":
                self.everything([*self.held_rows(), *rows])
            case "groups":
                self.groups(rows, more=["000", "033"] if len(rows) % 2 else [])
            case "repair":
                self.repair(rows)
            case "nothing":
                held = self.held_rows()
                self.groups([row for row in held if row["k"] in ("", None, "010")], more=["", None, "010"])
                self.everything(held[::-1])
            case "optimize":
                DeltaTable(self.stored.folder).optimize.compact()
            case "dies before":
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(local_table, "fault_point", dies)
                    with pytest.raises(Died):
                        self.everything([*self.held_rows(), *rows])
                self.everything([*self.held_rows(), *rows])
            case "dies after":
                self.groups(rows)
                self.changes -= 1
                assert self.groups(rows) == Already()
                self.changes += 1

    def is_told(self, *, exactly: bool = True) -> None:
        """Assert that the feed, applied row by row, gives the table after each version, with no row too many."""
        is_told(self.spark, self.stored, self.names, exactly=exactly)


class Follower:
    """A query as our Golds have it, and what it makes of the feed."""

    def __init__(self, table: FollowedTable, checkpoint: Path) -> None:
        self.table = table
        self.rows = Counter[Any]()
        self.batches = 0
        self._checkpoint = checkpoint

    def drain(self) -> int:
        """Apply all that the feed has, and return in how many batches."""
        before = self.batches
        changes = self.table.stored.changes(self.table.spark, feed=True, limits={"maxFilesPerTrigger": "1000"})
        query = changes.writeStream.option("checkpointLocation", str(self._checkpoint)).trigger(availableNow=True)
        query.foreachBatch(self._apply).start().awaitTermination()
        return self.batches - before

    def _apply(self, batch: DataFrame, _: int) -> None:
        self.batches += 1
        for version, (deleted, inserted) in sorted(by_version(batch, self.table.names).items()):
            assert deleted <= self.rows, version
            self.rows = self.rows - deleted + inserted


def is_told(spark: SparkSession, table: LocalStoredTable, names: Sequence[str], *, exactly: bool = True) -> None:
    """Assert that a table's feed, applied row by row, gives it after each version, with no row too many."""
    reader = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 0)
    said = by_version(reader.load(table.location), names)
    rows = Counter[Any]()
    for version in table.versions():
        deleted, inserted = said.get(version, (Counter[Any](), Counter[Any]()))
        assert deleted <= rows, (version, deleted - rows)
        before, rows = rows, rows - deleted + inserted
        assert rows == counted(DeltaTable(table.folder, version=version).to_pyarrow_table().to_pylist(), names), version
        if exactly:
            assert (deleted, inserted) == (before - rows, rows - before), version


def told(counts: Counts) -> str:
    return json.dumps({"rows": counts.rows, "held": counts.held})


def dies(point: str, table: str) -> None:
    if point == "after_rejects":
        raise Died


def counted(rows: Sequence[Row], names: Sequence[str]) -> Counter[Any]:
    return Counter(tuple(plain(row.get(name)) for name in names) for row in rows)


def by_version(feed: DataFrame, names: Sequence[str]) -> dict[int, tuple[Counter[Any], Counter[Any]]]:
    """Return what a feed says is deleted and inserted, by version."""
    found: dict[int, tuple[Counter[Any], Counter[Any]]] = {}
    for row in feed.toArrow().to_pylist():
        deleted, inserted = found.setdefault(row["_commit_version"], (Counter(), Counter()))
        side = {"delete": deleted, "insert": inserted}[row["_change_type"]]
        side.update(counted([row], names))
    return found
