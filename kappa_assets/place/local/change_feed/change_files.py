"""The change files of a commit that replaces files: written by this process where there is little to compare."""

from __future__ import annotations

import filecmp
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import quoted
from kappa_assets.place.change import Groups
from kappa_assets.place.local.change_feed.differing import differing
from kappa_assets.place.local.change_feed.row_changes import CHANGE, changed_rows, tells_rows_apart
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, WrittenFiles, describe_files, write_files
from kappa_assets.place.local.delta_write.small_files import fits_arrow, write_part
from kappa_assets.place.local.key_order.key_order import in_groups
from kappa_assets.place.local.pinned import read_at
from kappa_assets.place.local.spark_paths import literal_path

CHANGES = "_change_data"
"""Where Delta keeps change files, below a table's folder."""
_COMPARED = 16 << 20
"""Bytes of files, old and new, up to which this process compares all of their rows: 2 x 400,000 in 0.3 s."""
_SEARCHED = 64 << 20
"""Bytes of files up to which this process looks in them for the rows of some groups, a file at a time."""


_COMPARED_ANYWAY = 128 << 10
"""Bytes of files, old and new, up to which all rows are compared though nobody follows the table: some 3,000, in 6 ms
of a batch's 200. Beyond, only files that are the same byte by byte are found to be the same."""


@dataclass(frozen=True)
class Held:
    """Files of a table, below its folder, and their bytes and rows."""

    paths: tuple[str, ...]
    bytes: int
    rows: int | None = None
    """None where that is not known."""

    @classmethod
    def all_of(cls, files: pa.Table) -> Held:
        """Return all files of a table, given as `StoredTable.files` gives them."""
        rows = files["num_records"].to_pylist()
        return cls(
            tuple(files["path"].to_pylist()), sum(files["size_bytes"].to_pylist()), None if None in rows else sum(rows)
        )


@dataclass(frozen=True)
class ChangeFiles:
    """Writes the change files of one table: `folder` at `version`, which has these columns and partitions."""

    folder: Path
    version: int
    schema: StructType
    partition_by: tuple[str, ...] = ()

    def of(
        self, spark: SparkSession, old: Held, new: WrittenFiles, groups: Groups | None = None
    ) -> WrittenFiles | None:
        """Write the rows that differ between files that are taken away and those that come in their place.

        NOTHING where none does; None where the files tell it as well by themselves. With `groups` all rows that are in
        none of them are known to be the same; without, `old` are all files of the table.
        """
        if not old.paths or not new.actions:
            return None
        size, most = old.bytes + new.bytes, _COMPARED if groups is None else _SEARCHED
        if size <= most and not self.partition_by and fits_arrow(self.schema):
            return self._compared_here(old, new, groups)
        fresh = self._in_spark(spark, [action.path for action in new.actions])
        if groups is None:
            return self._compared(read_at(spark, self.folder, self.version), fresh)
        before, after = (in_groups(rows, groups, kept=False) for rows in (self._in_spark(spark, old.paths), fresh))
        if tells_rows_apart(self.schema):
            return self._compared(before, after)
        said = zip((before, after), ("delete", "insert"), strict=True)
        deleted, inserted = (rows.withColumn(CHANGE, F.lit(what)) for rows, what in said)
        return self._written(deleted.unionAll(inserted))

    def are_the_same(self, old: Held, new: WrittenFiles) -> bool:
        """Return whether all files of the table hold the rows of new ones, where that is told at next to no cost."""
        if old.rows != new.rows or not new.actions or self.partition_by:
            return False
        if old.bytes == new.bytes and len(old.paths) == len(new.actions):
            before, after = _in_their_order(old.paths), _in_their_order(action.path for action in new.actions)
            pairs = zip(before, after, strict=True)
            if all(filecmp.cmp(self.folder / a, self.folder / b, shallow=False) for a, b in pairs):
                return True
        small = old.bytes + new.bytes <= _COMPARED_ANYWAY and fits_arrow(self.schema)
        return small and self._differing(old, new, None) is None

    def _compared_here(self, old: Held, new: WrittenFiles, groups: Groups | None) -> WrittenFiles:
        changed = self._differing(old, new, groups)
        if changed is None:
            return NOTHING
        path = f"{CHANGES}/{uuid.uuid4().hex}/part-0.parquet"
        (self.folder / path).parent.mkdir(parents=True)
        write_part(changed, self.folder / path)
        return describe_files(self.folder, [path], ())

    def _differing(self, old: Held, new: WrittenFiles, groups: Groups | None) -> pa.Table | None:
        said = deltalake.Schema.from_json(json.dumps(self.schema.jsonValue()))
        schema = pa.schema(said.to_arrow())
        paths = old.paths, [action.path for action in new.actions]
        return differing(*(rows_of_files(self.folder, some, schema, groups) for some in paths))

    def _compared(self, old: DataFrame, new: DataFrame) -> WrittenFiles | None:
        if not tells_rows_apart(self.schema):
            return None
        names = [quoted(name) for name in self.schema.names]
        with changed_rows(old.select(*names), new.select(*names)) as changed:
            return NOTHING if changed is None else self._written(changed)

    def _written(self, changed: DataFrame) -> WrittenFiles:
        return write_files(changed, self.folder, self.partition_by, below=CHANGES)

    def _in_spark(self, spark: SparkSession, paths: Sequence[str]) -> DataFrame:
        """Return the rows of files of one write, or of any where the table has no partitions."""
        files = [literal_path(self.folder / path) for path in paths]
        reader = spark.read.schema(self.schema)
        if self.partition_by:
            reader = reader.option("basePath", str(self.folder / "data"))
        else:
            reader = reader.option("recursiveFileLookup", "true")
        return reader.parquet(*files).select(*map(quoted, self.schema.names))


def _in_their_order(paths: Iterable[str]) -> list[str]:
    """Return the files of one write in the order of the tasks that wrote them: Spark's names begin with its number."""
    return sorted(paths, key=lambda path: Path(path).name)


def rows_of_files(folder: Path, paths: Sequence[str], schema: pa.Schema, groups: Groups | None = None) -> pa.Table:
    """Return the rows of files, in these columns; null where a file lacks one. With `groups` all rows of these.

    And perhaps some others: columns of simple types are looked at, each by itself.
    """
    found = [schema.empty_table()]
    for path in paths:
        with pq.ParquetFile(folder / path) as file:
            rows = _fitted(file.read(), schema)
        found.append(rows if groups is None else _touched(rows, groups))
    return pa.concat_tables(found)


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows in a table's columns, whose names are told apart without regard to case."""
    places = {name.lower(): n for n, name in enumerate(rows.column_names)}
    columns = [
        rows.column(places[f.name.lower()]).cast(f.type)
        if f.name.lower() in places
        else pa.nulls(rows.num_rows, f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def _touched(rows: pa.Table, groups: Groups) -> pa.Table:
    names = {name.lower(): name for name in rows.column_names}
    for by in groups.by:
        column = rows.column(names[by.lower()])
        if not (pa.types.is_nested(column.type) or pa.types.is_floating(column.type)):
            rows = rows.filter(pc.is_in(column, value_set=groups.values.column(by).combine_chunks().cast(column.type)))
    return rows
